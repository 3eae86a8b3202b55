"""docs/plugin-protocol.md: its code runs as it stands, and the child's side needs nothing of cacapp."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cacapp.processes.child as wire
from cacapp.exceptions import CacappError
from cacapp.host import read_settings
from cacapp.isolation import ChildProcess, Limits
from cacapp.isolation.process import PRIVATE

PAGE = (Path(__file__).parents[2] / "docs" / "plugin-protocol.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)


def test_the_configuration_in_the_documentation_is_valid(tmp_path: Path) -> None:
    (text,) = [body for kind, body in BLOCKS if kind == "toml"]
    assert tomllib.loads(text)
    (tmp_path / "config.toml").write_text(text)
    read = read_settings(tmp_path / "config.toml")
    assert read["acme-nuclei"].limits == Limits("/opt/acme/bin/python", 120, 4000)
    assert not read["acme-old"].enabled
    assert "CACAPP_DB" in PRIVATE


@pytest.mark.slow
def test_an_adapter_talks_to_a_python_that_has_numpy_and_no_cacapp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, asks = [body for kind, body in BLOCKS if kind == "python"]
    home = tmp_path / "env"
    venv.create(home, symlinks=True)
    site = next((home / "lib").glob("python*")) / "site-packages"
    for folder in Path(np.__file__).parents[1].glob("numpy*"):
        (site / folder.name).symlink_to(folder)
    python = str(home / "bin" / "python")
    assert subprocess.run([python, "-c", "import cacapp"], cwd=tmp_path, capture_output=True, env={}).returncode != 0
    monkeypatch.chdir(tmp_path)
    Path("theirs.py").write_text(theirs)
    scope: dict[str, Any] = {"PYTHON": python, "dapi": np.array([[100, 900], [700, 200]], np.uint16)}
    exec(asks, scope)
    assert scope["meta"] == {"pixels": 2}
    assert scope["arrays"]["labels"].tolist() == [[0, 1], [1, 0]]


def sent(*arrays: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    wire.write_message(stream, {"op": "x", "meta": {"µ": 1}}, {f"a{n}": a for n, a in enumerate(arrays)})
    return stream.getvalue()


def test_written_files_are_read_and_have_the_documented_layout() -> None:
    arrays = [
        np.arange(12, dtype=np.uint16).reshape(3, 4)[:, ::2],
        np.array([[True, False]]),
        np.zeros((0, 3), np.float32),
        np.float64(1.5),
    ]
    body = sent(*map(np.asarray, arrays))
    assert body[:8] == b"CACAPP\0\1"
    (size,) = struct.unpack("<Q", body[8:16])
    assert body[16 + size :][:4] == b"\x00\x00\x02\x00"
    header, read = wire.read_message(io.BytesIO(body))
    assert header == {"op": "x", "meta": {"µ": 1}}
    for n, array in enumerate(map(np.asarray, arrays)):
        assert read[f"a{n}"].dtype == array.dtype
        assert np.array_equal(read[f"a{n}"], array)


@pytest.mark.parametrize(
    "answer",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"CACAPP\0\1" + struct.pack("<Q", 2**40),
        b"CACAPP\0\1" + struct.pack("<Q", 5) + b"[1,2]",
        b"CACAPP\0\1" + struct.pack("<Q", 60) + b'{"ok": true, "meta": {}, "arrays": [{"name": "a"}]}'.ljust(60),
        sent(np.zeros(1)).replace(b"float64", b"object_"),
        sent(np.zeros(1)).replace(b"[1]", b"[-]"),
        sent(np.zeros(3)).replace(b"[3]", b"[9e9]"),
        sent(np.zeros(1000)),
        b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
    ],
)
def test_an_answer_that_is_not_a_message_is_refused_and_the_process_ended(tmp_path: Path, answer: bytes) -> None:
    hello = io.BytesIO()
    wire.write_message(hello, {"ok": True, "meta": {}})
    # a program in place of the interpreter: it says hello, then what it likes
    program = tmp_path / "python"
    says = hello.getvalue() + answer
    program.write_text(f"#!{sys.executable}\nimport sys, time\nsys.stdout.buffer.write({says!r})\nsys.stdout.flush()\ntime.sleep(60)\n")
    program.chmod(0o755)
    child = ChildProcess("any.py", limits=Limits(str(program), timeout_s=20))
    with pytest.raises(CacappError, match="its process answered with"):
        child.ask("x", at_most=100)
    child.close()
