"""A plugin in a process of its own is the same plugin: described, recorded and run as it is here, and never loaded here."""

from __future__ import annotations

import pickle
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacapp import host as guard
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host, PluginSettings, parameters, read_settings
from cacapp.testing import scenes
from cacapp.testing.claims import same
from cacapp.testing.guarded_calls import GUARDED
from cacapp.types import Prompts

APART = {"cacapp": PluginSettings(isolation="process")}


@pytest.fixture(scope="module")
def apart() -> Host:
    return Host.discover((), APART)


@pytest.fixture(scope="module")
def here() -> Host:
    return Host.discover()


def test_it_offers_the_same_algorithms_with_the_same_parameters(apart: Host, here: Host) -> None:
    def told(host: Host) -> list[Any]:
        return [(r.kind, r.name, r.origin, r.cls.__doc__, [repr(p) for p in parameters(r.cls)]) for r in host.algorithms()]

    assert not apart.problems
    assert told(apart) == told(here)


SOME = [("prompter", "watershed"), ("segmenter", "coarse"), ("filter", "single-cell"), ("signal-detector", "log")]


@pytest.mark.parametrize(("kind", "name"), SOME)
def test_results_are_the_same(apart: Host, here: Host, kind: str, name: str) -> None:
    from cacapp.testing import CONTRACTS

    contract = CONTRACTS[kind]()
    type(contract).algorithm = here.build(kind, name)  # type: ignore[misc]
    for scene in [*contract.ordinary(), *contract.empty(), *contract.small()]:
        given = contract.inputs(scene)
        assert same(GUARDED[kind](apart.build(kind, name), *given), GUARDED[kind](here.build(kind, name), *given)), scene.name


def test_the_recorded_algorithm_is_the_same(apart: Host, here: Host) -> None:
    from cacapp.runs.choice import build_algorithm

    for kind, name in (("prompter", "watershed"), ("segmenter", "dense")):
        (one, _), (other, _) = (build_algorithm(host, kind, name, {}) for host in (apart, here))
        assert one.record() == other.record()


def test_a_wrong_parameter_is_refused_in_the_same_words(apart: Host, here: Host) -> None:
    def words(host: Host, params: dict[str, Any]) -> str:
        with pytest.raises(UsageError) as caught:
            host.build("prompter", "watershed", params)
        return str(caught.value)

    for params in ({"floor": 7}, {"flour": 0.2}, {"negative": "lightest"}):
        assert words(apart, params) == words(here, params)


def test_a_stand_in_is_sent_to_worker_processes_and_remembers_where_it_comes_from(apart: Host) -> None:
    built = apart.build("prompter", "watershed", {"floor": 0.3})
    again = pickle.loads(pickle.dumps(built))
    assert again == built
    assert again.model_dump() == built.model_dump()
    code = "import pickle, sys\nprint(pickle.load(sys.stdin.buffer).model_dump()['floor'])"
    told = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(built), capture_output=True, check=True)
    assert told.stdout.split() == [b"0.3"]


LOADED = """
import os, sys
from typing import ClassVar
from cacapp import Segmenter, hookimpl
open({witness!r}, "a").write(f"{{os.getpid()}} {{os.environ.get('CACAPP_DB')}}\\n")
print("something a library prints")

class Told(Segmenter):
    "Nothing."
    name: ClassVar[str] = "told"
    api_version: ClassVar[int] = 1
    needs_prompts: ClassVar[bool] = False
    def segment(self, dapi, prompts, pixel_size_um):
        {body}

@hookimpl
def cacapp_segmenters():
    return [Told]
"""


def isolated(install: Callable[..., None], witness: Path, body: str, **settings: Any) -> Host:
    install("acme-told", "told", source=LOADED.format(witness=str(witness), body=body))
    return Host.discover((), {"told": PluginSettings(isolation="process", **settings)})


def test_it_is_loaded_in_its_own_process_only_and_does_not_get_the_databases_address(
    install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("CACAPP_DB", "postgresql://lab:secret@head/record")
    host = isolated(install, tmp_path / "witness", "print('noise'); return []")
    built: Any = host.build("segmenter", "told")
    assert guard.segment(built, np.zeros((9, 9), np.uint8), Prompts.empty(), None) == []
    pid, told = (tmp_path / "witness").read_text().split()
    assert int(pid) != os.getpid()
    assert told == "None"
    assert not [name for name in sys.modules if name.startswith("acme_told")]


def test_after_a_crash_the_next_call_gets_a_new_process(install: Callable[..., None], tmp_path: Path) -> None:
    host = isolated(install, tmp_path / "witness", "os._exit(3) if dapi.any() else None; return []", timeout_s=41)
    built: Any = host.build("segmenter", "told")
    with pytest.raises(CacappError, match=r"^'told' \(plugin 'told' of acme-told 1.2\): its process was killed or crashed \(exit code 3\)"):
        guard.segment(built, np.ones((9, 9), np.uint8), Prompts.empty(), None)
    assert guard.segment(built, np.zeros((9, 9), np.uint8), Prompts.empty(), None) == []


def test_an_answer_out_of_all_proportion_is_refused(install: Callable[..., None], tmp_path: Path) -> None:
    body = "from cacapp import Instance; import numpy as np; return [Instance((0, 0, 1000, 1000), np.ones((1000, 1000), bool))] * 90"
    host = isolated(install, tmp_path / "witness", body, timeout_s=42)
    built: Any = host.build("segmenter", "told")
    with pytest.raises(CacappError, match=r"its process answered with arrays of 90\d+ bytes where"):
        guard.segment(built, np.zeros((1000, 1000), np.uint8), Prompts.empty(), None)


@pytest.mark.slow
def test_it_runs_in_another_python(tmp_path: Path) -> None:
    """An environment of its own, with numpy and cacapp but with a plugin that is not installed here."""
    home = tmp_path / "env"
    venv.create(home, symlinks=True)
    site = next((home / "lib").glob("python*")) / "site-packages"
    (site / "ours.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")) + f"\n{Path(guard.__file__).parents[2]}\n")
    info = site / "acme_there-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-there\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[cacapp]\nthere = acme_there\n")
    (site / "acme_there.py").write_text(LOADED.format(witness=str(tmp_path / "witness"), body="return []").replace("told", "there"))
    python = str(home / "bin" / "python")
    host = Host.discover((), {"acme-there": PluginSettings(isolation="process", python=python)})
    assert [str(p) for p in host.problems] == []
    built: Any = host.build("segmenter", "there")
    assert guard.segment(built, scenes.one_nucleus().image, Prompts.empty(), None) == []


def test_a_python_that_is_none_or_a_name_that_is_not_installed_is_a_line() -> None:
    def line(name: str, **settings: Any) -> str:
        (problem,) = Host.discover((), {name: PluginSettings(isolation="process", **settings)}).problems
        return str(problem)

    assert "python /no/such cannot be started: No such file or directory" in line("cacapp", python="/no/such")
    assert "no plugin or distribution of this name is installed" in line("acme-nowhere")
    assert "its process was killed or crashed" in line("cacapp", python="/bin/false")


def test_the_configuration_is_read_and_what_is_wrong_in_it_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("CACAPP_CONFIG", str(file))
    with pytest.raises(UsageError, match="there is no such file; CACAPP_CONFIG names it"):
        read_settings()
    file.write_text('[plugins.acme]\nisolation = "process"\ntimeout_s = 60\nmemory_mb = 4000\n[plugins.other]\nenabled = false\n')
    read = read_settings()
    assert (read["acme"].limits.timeout_s, read["acme"].limits.memory_mb, read["other"].enabled) == (60, 4000, False)
    for text, why in (
        ("[plugins.acme]\ntimeout_s = 60\n", 'timeout_s holds only with isolation = "process"'),
        ("[plugins.acme]\nisolated = true\n", "there is no setting 'isolated'"),
        ('[plugins.acme]\nisolation = "vm"\n', "isolation: Input should be 'none' or 'process', got 'vm'"),
        ("[plugin.acme]\n", "plugin: there is no such table"),
        ("[plugins\n", "the configuration is no TOML"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError) as caught:
            read_settings()
        assert why in str(caught.value)
        assert str(file) in str(caught.value)


def test_a_plugin_is_kept_out_by_the_configuration_as_by_the_option(install: Callable[..., None]) -> None:
    install("acme-fish", "acme", name="acme-seeds")
    out = {"acme-fish": PluginSettings(enabled=False)}
    assert "acme-seeds" in [r.name for r in Host.discover().algorithms("prompter")]
    assert "acme-seeds" not in [r.name for r in Host.discover((), out).algorithms("prompter")]
    assert "acme-seeds" not in [
        r.name for r in Host.discover(["acme-fish"], {"acme": PluginSettings(isolation="process")}).algorithms("prompter")
    ]
