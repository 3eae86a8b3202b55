"""``cacapp weights``: what is here, how the rest comes, licences first, exit codes and JSON for scripts."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cacapp.cli.app import run_command
from cacapp.weights import cache, registry

PAYLOAD = bytes(range(256)) * 400
DIGEST = hashlib.sha256(PAYLOAD).hexdigest()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A folder that a server on 127.0.0.1 offers; it holds small.pth. The server knows nothing of ranges."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "small.pth").write_bytes(PAYLOAD)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        (folder / "url").write_text(f"http://127.0.0.1:{server.server_address[1]}/small.pth")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's cache; the registry knows ``small``, served, ``unknown`` without a digest, and ``own``, embedded."""
    licence = 'licence = "CC-BY-4.0"\nlicence_url = "https://example.org/licence"\narchitecture = "vit_b"\n'
    source = f'url = "{(served / "url").read_text()}"\n'
    (tmp_path / "registry.toml").write_text(
        f'[small]\ndescription = "a small one"\nfile = "small.pth"\n{licence}{source}sha256 = "{DIGEST}"\nsize_bytes = {len(PAYLOAD)}\n'
        f'[unknown]\ndescription = "of unknown digest"\nfile = "unknown.pth"\n{licence}{source}'
        f'[own]\ndescription = "comes with cacapp"\nfile = "own.safetensors"\n{licence}embedded = true\n'
    )
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry.toml")
    monkeypatch.setattr(cache, "EMBEDDED", tmp_path)
    monkeypatch.setenv("CACAPP_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "own.safetensors").write_bytes(b"abc")
    return tmp_path / "cache"


def test_the_list_names_size_licence_and_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "small.pth.part").write_bytes(bytes(40_000))
    assert run_command(["weights", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "102 kB" in lines["small"]
    assert "CC-BY-4.0" in lines["small"]
    assert "partly here, 40 kB" in lines["small"]
    assert "not here" in lines["unknown"]
    assert "embedded" in lines["own"]
    assert str(folder) in lines["kept"]


def test_the_list_as_json_says_what_is_known_and_where_it_lies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(folder)
    small, unknown, own = found["weights"]
    assert (small["name"], small["sha256"], small["state"], small["is_here"]) == ("small", DIGEST, "not here", False)
    assert small["path"] == str(folder / "small.pth")
    assert (unknown["sha256"], unknown["size_bytes"]) == (None, None)
    assert (own["state"], own["is_here"]) == ("embedded", True)


def test_a_pull_in_a_script_needs_an_explicit_yes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", "pull", "small"]) == 2
    error = capsys.readouterr().err
    assert "under CC-BY-4.0 (https://example.org/licence); to accept that in a script, add --yes" in error
    assert not folder.exists()


def test_a_pull_shows_the_licence_then_the_file(folder: Path, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", "pull", "small", "--yes"]) == 0
    printed = capsys.readouterr()
    assert "licence CC-BY-4.0: https://example.org/licence" in printed.err
    assert (served / "url").read_text() in printed.err
    assert printed.out == f"small {folder / 'small.pth'}, SHA-256 {DIGEST}\n"
    assert (folder / "small.pth").read_bytes() == PAYLOAD
    assert run_command(["weights", "pull", "small"]) == 0  # here already: nothing to accept
    assert "licence" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize(("answer", "code", "here"), [(b"y\n", 0, True), (b"n\n", 1, False), (b"\n", 1, False)])
def test_on_a_terminal_the_licence_is_asked_for(
    folder: Path, answer: bytes, code: int, here: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard, terminal = os.openpty()
    with os.fdopen(terminal, encoding="utf-8") as stdin, os.fdopen(keyboard, "wb", buffering=0) as typist:
        monkeypatch.setattr(sys, "stdin", stdin)
        typist.write(answer)
        assert run_command(["weights", "pull", "small"]) == code
    assert "Accept the licence and download?" in capsys.readouterr().err
    assert (folder / "small.pth").exists() is here


def test_a_pull_as_json_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", "pull", "small", "--yes", "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["sha256_found"] == DIGEST
    assert printed.err == ""
    assert run_command(["weights", "pull", "small", "--yes", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_pull_that_fails_is_one_line_and_exit_code_1(served: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (served / "small.pth").write_bytes(PAYLOAD[::-1])
    assert run_command(["weights", "pull", "small", "--yes", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:")
    assert error.count("\n") == 1
    assert "it was not kept" in error
    assert list(folder.iterdir()) == []


def test_a_file_of_unknown_digest_is_recorded_and_that_is_reported(capsys: pytest.CaptureFixture[str], served: Path) -> None:
    assert run_command(["weights", "add", "unknown", str(served / "small.pth")]) == 0
    printed = capsys.readouterr()
    assert DIGEST in printed.out
    assert "no published SHA-256 is known, so the file is recorded but not checked" in printed.err
    assert run_command(["weights", "verify", "unknown"]) == 0


def test_an_added_file_is_verified_and_a_damaged_one_is_found(folder: Path, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", "add", "small", str(served / "small.pth")]) == 0
    assert run_command(["weights", "verify"]) == 0
    assert f"small whole, SHA-256 {DIGEST}" in capsys.readouterr().out
    (folder / "small.pth").write_bytes(PAYLOAD[::-1])
    assert run_command(["weights", "verify"]) == 1
    assert "small.pth is not the published file of 'small': SHA-256" in capsys.readouterr().err
    assert run_command(["weights", "verify", "--json"]) == 1
    findings = {w["name"]: w["finding"] for w in json.loads(capsys.readouterr().out)["weights"]}
    assert findings == {"small": "damaged", "own": "unchecked"}


def test_verify_of_what_is_not_here_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", "verify", "small"]) == 1
    assert "weights 'small' are not here: run `cacapp weights pull small`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["pull", "vit_x"], "no weights named 'vit_x'; there are small, unknown, own"),
        (["verify", "vit_x"], "no weights named 'vit_x'"),
        (["add", "small", "nothing.pth"], "nothing.pth: no such file"),
        (["add", "own", "nothing.pth"], "weights 'own' come with cacapp"),
        (["pull", "own"], "weights 'own' come with cacapp"),
        (["add", "small"], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", *args]) == 2
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1
