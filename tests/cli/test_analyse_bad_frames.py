"""Bad files, frames and slides end in one clear line and the right exit code, and leave nothing half-written; the good ones go on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacapp.types import CHANNELS, Array
from tests.cli.outcomes import FAILED, OK, PARTLY, WHO, no_rows, rows

Run = Callable[..., Any]
Save = Callable[..., Path]


def truncated(path: Path, planes: Array, save: Save) -> None:
    save(path, planes)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_FILES: dict[str, tuple[Callable[[Path, Array, Save], object], str]] = {
    "truncated": (truncated, "truncated"),
    "zero bytes": (lambda path, planes, save: path.write_bytes(b""), "empty"),
    "text named .tif": (lambda path, planes, save: path.write_text("patient;slide\n"), "not a TIFF"),
    "four channels": (lambda path, planes, save: save(path, planes[:4], CHANNELS[:4]), "red"),
    "two that resolve to DAPI": (
        lambda path, planes, save: save(path, np.concatenate([planes, planes[:1]]), (*CHANNELS, "Hoechst")),
        "--channels",
    ),
    "float": (lambda path, planes, save: save(path, planes.astype(np.float32)), "float32"),
    "NaN": (lambda path, planes, save: save(path, np.full_like(planes, np.nan, np.float32)), "NaN"),
}


@pytest.mark.parametrize(("make", "says"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_is_no_frame_is_refused_and_the_good_ones_are_processed(
    cacapp: Run, batch: Path, planes: Array, save_frame: Save, make: Callable[..., object], says: str
) -> None:
    make(batch / "bad.ome.tif", planes, save_frame)
    ended = cacapp("ingest", batch, *WHO)
    assert ended.code == PARTLY
    (line,) = ended.lines("error")
    assert "bad.ome.tif" in line
    assert says.lower() in line.lower()
    assert (rows("slide"), rows("frame"), rows("channel")) == (1, 1, 5)


@pytest.mark.parametrize(("make", "says"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_slide_of_bad_files_alone_leaves_nothing(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save, make: Callable[..., object], says: str
) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "bad.ome.tif", planes, save_frame)
    ended = cacapp("run", tmp_path / "in", *WHO)
    assert ended.code == FAILED
    assert ended.out == ""
    refused, failed = ended.lines("error")
    assert says.lower() in refused.lower()
    assert "S1" in failed
    assert no_rows()
    assert not Path("reports").exists()


def test_a_sixth_channel_is_refused_until_the_user_says_which_to_use(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    path = save_frame(tmp_path / "six.ome.tif", np.concatenate([planes, planes[:1]]), (*CHANNELS, "Brightfield"))
    ended = cacapp("ingest", path, *WHO)
    assert ended.code == FAILED
    assert "extra channel Brightfield" in ended.err
    assert "--channels DAPI=DAPI," in ended.err
    assert cacapp("ingest", path, *WHO, "--channels", "DAPI=DAPI").code == OK
    assert rows("channel") == 5


def test_channels_in_another_order_give_the_same_cells(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    order = [3, 0, 4, 2, 1]
    save_frame(tmp_path / "a" / "f.ome.tif", planes)
    save_frame(tmp_path / "b" / "f.ome.tif", planes[order], [CHANNELS[i] for i in order])
    found = []
    for name in "ab":
        assert cacapp("run", tmp_path / name, *WHO, "--db", f"{name}.db", "--no-report").code == OK
        records = cacapp("cells", "--db", f"{name}.db", "--json").json
        found.append([{k: v for k, v in r.items() if not k.endswith("_id")} for r in records])
    assert len(found[0]) >= 9
    assert found[0] == found[1]


def test_channel_names_nobody_knows_are_refused_with_the_flag_that_settles_it(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save
) -> None:
    path = save_frame(tmp_path / "f.ome.tif", planes, ["w1", "w2", "w3", "w4", "w5"])
    ended = cacapp("ingest", path, *WHO)
    assert ended.code == FAILED
    assert "w1, w2, w3, w4, w5" in ended.err
    assert "--channels" in ended.err
    assert cacapp("ingest", path, *WHO, "--channels", "DAPI=w1,aqua=w2,green=w3,gold=w4,red=#4").code == OK


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_laboratorys_own_channel_names_go_into_the_assay_file_once_and_for_all(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save
) -> None:
    # Cy3 means gold by default; this microscope calls red so, and Cy5, which no default knows, gold.
    path = save_frame(tmp_path / "f.ome.tif", planes, ["DAPI", "aqua", "green", "Cy5", "Cy3"])
    assert cacapp("ingest", path, *WHO).code == FAILED
    text = (resources.files("cacapp.fish.assay") / "definitions" / "katz-4color.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace("[signals]", '[aliases]\nred = ["Cy3"]\ngold = ["Cy5"]\n\n[signals]', 1))
    assert cacapp("run", path, *WHO, "--assay", own, "--no-report", "--db", "own.db").code == OK
    save_frame(tmp_path / "plain" / "f.ome.tif", planes)
    assert cacapp("run", tmp_path / "plain", *WHO, "--no-report", "--db", "plain.db").code == OK
    counts = [[[r[c] for c in CHANNELS[1:]] for r in cacapp("cells", "--db", d, "--json").json] for d in ("own.db", "plain.db")]
    assert counts[0] == counts[1]


def test_eight_bits_are_enough(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    eight = np.clip(planes.astype(float) / planes.max(axis=(1, 2), keepdims=True) * 255, 0, 255).astype(np.uint8)
    save_frame(tmp_path / "in" / "f.ome.tif", eight)
    assert cacapp("run", tmp_path / "in", *WHO, "--no-report").code == OK
    assert len(cacapp("cells", "--json").json) >= 8


@pytest.mark.parametrize("value", [0, 65535])
def test_a_frame_without_contrast_has_no_cells_and_says_so(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save, value: int
) -> None:
    save_frame(tmp_path / "in" / "flat.ome.tif", np.full_like(planes, value))
    ended = cacapp("run", tmp_path / "in", *WHO)
    assert ended.code == OK
    assert any("no nuclei" in line for line in ended.lines("warning"))
    (patient,) = cacapp("patients", "--json").json
    assert (patient["cells"], patient["cacs"], patient["verdict"]) == (0, 0, "insufficient")


def test_saturated_nuclei_are_reported(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    bright = planes.copy()
    bright[0] = np.where(planes[0] > np.percentile(planes[0], 90), 65535, planes[0])
    save_frame(tmp_path / "in" / "f.ome.tif", bright)
    assert any("saturated" in line for line in cacapp("run", tmp_path / "in", *WHO, "--no-report").lines("warning"))


def test_frames_of_different_size_are_each_analysed_at_their_own(cacapp: Run, batch: Path, planes: Array, save_frame: Save) -> None:
    save_frame(batch / "small.ome.tif", planes[:, :300, :250])
    ended = cacapp("run", batch, *WHO, "--no-report")
    assert ended.code == OK
    assert any("different size" in line and "250 x 300" in line for line in ended.lines("warning"))
    assert {r["frame"] for r in cacapp("cells", "--json").json} == {"good", "small"}


def test_without_a_pixel_size_the_frame_is_its_own_measure(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    save_frame(tmp_path / "in" / "f.ome.tif", planes, pixel_size_um=None)
    ended = cacapp("run", tmp_path / "in", *WHO)
    assert ended.code == OK
    assert any("no pixel size" in line for line in ended.lines("warning"))
    assert len(cacapp("cells", "--json").json) >= 8


@pytest.mark.parametrize(
    ("spoil", "says"), [(Path.unlink, "missing"), (lambda path: path.write_bytes(b"II*\0other"), "changed since ingest")]
)
def test_a_file_gone_or_changed_since_ingest_costs_its_frame_only(
    cacapp: Run, batch: Path, small_slide: Path, spoil: Callable[[Path], object], says: str
) -> None:
    shutil.copy(small_slide / "frame01.ome.tif", batch / "other.ome.tif")
    assert cacapp("ingest", batch, *WHO).code == OK
    spoil(batch / "other.ome.tif")
    segmented = cacapp("segment")
    assert segmented.code == PARTLY
    (line,) = segmented.lines("error")
    assert "other" in line
    assert says in line
    assert cacapp("count").code == OK
    assert {r["frame"] for r in cacapp("cells", "--json").json} == {"good"}
    (patient,) = cacapp("patients", "--json").json
    assert (patient["frames"], patient["frames_failed"]) == (2, 1)


def test_a_slide_whose_files_are_all_gone_fails_and_can_be_done_later(cacapp: Run, batch: Path) -> None:
    assert cacapp("ingest", batch, *WHO).code == OK
    batch.rename(batch.with_name("away"))
    ended = cacapp("segment")
    assert ended.code == FAILED
    assert "missing" in ended.err
    assert rows("cell") == 0
    batch.with_name("away").rename(batch)
    assert cacapp("segment").code == OK
    assert rows("run") == 1


def test_a_file_that_went_between_segment_and_count(cacapp: Run, batch: Path) -> None:
    cacapp("ingest", batch, *WHO)
    cacapp("segment")
    (batch / "good.ome.tif").unlink()
    ended = cacapp("count")
    assert ended.code == FAILED
    assert "missing" in ended.err
    assert rows("cell_call") == 0


def test_the_same_file_again_is_known(cacapp: Run, batch: Path) -> None:
    cacapp("ingest", batch, *WHO)
    ended = cacapp("ingest", batch, *WHO)
    assert ended.code == OK
    assert "1 already there" in ended.out
    assert rows("frame") == 1


def test_a_frame_of_another_slide_is_refused(cacapp: Run, batch: Path, small_slide: Path) -> None:
    cacapp("ingest", batch, *WHO)
    other = ("--patient", "P1", "--slide", "S2", "--blood-volume-ul", "100")
    ended = cacapp("ingest", batch, *other)
    assert ended.code == FAILED
    assert "of slide S1 already" in ended.err
    assert rows("slide") == 1
    shutil.copy(small_slide / "frame01.ome.tif", batch / "new.ome.tif")
    assert cacapp("ingest", batch, *other).code == PARTLY
    assert (rows("slide"), rows("frame")) == (2, 2)


def test_a_slide_of_another_patient_is_refused_and_the_patient_not_made(cacapp: Run, batch: Path) -> None:
    cacapp("ingest", batch, *WHO)
    ended = cacapp("ingest", batch, "--patient", "P2", "--slide", "S1", "--blood-volume-ul", "100")
    assert ended.code == FAILED
    (line,) = ended.lines("error")
    assert "belongs to patient P1" in line
    assert rows("patient") == 1
