"""Nuclei leave in the formats of other programs, those programs' own readers open them, and they come back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile

from cacapp.types import Array

SAMPLE = Path(__file__).parents[2] / "sample_slides" / "S01"
FRAMES = sorted(SAMPLE.glob("*.ome.tif"))
Cacapp = Callable[..., Any]
WITHOUT_HOLES = 0.97
"""IoU of a polygon with a mask that has a hole or a part that stands apart; without these it is exact."""


@pytest.fixture
def drawn(cacapp: Cacapp) -> Cacapp:
    """A slide with the true outlines as its nuclei, counted."""
    assert cacapp("ingest", *FRAMES, "--patient", "P", "--slide", "S", "--blood-volume-ul", "100").code == 0
    assert cacapp("import-labels", SAMPLE, "--slide", "S", "--origin", "a person").code == 0
    assert cacapp("count", "S").code == 0
    return cacapp


@pytest.fixture
def bare(cacapp: Cacapp) -> Cacapp:
    assert cacapp("ingest", *FRAMES, "--patient", "P", "--slide", "S", "--blood-volume-ul", "100").code == 0
    return cacapp


def masks(cacapp: Cacapp, out: Path) -> dict[str, Array]:
    """The slide's nuclei as label images, by frame."""
    assert cacapp("export", out, "--slide", "S").code == 0
    return {path.name: tifffile.imread(path) for path in sorted(out.glob("*_labels.tif"))}


def ious(before: Array, after: Array) -> list[float]:
    """Of each nucleus with the one that lies where it lay."""
    found = []
    for label in np.unique(before[before > 0]):
        mask = before == label
        other = after == np.bincount(after[mask]).argmax()
        found.append(float((mask & other).sum() / (mask | other).sum()))
    return found


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.parametrize("form", ["tiff", "ome-zarr", "coco", "geojson", "roi"])
def test_nuclei_come_back_as_they_left(drawn: Cacapp, tmp_path: Path, form: str) -> None:
    before = masks(drawn, tmp_path / "before")
    assert drawn("export", tmp_path / form, "--slide", "S", "--format", form).code == 0
    assert drawn("import-labels", tmp_path / form, "--slide", "S", "--origin", form).code == 0
    newest = drawn("runs", "list", "--json").json[0]
    assert newest["algorithms"]["chosen"][0]["name"] == form
    assert drawn("count", "S").code == 0
    after = masks(drawn, tmp_path / "after")
    assert list(before) == list(after)
    for name in before:
        if form in ("geojson", "roi"):
            got = ious(before[name], after[name])
            assert min(got) >= WITHOUT_HOLES, name
            assert np.median(got) == 1, name
        else:
            assert np.array_equal(before[name], after[name]), name


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_ome_zarrs_own_reader_finds_image_and_nuclei(drawn: Cacapp, tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    true = masks(drawn, tmp_path / "tiff")["frame00_labels.tif"]
    assert drawn("export", tmp_path / "zarr", "--slide", "S", "--format", "ome-zarr").code == 0
    location = parse_url(tmp_path / "zarr" / "frame00.ome.zarr")
    assert location is not None
    image, _, labels = Reader(location)()
    pixels = tifffile.imread(FRAMES[0])
    assert np.array_equal(np.asarray(image.data[0]), pixels)
    assert image.metadata["channel_names"] == ["DAPI", "aqua", "green", "gold", "red"]
    assert np.array_equal(np.asarray(labels.data[0]), true)
    about = labels.metadata["properties"]
    assert sorted(about) == sorted(np.unique(true[true > 0]).tolist())
    assert {"cell_id", "class", "is_cac", "red"} <= set(about[1])
    sizes = json.loads((tmp_path / "zarr" / "frame00.ome.zarr" / ".zattrs").read_text())["multiscales"][0]
    assert [a["name"] for a in sizes["axes"]] == ["c", "y", "x"]


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_an_exported_ome_zarr_is_a_frame_of_its_own_right(drawn: Cacapp, tmp_path: Path) -> None:
    assert drawn("export", tmp_path / "zarr", "--slide", "S", "--format", "ome-zarr").code == 0
    who = ("--patient", "P2", "--slide", "S2", "--blood-volume-ul", "100")
    done = drawn("ingest", tmp_path / "zarr", *who, "--same-pixels", "an export of slide S")
    assert done.code == 0, done.err
    assert drawn("import-labels", tmp_path / "zarr", "--slide", "S2").code == 0
    refused = drawn("export", tmp_path / "zarr", "--slide", "S2", "--format", "ome-zarr")
    assert (refused.code, "not replaced" in refused.err) == (1, True), "its own pixels"
    assert drawn("export", tmp_path / "zarr", "--slide", "S", "--format", "ome-zarr").code == 0, "an older export makes way"


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_imagej_qupath_and_coco_tools_open_the_files(drawn: Cacapp, tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from shapely.geometry import shape

    true = masks(drawn, tmp_path / "tiff")["frame00_labels.tif"]
    cells = [c for c in drawn("cells", "--json").json if c["frame"].startswith("frame00")]
    for form in ("roi", "geojson", "coco"):
        assert drawn("export", tmp_path / form, "--slide", "S", "--format", form).code == 0
    rois = roifile.roiread(tmp_path / "roi" / "frame00_rois.zip")
    assert isinstance(rois, list)
    calls = [c["class"] if c["evaluable"] else "not evaluable" for c in cells]
    assert [r.name for r in rois] == [f"{c['label']} {call}" for c, call in zip(cells, calls, strict=True)]
    xs, ys = rois[0].coordinates().T
    own_y, own_x = np.nonzero(true == 1)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (own_x.min(), own_y.min(), own_x.max() + 1, own_y.max() + 1)

    features = json.loads((tmp_path / "geojson" / "frame00.geojson").read_text())["features"]
    areas = [shape(f["geometry"]) for f in features]
    assert all(a.is_valid for a in areas)
    assert [a.area for a in areas] == pytest.approx([c["area_px"] for c in cells], rel=1 - WITHOUT_HOLES)

    coco = COCO(tmp_path / "coco" / "annotations.json")
    [image] = [i for i in coco.dataset["images"] if i["frame"] == cells[0]["frame"]]
    for one in coco.loadAnns(coco.getAnnIds(image["id"])):
        [label] = [c["label"] for c in cells if c["cell_id"] == one["id"]]
        assert np.array_equal(coco.annToMask(one) > 0, true == label)


@pytest.mark.slow
def test_hand_drawn_outlines_are_the_pixels_whose_centres_lie_in_or_on_them(bare: Cacapp, tmp_path: Path) -> None:
    ring = [[10.2, 10.2], [20.8, 10.2], [20.8, 30.4], [10.2, 30.4], [10.2, 10.2]]
    hole = [[14, 14], [16, 14], [16, 16], [14, 16], [14, 14]]
    crossed = [[100, 100], [140, 140], [140, 100], [100, 140], [100, 100]]
    nucleus = {"type": "Polygon", "coordinates": [[[x + 50, y + 50] for x, y in ring]]}
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring, hole]}, "properties": {"objectType": "detection"}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [crossed]}, "properties": {"objectType": "detection"}},
        {"type": "Feature", "geometry": nucleus, "nucleusGeometry": nucleus, "properties": {"objectType": "cell"}},
        {"type": "Feature", "geometry": {"type": "LineString", "coordinates": ring}, "properties": {"objectType": "annotation"}},
    ]
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "frame00.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=50, top=60, right=80, bottom=100, name="oval")
    free = roifile.ImagejRoi.frompoints(np.array(ring[:-1]) + 100.0, name="free")
    roifile.roiwrite(tmp_path / "q" / "frame01_rois.zip", [oval, free])
    assert bare("import-labels", tmp_path / "q", "--slide", "S").code == 0
    cells = bare("cells", "--json").json
    by_frame = {name: [c["area_px"] for c in cells if c["frame"].startswith(name)] for name in ("frame00", "frame01")}
    assert by_frame["frame00"][0] == 11 * 20 - 4, "a rectangle of 11 x 20 centres without a hole of 2 x 2"
    assert by_frame["frame00"][1] == 760 + 2 * 40, "two triangles of a crossed square, with the centres on its diagonals"
    assert by_frame["frame00"][2:] == [11 * 20], "of a cell its nucleus; annotations are none where there are detections"
    assert by_frame["frame01"][0] == pytest.approx(np.pi * 15 * 20, rel=0.02)
    assert by_frame["frame01"][1] == 11 * 20


def test_coco_polygons_and_plain_run_lengths_are_read(bare: Cacapp, tmp_path: Path) -> None:
    height, width = tifffile.imread(FRAMES[0]).shape[1:]
    runs = [5 * height + 7, 10, height - 10, 10, height * width - 6 * height - 27 + 10]
    runs[-1] = height * width - sum(runs[:-1])
    segmentations: list[Any] = [
        {"size": [height, width], "counts": runs},
        [[20, 20, 40, 20, 40, 50, 20, 50], [60, 20, 70, 20, 70, 30, 60, 30]],
    ]
    annotations = [{"id": i, "image_id": 9, "category_id": 1, "segmentation": s} for i, s in enumerate(segmentations)]
    annotations.append({"id": 7, "image_id": 9, "category_id": 1, "iscrowd": 1, "segmentation": segmentations[0]})
    images = [{"id": 9, "file_name": "images/frame01.png", "height": height, "width": width}]
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    done = bare("import-labels", path, "--slide", "S")
    assert done.code == 0, done.err
    cells = bare("cells", "--json").json
    assert (cells[0]["y"], cells[0]["x"]) == (11.5, 5.5)
    assert [c["area_px"] for c in cells] == [20, 20 * 30 + 10 * 10]


def test_outlines_that_cannot_be_read_fail_their_frame_by_name(bare: Cacapp, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "frame00.geojson").write_text("{")
    (tmp_path / "in" / "frame01.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    done = bare("import-labels", tmp_path / "in", "--slide", "S")
    assert done.code == 3
    [line] = done.lines("error")
    assert "frame00" in line
    assert "no JSON" in line
    assert bare("cells", "--json").json == [], "frame01 has none, frame00 failed"


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("nonsense", 1, "no JSON"),
        ("[]", 1, "no COCO file"),
        ('{"images": [{"id": 1}], "annotations": []}', 1, "no COCO file"),
        ('{"images": [], "annotations": []}', 2, "no labels for any frame"),
        ('{"images": [{"id": 1, "file_name": "frame00.png", "height": 5, "width": 5}], "annotations": []}', 1, "the image is 5 x 5 px"),
    ],
)
def test_a_coco_file_that_is_none_is_refused_in_one_line(bare: Cacapp, tmp_path: Path, content: str, code: int, said: str) -> None:
    (tmp_path / "annotations.json").write_text(content)
    done = bare("import-labels", tmp_path, "--slide", "S")
    assert done.code == code
    assert said in done.err


def test_two_files_for_a_frame_are_refused(bare: Cacapp, tmp_path: Path) -> None:
    (tmp_path / "frame00_rois.zip").touch()
    (tmp_path / "frame00.geojson").write_text("[]")
    assert "keep one" in bare("import-labels", tmp_path, "--slide", "S").err
