"""Invalid outlines: one line that names the file and the place in it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from hypothesis import given
from hypothesis import strategies as st

from cacapp.exceptions import CacappError
from cacapp.exchange.coco import nuclei_of, read_coco
from cacapp.exchange.geojson import read_geojson
from cacapp.exchange.label_zarr import labels_in
from cacapp.exchange.roi import read_rois

LINE = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 1], [2, 2]]}, "properties": {}}
FAR = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[-9, -9], [-5, -9], [-5, -5], [-9, -9]]]}, "properties": {}}
FLAT = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[1, 2], 3]}, "properties": {}}


def _zip(path: Path, name: str = "a.roi", content: bytes = b"nonsense") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("f.geojson", lambda p: p.write_text("{"), "no JSON"),
        ("f.geojson", lambda p: p.write_text('{"type": "Polygon"}'), "no GeoJSON of Features"),
        ("f.geojson", lambda p: p.write_text(json.dumps([LINE])), "feature 1: is a LineString"),
        ("f.geojson", lambda p: p.write_text(json.dumps([FAR])), "feature 1: covers no pixel"),
        ("f.geojson", lambda p: p.write_text(json.dumps([FLAT])), "no rings"),
        ("f.geojson", lambda p: p.write_text("[" * 100_000), "no JSON"),
        ("f.zip", lambda p: p.write_bytes(b"PK"), "no zip"),
        ("f.zip", lambda p: _zip(p, "readme.txt"), "holds no .roi"),
        ("f.zip", _zip, "a.roi: cannot be read"),
        ("f.zip", lambda p: _zip(p, content=b"\0" * (1 << 25)), "no outline"),
        ("f.zip", lambda p: roifile.roiwrite(p, [roifile.ImagejRoi(roitype=roifile.ROI_TYPE.POINT, name="dot")]), "is a point"),
    ],
)
def test_outlines_that_cannot_be_read_are_refused_by_file_and_place(
    tmp_path: Path, name: str, make: Callable[[Path], Any], said: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(CacappError) as refused:
        (read_rois if path.suffix == ".zip" else read_geojson)(path, 50, 60)
    line = str(refused.value)
    assert line.startswith(str(path))
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (".zattrs", '{"labels": ["a", "b"]}', "a, b"),
        (".zattrs", '{"labels": ["../../.."]}', "no label image"),
        ("zarr.json", "{}", "no list"),
    ],
)
def test_label_images_that_are_not_there_are_named(tmp_path: Path, file: str, content: str, said: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / file).write_text(content)
    with pytest.raises(CacappError, match=said):
        labels_in(tmp_path)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (None, "only a box"),
        ([], "only a box"),
        ([[1, 2, 3]], "neither"),
        ([[1, 2, 3, 4]], "three points"),
        ([["a"] * 6], "neither"),
        ([[100, 100, 120, 100, 120, 130]], "covers no pixel"),
        ({"size": [4, 4], "counts": [16]}, "4 x 4"),
        ({"size": [8, 9], "counts": [3, -3, 72]}, "do not add up"),
        ({"size": [8, 9], "counts": "zz~"}, "do not add up"),
        ({"size": [8, 9], "counts": [72]}, "empty"),
        ({"counts": [72]}, "neither"),
    ],
)
def test_annotations_without_a_mask_are_named(tmp_path: Path, segmentation: Any, said: str) -> None:
    path = tmp_path / "annotations.json"
    images = [{"id": 1, "file_name": "f.png", "height": 8, "width": 9}]
    path.write_text(json.dumps({"images": images, "annotations": [{"id": 5, "image_id": 1, "segmentation": segmentation}]}))
    [annotated] = read_coco(path, "S").values()
    with pytest.raises(CacappError, match=f"annotation 5: .*{said}"):
        nuclei_of(annotated, 8, 9)


@given(st.lists(st.booleans(), min_size=12, max_size=12).filter(any))
def test_run_lengths_of_any_mask_are_that_mask(bits: list[bool]) -> None:
    from cacapp.exchange.coco import Annotated

    image = np.array(bits).reshape(3, 4)
    flat = image.T.ravel()
    cuts = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.r_[0, cuts, flat.size]).tolist()
    segmentation = {"size": [3, 4], "counts": runs if not flat[0] else [0, *runs]}
    [found] = nuclei_of(Annotated(Path("x"), 3, 4, ({"id": 1, "segmentation": segmentation},)), 3, 4)
    x, y, w, h = found.bbox_xywh
    again = np.zeros((3, 4), bool)
    again[y : y + h, x : x + w] = found.mask
    assert np.array_equal(again, image)
    assert found.mask.any(axis=0)[[0, -1]].all()
    assert found.mask.any(axis=1)[[0, -1]].all()
