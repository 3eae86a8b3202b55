"""Names out of manifests, folders and databases are text: no shell, no SQL, no path of their own."""

from __future__ import annotations

import ast
import csv
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import cacapp as package

Run = Callable[..., Any]
SOURCE = Path(package.__file__).parent

HOSTILE = (
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned;",
    "| touch pwned",
    "x' OR '1'='1",
    "x'; DROP TABLE patient; --",
    '"; touch pwned; "',
    "../../pwned",
    "-rf",
    "<img src=x onerror=alert(1)>",
    "{{7*7}} %s {0}",
    "a\tb",
    "ω\u202etxt.gpj",
)


@pytest.fixture(scope="module")
def image(small_slide: Path) -> bytes:
    return (small_slide / "frame00.ome.tif").read_bytes()


@pytest.mark.slow
@pytest.mark.e2e
def test_hostile_names_of_patients_slides_and_files_are_text_in_every_command(cacapp: Run, image: bytes, tmp_path: Path) -> None:
    work = tmp_path / "deep" / "er"
    work.mkdir(parents=True)
    with (work / "slides.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["patient", "slide", "path", "blood_volume_ul"])
        for i, name in enumerate(HOSTILE):
            folder = work / f"{i} {name.replace('/', '_')}"
            folder.mkdir()
            (folder / f"f{name.replace('/', '_')}.ome.tif").write_bytes(image + bytes([i]))
            table.writerow([f"P{i} {name}", f"S{i} {name}", folder.name, "100"])
    before = set(tmp_path.rglob("*"))
    run = ("run", "--manifest", work / "slides.csv", "--segmenter", "coarse", "--out", work / "reports")
    assert cacapp(*run, "--same-pixels", "one picture under many names").code in (0, 3)
    patients = {p["patient"] for p in cacapp("patients", "--json").json}
    assert patients == {f"P{i} {name}".strip() for i, name in enumerate(HOSTILE)}
    slides = {r["slide"] for r in cacapp("runs", "list", "--json").json}
    for slide in slides:
        assert cacapp("cells", "--slide", slide, "--json").code == 0
        assert cacapp("export", work / "out", "--slide", slide).code == 0
    for i, name in enumerate(HOSTILE):
        last = max(r["id"] for r in cacapp("runs", "list", "--slide", f"S{i} {name}".strip(), "--json").json)
        assert cacapp("runs", "capsule", last, work / f"{i}.zip").code == 0
        assert cacapp("runs", "replay", work / f"{i}.zip").code == 0
    new = set(tmp_path.rglob("*")) - before
    strangers = [p for p in new if not p.is_relative_to(work) and p.parent != tmp_path]
    assert strangers == []
    assert list(tmp_path.parent.rglob("pwned*")) == []
    assert {p.name for p in new if p.parent == tmp_path} <= {"cacapp.db", "cacapp.db-wal", "cacapp.db-shm"}
    for page in (work / "reports").glob("*.html"):
        assert "<img src=x" not in page.read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def calls() -> list[tuple[str, str, ast.Call]]:
    """(file, dotted name, call) of every call in the product."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        found += [(path.relative_to(SOURCE).as_posix(), ast.unparse(n.func), n) for n in nodes if isinstance(n, ast.Call)]
    return found


@pytest.mark.slow
def test_nothing_is_ever_run_in_a_shell_or_evaluated() -> None:
    forbidden = {"os.system", "os.popen", "eval", "exec", "subprocess.getoutput", "subprocess.getstatusoutput", "__import__"}
    found = [(file, name) for file, name, _ in calls() if name in forbidden]
    shells = [(file, name) for file, name, call in calls() if any(k.arg == "shell" for k in call.keywords)]
    assert found + shells == []


def test_weights_and_samples_are_only_read_by_loaders_that_run_no_code() -> None:
    def said(call: ast.Call, name: str) -> str | None:
        return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)

    loaders = [(file, name, call) for file, name, call in calls() if name.split(".")[-1] in ("load", "loads", "load_file", "read_pickle")]
    torch_loads = [(file, said(call, "weights_only")) for file, name, call in loaders if name == "torch.load"]
    assert torch_loads
    assert [one for one in torch_loads if one[1] != "True"] == []
    assert [(file, name) for file, name, call in loaders if said(call, "allow_pickle") not in (None, "False")] == []
    pickles = ("pickle.", "joblib.", "dill.", "cloudpickle.", "marshal.", "yaml.", "shelve.")
    # the engine's go over the pipes to processes it started itself, never to or from a file; the contract suite reads what it has just made
    own = ("engine/", "testing/claims.py")
    assert [(file, name) for file, name, _ in calls() if name.startswith(pickles) and not file.startswith(own)] == []
    loaders = [one for one in loaders if not one[0].startswith(own)]
    known = {"torch.load", "np.load", "json.loads", "tomllib.loads", "load_file"}
    assert {name for _, name, _ in loaders} - known == {"point.load"}  # an entry point: a plugin that was installed is code


class Malice:
    """Makes a file when it is unpickled."""

    def __init__(self, bomb: Path) -> None:
        self.bomb = bomb

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.bomb,)


@pytest.mark.slow
def test_no_command_that_takes_weights_runs_a_pickle(counted: Run, tmp_path: Path) -> None:
    import pickle

    import torch

    bomb = tmp_path / "bomb"
    for file, write in (
        ("plain.pt", lambda path: path.write_bytes(pickle.dumps({"w": Malice(bomb)}))),
        ("archive.pt", lambda path: torch.save({"w": Malice(bomb)}, path)),
        ("named.safetensors", lambda path: torch.save({"w": Malice(bomb)}, path)),
    ):
        path = tmp_path / file
        write(path)
        for segmenter in ("dense", "maskrcnn"):
            ended = counted("segment", "--segmenter", segmenter, "--set", f"weights={path}", "--force")
            assert ended.code in (1, 2), (file, segmenter, ended.out)
            assert file in ended.err
        assert not bomb.exists(), file
    shutil.copy(tmp_path / "plain.pt", tmp_path / "copy.pt")
    pickle.loads((tmp_path / "copy.pt").read_bytes())
    assert bomb.exists(), "the test's pickle is harmless: the test proves nothing"
