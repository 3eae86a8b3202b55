"""Presets: the shipped ones, those that inherit, and files that are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacapp.exceptions import UsageError
from cacapp.simulation import SlideModel, load_preset, preset_names
from cacapp.simulation.troubles import Troubles

ALONE = [name for name in preset_names() if name != "field"]


@pytest.mark.parametrize("name", preset_names())
def test_a_shipped_preset_is_a_slide_model_with_troubles(name: str) -> None:
    preset = load_preset(name)
    assert preset.description
    assert SlideModel(**preset.parameters).troubled()


def test_the_field_preset_has_the_troubles_of_all_others() -> None:
    field = load_preset("field").parameters
    for name in ALONE:
        for key, value in load_preset(name).parameters.items():
            assert field[key] == value or (key == "treatments" and value[0] in field[key]), (name, key)
    by_default = {name for name, info in Troubles.model_fields.items() if info.get_default() == getattr(SlideModel(**field), name)}
    assert by_default.isdisjoint({"thickness_um", "replicated_share", "nonspecific", "granular_share", "spikes_per_mpx", "shift_um"})


def test_a_trouble_alone_leaves_the_parameters_of_the_others_at_their_defaults() -> None:
    own = [set(load_preset(name).parameters) - {"treatments"} for name in ALONE]
    assert sum(map(len, own)) == len(set.union(*own))


def test_a_file_inherits_and_its_own_parameters_go_before_its_bases(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "spikes"\n[parameters]\nsplit = 0.2\n')
    (tmp_path / "more.toml").write_text('base = ["mine.toml", "depth"]\n[parameters]\nspikes_per_mpx = [1.0, 2.0]\n')
    parameters = load_preset(str(tmp_path / "more.toml")).parameters
    assert parameters["split"] == 0.2
    assert parameters["spikes_per_mpx"] == [1.0, 2.0]
    assert parameters["thickness_um"] == load_preset("depth").parameters["thickness_um"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "a.toml"\n', "base: {a} → {a} is a circle; leave base out of one of them"),
        ('base = "feild"\n', "preset {a}: base: feild: No such file or directory; give a TOML file or one of: debris, "),
        ("base = 3\n", "base: write names of presets in quotes"),
        ("[parameter]\n", "unknown key 'parameter'; there are description, base, parameters"),
        ("parameters = 1\n", "parameters: write them below a line [parameters]"),
        ("[parameters]\nspike = 1\n", "no such parameter 'spike'; see: cacapp simulate --parameters"),
        ("[parameters\n", "not valid TOML"),
    ],
)
def test_a_wrong_preset_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_preset(str(path))
    assert message.format(a=path) in str(caught.value)
    assert "\n" not in str(caught.value)
