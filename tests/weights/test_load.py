"""Loading gives tensors or one line of refusal, and never runs code from a file."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cacapp.exceptions import CacappError
from cacapp.weights.load import check_state, load_state

STATE = {"weight": torch.arange(6, dtype=torch.float32).reshape(2, 3), "bias": torch.tensor([0.5, -0.5])}


class Malice:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.target}'",)


def refused(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(CacappError) as caught:
        load_state(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line


def rewritten(source: Path, target: Path, change: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A copy of a torch archive with some members replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change.get(Path(name).name, old.read(name)))
    return target


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "good.pth"
    torch.save(STATE, path)
    return path


@pytest.mark.parametrize("kind", ["safetensors", "torch", "old torch", "state_dict"])
def test_saved_weights_are_loaded_bit_for_bit(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "no suffix tells"
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        state = OrderedDict((k, nn.Parameter(v)) for k, v in STATE.items()) if kind == "state_dict" else STATE
        torch.save(state, path, _use_new_zipfile_serialization=kind != "old torch")
    found = load_state(path)
    assert set(found) == set(STATE)
    for key, tensor in STATE.items():
        assert torch.equal(found[key], tensor)
        assert found[key].dtype == tensor.dtype
        assert not found[key].requires_grad


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_wants_to_run_code_is_refused_and_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    bomb, path = tmp_path / "ran", tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"weight": Malice(bomb)}, protocol=protocol))
    refused(path)
    assert not bomb.exists()
    pickle.loads(path.read_bytes())
    assert bomb.exists(), "the test's pickle is harmless: the test proves nothing"


@pytest.mark.parametrize("archive", [True, False])
def test_code_hidden_in_a_torch_checkpoint_is_refused_by_the_name_of_what_it_calls(tmp_path: Path, archive: bool) -> None:
    bomb, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save(STATE | {"extra": Malice(bomb)}, path, _use_new_zipfile_serialization=archive)
    assert f"asks for {os.system.__module__}.system, which could run code" in refused(path)
    assert not bomb.exists()


@pytest.mark.parametrize("kind", ["safetensors", "torch", "old torch"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "cut"
    state = {"weight": torch.ones(100, 100)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "torch")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"epoch,loss\n1,0.5\n", b"<html><body>404</body></html>", b"\x89PNG\r\n\x1a\n" + bytes(64), bytes(64)],
    ids=["empty", "text", "page", "picture", "zeros"],
)
def test_a_file_that_is_not_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vit_b.pth"
    path.write_bytes(content)
    assert "no weights; give a .safetensors file or a state_dict saved by torch.save" in refused(path)


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "nothing")
    assert "cannot be read" in refused(tmp_path)


def test_a_zip_bomb_is_refused_unread(saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "bomb.pth", {"0": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    assert "a compressed archive is no weights file" in refused(path)


def test_compression_is_refused_even_where_the_sizes_look_harmless(saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "small.pth", {}, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as archive:
        assert sum(member.file_size for member in archive.infolist()) <= path.stat().st_size
    assert "a compressed archive is no weights file" in refused(path)
    assert load_state(rewritten(saved, tmp_path / "stored.pth", {}))


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.pth"
    torch.save({"weight": torch.zeros(1).expand(10**12)}, path)
    assert path.stat().st_size < 10_000
    assert "weight (1000000000000) claims more numbers than the file holds" in refused(path)


def test_a_header_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    header = b'{"w":{"dtype":"F32","shape":[250000000000],"data_offsets":[0,1000000000000]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path)


@pytest.mark.parametrize(
    ("content", "named"),
    [({"model": STATE, "epoch": 3}, "it holds model, epoch"), ([1, 2], "it holds a list"), ({1: STATE["bias"]}, "it holds 1")],
)
def test_anything_but_names_and_tensors_is_refused(tmp_path: Path, content: object, named: str) -> None:
    path = tmp_path / "nested.pth"
    torch.save(content, path)
    assert named in refused(path)


def test_a_state_that_fits_passes() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    check_state(module.state_dict(), module)


def test_every_way_not_to_fit_is_named_in_one_line() -> None:
    state = {"weight": torch.zeros(3, 2), "extra": torch.zeros(1)}
    with pytest.raises(CacappError) as caught:
        check_state(state, nn.Linear(3, 2), "vit_b.pth")
    assert str(caught.value) == (
        "vit_b.pth do not fit Linear; missing: bias; unexpected: extra; wrong shape: weight (3, 2) instead of (2, 3)"
    )


def test_many_keys_are_counted_not_listed() -> None:
    module = nn.Sequential(*(nn.Linear(2, 2) for _ in range(10)))
    with pytest.raises(CacappError, match=r"missing: 0.weight, 0.bias, 1.weight and 17 more$"):
        check_state({}, module)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    state = nn.Linear(3, 2).state_dict() | {"bias": torch.tensor([value, 0.0])}
    with pytest.raises(CacappError, match=r"numbers that are not finite in: bias$"):
        check_state(state, nn.Linear(3, 2))
