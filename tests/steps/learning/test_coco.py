"""The COCO data set: what other programs read is what the database holds, and a folder is whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from sqlalchemy import text

from cacapp import __version__
from cacapp.arrays import rle
from cacapp.db.engine.session import Database, open_database
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.runs.plan import PseudoLabelPlan
from cacapp.steps.learning import coco
from cacapp.steps.learning.coco import write_coco
from cacapp.steps.learning.pseudo_label import pseudo_label
from cacapp.steps.learning.pseudo_samples import PseudoSamples
from cacapp.types import Array

PLAN = PseudoLabelPlan(prompters=("watershed",), params={"single-cell": {"min_area_um2": 40.0}})


@pytest.fixture
def database(counted: Callable[..., Any], record_url: str) -> Iterator[Database]:
    opened = open_database(record_url, create=False)
    yield opened
    opened.dispose()


@pytest.fixture
def run_id(database: Database) -> int:
    return pseudo_label(database, Host.discover(), PLAN)[0].run_id


def read(path: Path) -> Array:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_pycocotools_reads_the_labels_that_a_model_is_trained_on(database: Database, run_id: int, tmp_path: Path) -> None:
    made = write_coco(database, [run_id], tmp_path / "set", seed=3)
    samples = PseudoSamples.of_runs(database, [run_id], seed=3)
    data = COCO(str(tmp_path / "set" / "annotations.json"))
    assert data.loadCats(data.getCatIds())[0]["name"] == "nucleus"
    assert (made.images, made.labels) == (len(samples), len(data.anns))
    assert made.rejected > 0
    for image, sample in zip(data.imgs.values(), samples, strict=True):
        pixels = read(tmp_path / "set" / image["file_name"])
        assert pixels.dtype == sample.dapi.dtype
        assert np.array_equal(pixels, sample.dapi)
        own = data.loadAnns(data.getAnnIds(imgIds=image["id"]))
        assert len(own) == sample.labels.max()
        for label, annotation in enumerate(own, 1):
            mask = data.annToMask(annotation).astype(bool)
            assert annotation["area"] == mask.sum()
            x, y, w, h = annotation["bbox"]
            assert mask[y : y + h, x : x + w].sum() == mask.sum()
            assert (sample.labels[mask] == label).mean() > 0.8  # where nuclei overlap, the image has room for one
            assert annotation["iscrowd"] == 0
            assert annotation["agreement"] == ["watershed"]


def test_the_lineage_is_written_beside(database: Database, run_id: int, tmp_path: Path) -> None:
    write_coco(database, [run_id], tmp_path / "set", seed=3)
    content = json.loads((tmp_path / "set" / "annotations.json").read_text())
    own = content["info"]["cacapp"]
    assert (own["version"], own["seed"]) == (__version__, 3)
    (run,) = own["runs"]
    assert (run["run"], run["slide"], run["segmentation"]["run"]) == (run_id, "S1", 1)
    assert [(a["name"], a["params"].get("min_area_um2")) for a in run["algorithms"]] == [("single-cell", 40.0), ("watershed", None)]
    assert [a["name"] for a in run["segmentation"]["algorithms"]] == ["watershed", "coarse", "single-cell"]
    for image in content["images"]:
        assert image["sha256"] == hashlib.sha256((tmp_path / "set" / image["file_name"]).read_bytes()).hexdigest()


def test_the_same_runs_and_seed_give_the_same_bytes(database: Database, run_id: int, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_coco(database, [run_id], tmp_path / name, seed=3)
    one, two = ({p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("one", "two"))
    assert one == two
    assert len(one) == 4


def test_an_older_data_set_is_replaced_as_a_whole(database: Database, run_id: int, tmp_path: Path) -> None:
    write_coco(database, [run_id], tmp_path / "set")
    before = json.loads((tmp_path / "set" / "annotations.json").read_text())
    (other,) = pseudo_label(database, Host.discover(), PseudoLabelPlan(prompters=()))
    write_coco(database, [other.run_id], tmp_path / "set")
    after = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert len(after["annotations"]) > len(before["annotations"])
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".set", "set"))) == ["set"]


def test_a_folder_with_other_files_is_left_alone(database: Database, run_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_coco(database, [run_id], tmp_path / "set")
    (tmp_path / "set" / "images" / "mine.png").write_bytes(b"mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "annotations.json").write_text("{}")
    (tmp_path / "file").write_text("")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out, message in (
        ("set", "holds other files"),
        ("mine", "holds other files"),
        ("file", "is a file"),
        ("here", "the current folder"),
    ):
        with pytest.raises(UsageError, match=message):
            write_coco(database, [run_id], tmp_path / out)
    assert (tmp_path / "set" / "images" / "mine.png").read_bytes() == b"mine"


def test_a_failure_half_way_leaves_what_was_there(database: Database, run_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_coco(database, [run_id], tmp_path / "set")
    before = {p: p.read_bytes() for p in (tmp_path / "set").rglob("*.*")}
    encode, calls = coco._png, []

    def full(plane: Array) -> bytes:
        calls.append(1)
        if len(calls) == 2:
            raise CacappError("the disk is full")
        return encode(plane)

    monkeypatch.setattr(coco, "_png", full)
    with pytest.raises(CacappError, match="disk is full"):
        write_coco(database, [run_id], tmp_path / "set", seed=9)
    assert {p: p.read_bytes() for p in (tmp_path / "set").rglob("*.*")} == before
    assert not list(tmp_path.glob(".set*"))


def test_a_place_that_cannot_be_written_is_named(database: Database, run_id: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacappError, match=r"file.*--out"):
        write_coco(database, [run_id], tmp_path / "file" / "set")


def test_pixels_that_could_not_be_filled_are_a_crowd_that_tools_leave_out(
    cacapp: Callable[..., Any], save_frame: Any, record_url: str, tmp_path: Path
) -> None:
    planes = np.full((5, 160, 200), 100, np.uint16)
    cv2.circle(planes[0], (60, 80), 30, 3000, cv2.FILLED)  # type: ignore[call-overload]
    cv2.circle(planes[0], (150, 80), 30, 3000, cv2.FILLED)  # type: ignore[call-overload]
    save_frame(tmp_path / "slide" / "f.ome.tif", planes)
    assert cacapp("ingest", tmp_path / "slide", "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100").code == 0
    assert cacapp("segment", "--segmenter", "coarse").code == 0
    opened = open_database(record_url, create=False)
    (report,) = pseudo_label(opened, Host.discover(), PseudoLabelPlan(prompters=()))
    with opened.session() as session:  # the second mask becomes all of the frame, and is rejected
        session.execute(
            text("UPDATE cell SET bbox_x_px = 0, bbox_y_px = 0, bbox_w_px = 200, bbox_h_px = 160, mask = :mask WHERE label = 2"),
            {"mask": rle.encode(np.ones((160, 200), bool))},
        )
        session.execute(text("UPDATE pseudo_label SET accepted = FALSE WHERE cell_id = (SELECT id FROM cell WHERE label = 2)"))
    made = write_coco(opened, [report.run_id], tmp_path / "set")
    opened.dispose()
    assert (made.labels, made.rejected) == (1, 1)
    label, crowd = json.loads((tmp_path / "set" / "annotations.json").read_text())["annotations"]
    assert (label["iscrowd"], crowd["iscrowd"]) == (0, 1)
    assert crowd["bbox"] == [0, 0, 200, 160]
    assert crowd["area"] == 200 * 160 - label["area"]
    assert np.array_equal(read(tmp_path / "set" / "images" / "S1_f.png"), planes[0])


def test_file_names_stay_apart() -> None:
    taken: set[str] = set()
    assert [coco._unique(name, taken) for name in ("a", "A", "a", "b")] == ["a.png", "A-2.png", "a-3.png", "b.png"]
