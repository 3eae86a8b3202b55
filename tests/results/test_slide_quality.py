"""Simulated slides with one fault each: the fault is named, and no cell is called on a channel that failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL
from cacapp.types import CHANNELS, Array

pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only]
Run = Callable[..., Any]
SIDE_PX, WIDTH_PX = 760, 1000
RED, GREEN = CHANNELS.index("red"), CHANNELS.index("green")


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Array:
    """(5, 760, 1000) uint16 with 45 nuclei."""
    folder = tmp_path_factory.mktemp("quality") / "slide"
    kinds = {"normal": 42, "cac": 3}
    write_slide(folder, SAMPLE_MODEL, frames=1, seed=3, height_px=SIDE_PX, width_px=WIDTH_PX, nuclei=45, kinds=[kinds])
    frame: Array = tifffile.imread(folder / "frame00.ome.tif")
    return frame


@pytest.fixture
def counted_pixels(cacapp: Run, save_frame: Callable[..., Path]) -> Callable[[Array], Any]:
    """Takes pixels through ingest, segment and count as slide S1; returns the record of patient P1 and how count ended."""

    def run(planes: Array) -> tuple[dict[str, Any], Any]:
        path = save_frame(Path("in") / "f1.ome.tif", planes)
        ended = cacapp("ingest", path, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100", "--quiet")
        assert ended.code == 0, ended.err
        assert cacapp("segment", "--quiet").code == 0
        ended = cacapp("count", "--min-evaluable", "5")
        assert ended.code == 0, ended.err
        (record,) = cacapp("report", "--json").json
        return record, ended

    return run


def test_a_good_slide_passes_and_says_so_on_its_page(
    counted_pixels: Callable[[Array], Any], cacapp: Run, pixels: Array, ask: Callable[..., Any]
) -> None:
    record, ended = counted_pixels(pixels)
    assert record["qc"] == {"S1": {"verdict": "pass", "problems": []}}
    assert record["evaluable"] > 30
    assert ended.lines("warning") == []
    assert cacapp("report", "--format", "html", "--out", "pages", "--quiet").code == 0
    page = Path("pages/P1.html").read_text()
    assert "Slide S1: pass" in page
    assert page.count('<td class="n">pass</td>') == 6  # five channels and the slide
    # As if the process had been killed between the last frame and the judgement: the next call judges.
    ask("DELETE FROM slide_quality")
    assert cacapp("report", "--json").json[0]["qc"] == {}
    assert cacapp("count", "--min-evaluable", "5").code == 0
    assert cacapp("report", "--json").json[0]["qc"] == record["qc"]


def saturated(planes: Array) -> Array:
    planes[RED] = np.clip(planes[RED].astype(float) * 2500, 0, 65535)
    return planes


def empty(planes: Array) -> Array:
    planes[RED] = np.random.default_rng(0).normal(30, 2, planes[RED].shape)
    return planes


def blurred(planes: Array) -> Array:
    planes[RED] = cv2.GaussianBlur(planes[RED], (0, 0), 5)
    return planes


@pytest.mark.parametrize(
    ("spoil", "words"), [(saturated, "red: saturated"), (empty, "red: empty: no signal in any nucleus"), (blurred, "red: out of focus")]
)
def test_a_channel_that_failed_is_named_and_no_cell_is_called_on_it(
    counted_pixels: Callable[[Array], Any], cacapp: Run, pixels: Array, spoil: Callable[[Array], Array], words: str
) -> None:
    record, ended = counted_pixels(spoil(pixels.copy()))
    assert record["qc"]["S1"]["verdict"] == "fail"
    assert any(p.startswith(words) for p in record["qc"]["S1"]["problems"]), record["qc"]
    assert any(words in line for line in ended.lines("warning"))
    assert (record["evaluable"], record["cacs"], record["verdict"]) == (0, 0, "insufficient")
    # A saturated nucleus has that reason of its own.
    assert set(record["exclusions"]) & {"failed_qc_red", "saturated"}
    assert all(c["class"] is None for c in cacapp("cells", "--json").json)
    assert "QC fail, slide S1" in " ".join(cacapp("patients").out.split())


def test_no_cell_is_called_where_the_dots_are_at_the_cameras_top(counted_pixels: Callable[[Array], Any], pixels: Array) -> None:
    planes = pixels.copy()
    planes[RED] = np.clip(planes[RED].astype(float) * 400, 0, 65535)
    record, _ = counted_pixels(planes)
    assert record["qc"]["S1"]["verdict"] == "fail"
    assert any(p.startswith("red: dots as bright as the camera can tell") for p in record["qc"]["S1"]["problems"])
    assert record["evaluable"] == 0


def test_probe_channels_with_exchanged_names_are_flagged_by_name(counted_pixels: Callable[[Array], Any], pixels: Array) -> None:
    planes = pixels.copy()
    planes[[GREEN, RED]] = planes[[RED, GREEN]]
    record, _ = counted_pixels(planes)
    assert record["qc"]["S1"]["verdict"] == "warn"
    assert "green for red, red for green" in record["qc"]["S1"]["problems"][0]


def test_dapi_under_a_probes_name_is_flagged(counted_pixels: Callable[[Array], Any], pixels: Array) -> None:
    planes = pixels.copy()
    planes[[0, GREEN]] = planes[[GREEN, 0]]
    record, _ = counted_pixels(planes)
    assert record["qc"]["S1"]["verdict"] == "fail"
    assert any("swapped? green shows whole nuclei, DAPI does not" in p for p in record["qc"]["S1"]["problems"])
    assert (record["evaluable"], record["cacs"]) == (0, 0)


def test_an_8_bit_jpeg_export_is_flagged(counted_pixels: Callable[[Array], Any], pixels: Array) -> None:
    eight = np.stack([np.clip((p.astype(float) - p.min()) / np.ptp(p) * 255, 0, 255).astype(np.uint8) for p in pixels])
    lossy = []
    for plane in eight:
        done, coded = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, 90])
        assert done
        lossy.append(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    record, _ = counted_pixels(np.stack(lossy))
    problems = record["qc"]["S1"]["problems"]
    assert sum("8 bits a pixel" in p for p in problems) == 5
    assert sum("blocks of a JPEG" in p for p in problems) >= 4


def test_a_nucleus_seen_in_two_overlapping_frames_is_counted_once(cacapp: Run, pixels: Array) -> None:
    assert cacapp("db", "upgrade", "--quiet").code == 0
    Path("in").mkdir()
    for name, left in (("a", 0), ("b", 360)):
        place = {"PositionX": [float(left * 0.12)] * 5, "PositionXUnit": ["µm"] * 5, "PositionY": [0.0] * 5, "PositionYUnit": ["µm"] * 5}
        metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}, "Plane": place, "PhysicalSizeX": 0.12, "PhysicalSizeY": 0.12}
        cut = pixels[:, :, left : left + 640]
        tifffile.imwrite(f"in/{name}.ome.tif", cut, ome=True, photometric="minisblack", metadata=metadata)
    assert (
        cacapp(
            "run", "in", "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100", "--segmenter", "coarse", "--no-report", "--quiet"
        ).code
        == 0
    )
    cells = cacapp("cells", "--json").json
    dropped = [c for c in cells if c["exclusion_reason"] == "duplicate"]
    assert len(dropped) >= 5
    by_id = {c["cell_id"]: c for c in cells}
    assert all(c["duplicate_of"] is None for c in cells if c["evaluable"])
    kept = [(c["y"], c["x"] + (360 if c["frame"] == "b" else 0)) for c in cells if c["evaluable"]]
    for c in dropped:
        here = (c["y"], c["x"] + (360 if c["frame"] == "b" else 0))
        assert min(np.hypot(here[0] - y, here[1] - x) for y, x in kept) < 5
        assert c["class"] is None
        assert by_id[c["duplicate_of"]]["evaluable"]
    apart = [np.hypot(a[0] - b[0], a[1] - b[1]) for i, a in enumerate(kept) for b in kept[:i]]
    assert min(apart) > 20
