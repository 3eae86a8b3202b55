"""Nuclei drawn elsewhere become a segmentation of their own, and counting goes on from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

SAMPLE = Path(__file__).parents[2] / "sample_slides" / "S01"
Cacapp = Callable[..., Any]


@pytest.fixture
def slide(cacapp: Cacapp) -> Cacapp:
    assert cacapp("ingest", *sorted(SAMPLE.glob("*.ome.tif")), "--patient", "P", "--slide", "S", "--blood-volume-ul", "100").code == 0
    return cacapp


@pytest.mark.slow
def test_true_outlines_give_cells_with_the_same_masks_and_exact_counts(slide: Cacapp, tmp_path: Path) -> None:
    assert slide("import-labels", SAMPLE, "--slide", "S", "--origin", "a person").code == 0
    assert slide("count", "S").code == 0
    assert slide("export", tmp_path / "out", "--slide", "S").code == 0
    for path in sorted(SAMPLE.glob("*_labels.tif")):
        true, got = (tifffile.imread(p) for p in (path, tmp_path / "out" / path.name))
        assert np.array_equal(true > 0, got > 0)
    [counting, imported] = slide("runs", "list", "--json").json
    assert (imported["step"], imported["algorithms"]["chosen"][0]["name"]) == ("segment", "a person")
    assert counting["source_run_id"] == imported["id"]


def test_the_same_labels_again_are_not_imported_twice(slide: Cacapp) -> None:
    assert slide("import-labels", SAMPLE, "--slide", "S").code == 0
    again = slide("import-labels", SAMPLE, "--slide", "S")
    assert again.code == 0
    assert "already done" in again.out
    assert len(slide("runs", "list", "--json").json) == 1


def test_any_numbers_are_labels(slide: Cacapp, tmp_path: Path) -> None:
    labels = np.zeros(tifffile.imread(SAMPLE / "frame00_labels.tif").shape, np.uint32)
    labels[10:40, 10:40], labels[10:40, 41:70] = 4_000_000_000, 7
    tifffile.imwrite(tmp_path / "frame00_masks.tif", labels)
    done = slide("import-labels", tmp_path, "--slide", "S")
    assert done.code == 0
    assert "frame01: no labels" in done.err
    cells = slide("cells", "--slide", "S", "--json").json
    assert [(c["y"], c["x"]) for c in cells] == [(24.5, 55.0), (24.5, 24.5)], "in the order of their numbers"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: np.ones((10, 10), np.uint16), "the frame is"),
        (lambda f: (tifffile.imread(SAMPLE / "frame00_labels.tif") > 0).astype(np.uint8), "same number"),
        (lambda f: np.zeros((8, 8), np.float32), "whole numbers"),
    ],
)
def test_labels_that_cannot_be_used_fail_their_frame_by_name(slide: Cacapp, tmp_path: Path, make: Callable[[Path], Any], said: str) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    shutil.copy(SAMPLE / "frame01_labels.tif", folder)
    tifffile.imwrite(folder / "frame00_labels.tif", make(folder))
    done = slide("import-labels", folder, "--slide", "S")
    assert done.code == 3
    assert "frame00" in done.err
    assert said in done.err


def test_wrong_folders_and_options_are_refused(slide: Cacapp, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for args, said in (
        ((tmp_path / "none",), "no such folder"),
        ((tmp_path / "empty",), "no labels for any frame"),
        ((SAMPLE, "--origin", " "), "--origin"),
    ):
        refused = slide("import-labels", *args, "--slide", "S")
        assert (refused.code, said in refused.err) == (2, True)
    shutil.copy(SAMPLE / "frame00_labels.tif", tmp_path / "empty" / "frame00_labels.tif")
    shutil.copy(SAMPLE / "frame00_labels.tif", tmp_path / "empty" / "frame00_labels.tiff")
    assert "keep one" in slide("import-labels", tmp_path / "empty", "--slide", "S").err
    assert slide("runs", "list", "--json").json == []


@pytest.mark.parametrize(
    "name", ["frame00.ome_cp_masks.png", "frame00_DAPI_cp_masks.png", "frame00_Hoechst_masks.tif", "frame00_Nuclei.tif"]
)
def test_labels_are_found_under_the_names_that_programs_give_them(slide: Cacapp, tmp_path: Path, name: str) -> None:
    labels = tifffile.imread(SAMPLE / "frame00_labels.tif").astype(np.uint16)
    cv2.imwrite(str(tmp_path / name), labels)
    assert slide("import-labels", tmp_path, "--slide", "S").code == 0
    assert len(slide("cells", "--slide", "S", "--json").json) == labels.max()


def test_labels_in_several_places_are_refused_or_parted(slide: Cacapp, tmp_path: Path) -> None:
    labels = tifffile.imread(SAMPLE / "frame00_labels.tif").astype(np.uint16)
    tifffile.imwrite(tmp_path / "frame00_labels.tif", np.where(labels > 0, np.where(labels <= 4, 1, 2), 0).astype(np.uint16))
    refused = slide("import-labels", tmp_path, "--slide", "S")
    assert "2 of 2 labels lie in several separate places" in " ".join(refused.err.split())
    assert slide("import-labels", tmp_path, "--slide", "S", "--split-labels").code == 0
    assert len(slide("cells", "--slide", "S", "--json").json) > 0.7 * labels.max()


def outline(mask: np.ndarray) -> list[list[float]]:
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    ring = (max(found, key=len)[:, 0] + 0.5).tolist()
    return [*ring, ring[0]]


def test_qupath_s_regions_and_ignored_classes_are_no_nuclei_and_outlines_through_pixel_centres_keep_their_rim(
    slide: Cacapp, tmp_path: Path
) -> None:
    labels = tifffile.imread(SAMPLE / "frame00_labels.tif")
    height, width = labels.shape
    frame = [[0, 0], [width, 0], [width, height], [0, height], [0, 0]]
    rings = [frame, *(outline(labels == k) for k in np.unique(labels)[1:])]
    features = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [r]}, "properties": {}} for r in rings]
    for feature in features[1:4]:
        feature["properties"] = {"classification": {"name": "Ignore*"}}
    (tmp_path / "frame00.ome.tif.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert slide("import-labels", tmp_path, "--slide", "S").code == 0
    areas = sorted(c["area_px"] for c in slide("cells", "--slide", "S", "--json").json)
    assert areas == sorted(np.bincount(labels.ravel())[4:].tolist())


def test_cellpose_s_pickle_is_refused_by_name(slide: Cacapp, tmp_path: Path) -> None:
    (tmp_path / "frame00_seg.npy").write_bytes(b"x")
    assert "frame00_seg.npy: a pickle of Cellpose" in slide("import-labels", tmp_path, "--slide", "S").err
