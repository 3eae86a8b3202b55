"""Slides on disk: complete, named, reproducible; the committed samples are what their script makes."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cacapp.exceptions import CacappError, UsageError
from cacapp.simulation import (
    SAMPLE_MIN_EVALUABLE_CELLS,
    SAMPLE_MODEL,
    SAMPLE_PATIENTS,
    SlideModel,
    simulate_frame,
    write_slide,
)
from cacapp.simulation.samples import SAMPLE_HEIGHT_PX, SAMPLE_WIDTH_PX
from cacapp.simulation.slide import frame_rng
from cacapp.types import CHANNELS

SAMPLES = Path(__file__).parents[2] / "sample_slides"


def write(out: Path, frames: int = 2, **more: object) -> list[Path]:
    settings = {"seed": 5, "height_px": 200, "width_px": 220, "nuclei": 2} | more
    return write_slide(out, SlideModel(), frames=frames, **settings)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_a_slide_has_frames_labels_and_truth_and_nothing_else(tmp_path):
    paths = write(tmp_path / "s")
    assert [p.name for p in paths] == ["frame00.ome.tif", "frame01.ome.tif"]
    assert set(contents(tmp_path / "s")) == {
        "frame00.ome.tif", "frame00_labels.tif", "frame01.ome.tif", "frame01_labels.tif", "truth.csv",
    }  # fmt: skip


def test_the_frame_is_an_ome_tiff_with_named_channels_and_a_pixel_size(tmp_path):
    path = write(tmp_path, frames=1)[0]
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert (tiff.series[0].axes, tiff.series[0].shape, tiff.series[0].dtype) == ("CYX", (5, 200, 220), np.uint16)
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [c["Name"] for c in pixels["Channel"]] == list(CHANNELS)
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (0.12, 0.12)
    assert pixels["PhysicalSizeXUnit"] == "µm"


def test_truth_names_every_label_of_every_frame(tmp_path):
    write(tmp_path)
    with (tmp_path / "truth.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0]) == ["frame", "label", "y", "x", "area_px", "kind", "aqua", "green", "gold", "red"]
    for name in ("frame00", "frame01"):
        labels = tifffile.imread(tmp_path / f"{name}_labels.tif")
        assert labels.dtype == np.int32
        mine = {int(r["label"]): int(r["area_px"]) for r in rows if r["frame"] == name}
        values, areas = np.unique(labels[labels > 0], return_counts=True)
        assert mine == dict(zip(values.tolist(), areas.tolist(), strict=True))


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_frame_does_not_depend_on_how_many_are_made(tmp_path):
    write(tmp_path / "one", frames=1)
    write(tmp_path / "three", frames=3)
    assert (tmp_path / "one/frame00.ome.tif").read_bytes() == (tmp_path / "three/frame00.ome.tif").read_bytes()


def test_compression_changes_the_file_and_not_the_pixels(tmp_path):
    plain, packed = (write(tmp_path / c, frames=1, compression=c)[0] for c in ("none", "deflate"))
    assert packed.stat().st_size < plain.stat().st_size
    assert np.array_equal(tifffile.imread(plain), tifffile.imread(packed))


def test_requests_that_make_no_slide_are_refused(tmp_path):
    for wrong in ({"frames": 0}, {"compression": "zip"}, {"seed": -1}, {"nuclei": [1, 2, 3]}):
        with pytest.raises(UsageError):
            write(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacappError, match="cannot write"):
        write(tmp_path / "file" / "slide")


def test_the_samples_show_the_five_verdicts():
    expected = {p.code: p.expected for p in SAMPLE_PATIENTS}
    assert expected == {
        "P01-negative": "negative",
        "P02-positive": "positive",
        "P03-polyploid": "positive by polyploid cells only",
        "P04-few": "insufficient",
        "P05-novolume": "undetermined",
    }
    for p in SAMPLE_PATIENTS:
        polyploid, cacs = p.count("triploid", "tetraploid"), p.count("cac")
        assert (p.nuclei >= SAMPLE_MIN_EVALUABLE_CELLS) == (p.expected != "insufficient")
        if p.blood_volume_ul is None:
            assert p.expected == "undetermined"
        elif p.expected != "insufficient":
            per_100_ul = 100 * np.array([cacs, cacs + polyploid]) / p.blood_volume_ul
            assert (per_100_ul >= 3).tolist() == [p.expected == "positive", p.expected.startswith("positive")]


def test_the_committed_samples_are_complete_and_small():
    with (SAMPLES / "slides.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert [r["patient"] for r in rows] == [p.code for p in SAMPLE_PATIENTS]
    for row, patient in zip(rows, SAMPLE_PATIENTS, strict=True):
        assert row["blood_volume_ul"] == ("" if patient.blood_volume_ul is None else f"{patient.blood_volume_ul:g}")
        with (SAMPLES / row["path"] / "truth.csv").open() as f:
            kinds = [r["kind"] for r in csv.DictReader(f)]
        assert len(list((SAMPLES / row["path"]).glob("*.ome.tif"))) == len(patient.frames)
        assert len(kinds) == patient.nuclei
        assert kinds.count("cac") == patient.count("cac")
    assert sum(p.stat().st_size for p in SAMPLES.rglob("*") if p.is_file()) < 12e6


def test_the_script_makes_the_committed_pixels():
    patient = SAMPLE_PATIENTS[3]
    kinds = patient.frames[0]
    frame = simulate_frame(SAMPLE_MODEL, frame_rng(patient.seed, 0), SAMPLE_HEIGHT_PX, SAMPLE_WIDTH_PX, sum(kinds.values()), kinds)
    assert np.array_equal(frame.labels, tifffile.imread(SAMPLES / patient.barcode / "frame00_labels.tif"))
    committed = tifffile.imread(SAMPLES / patient.barcode / "frame00.ome.tif").astype(int)
    difference = np.abs(frame.planes.astype(int) - committed)
    # Another processor may round a last bit of float32 differently.
    assert difference.max() <= 2
    assert (difference == 0).mean() > 0.999
