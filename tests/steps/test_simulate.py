"""``cacapp simulate`` with presets and with the nuclei of labelled images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cacapp.exceptions import UsageError
from cacapp.simulation import preset_names
from cacapp.steps.simulate import model_parameters, read_nuclei, simulate_slide, slide_model

SMALL = ("--frames", "1", "--width", "200", "--height", "200")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def pictures(folder: Path, separate: bool) -> Path:
    """Two labelled images of 12 disks each."""
    images, labels = (folder / "images", folder / "labels") if separate else (folder, folder)
    for i in range(2):
        truth = np.zeros((180, 240), np.uint16)
        for n in range(12):
            cv2.circle(truth, (30 + 60 * (n % 4), 30 + 60 * (n // 4)), 14, n + 1, -1)
        name = f"x{i}.png" if separate else f"x{i}_labels.png"
        for where, file, plane in ((images, f"x{i}.png", (truth > 0) * np.uint8(150)), (labels, name, truth)):
            where.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(where / file), plane)
    return folder


def test_a_scene_with_troubles_has_the_states_of_its_nuclei_and_all_its_dots(tmp_path: Path) -> None:
    simulate_slide(tmp_path, 1, 3, 200, 200, 4, preset="field")
    truth, dots = rows(tmp_path / "truth.csv"), rows(tmp_path / "dots.csv")
    assert list(truth[0])[-4:] == ["z_um", "thickness_um", "replicated", "granular"]
    assert all(2 <= float(row["thickness_um"]) <= 5 for row in truth)
    slide = json.loads((tmp_path / "slide.json").read_text())
    assert (slide["seed"], slide["model"]["replicated_share"], len(slide["instrument"]["focus_um"])) == (4, 0.15, 5)
    copies = [dot for dot in dots if dot["kind"] == "copy"]
    for row in truth:
        own = [dot["channel"] for dot in copies if dot["label"] == row["label"]]
        assert [own.count(channel) for channel in ("aqua", "green", "gold", "red")] == [
            int(row[c]) for c in ("aqua", "green", "gold", "red")
        ]
    assert all((dot["form"] != "") == (dot["kind"] == "copy") for dot in dots)


def test_settings_go_before_the_preset_and_the_parameters_show_its_values() -> None:
    assert slide_model(["replicated_share=0.4"], "replicated").replicated_share == 0.4
    listed = {name: value for name, value, _ in model_parameters("depth")}
    assert listed["thickness_um"] == "(2.0, 5.0)"
    assert listed["split"] == "0.06"


def test_a_value_out_of_range_is_blamed_on_the_preset_or_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[parameters]\nstreaked = 2\n")
    with pytest.raises(UsageError, match=rf"preset {path}: streaked: input should be less than or equal to 1, got 2"):
        slide_model((), str(path))
    with pytest.raises(UsageError, match="--set diffuse: input should be less than or equal to 1, got 3"):
        slide_model(["diffuse=3"], "depth")


@pytest.mark.parametrize("separate", [True, False])
def test_nuclei_come_from_pairs_of_images_and_labels(tmp_path: Path, separate: bool) -> None:
    assert len(read_nuclei(pictures(tmp_path / "in", separate)).masks) == 24


@pytest.mark.sqlite_only
def test_nuclei_takes_a_number_and_a_folder(cacapp: Callable[..., Any], tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", True)
    done = cacapp("simulate", tmp_path / "out", *SMALL, "--nuclei", "3", "--nuclei", folder, "--preset", "spikes")
    assert (done.code, done.err) == (0, "")
    assert len(rows(tmp_path / "out" / "truth.csv")) == 3
    for wrong, message in (
        (("3", "--nuclei", "4"), "give at most one number of nuclei and one folder"),
        (("-3",), "cannot be negative"),
        ((str(tmp_path / "none"),), "no such folder"),
    ):
        refused = cacapp("simulate", tmp_path / "bad", *SMALL, "--nuclei", *wrong)
        assert (refused.code, message in refused.err, refused.err.count("\n")) == (2, True, 1)
    assert not (tmp_path / "bad").exists()


@pytest.mark.sqlite_only
def test_parameters_name_the_presets(cacapp: Callable[..., Any]) -> None:
    shown = cacapp("simulate", "--parameters", "--preset", "field")
    assert "field" in shown.out
    words = shown.out.split()
    assert all(name in words for name in preset_names())
    assert cacapp("simulate", "--parameters", "--preset", "fields").code == 2
