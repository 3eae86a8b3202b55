"""The benchmark's table: its lines, what it stores, and how it resumes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest

from cacapp.exceptions import UsageError
from cacapp.host import Host
from cacapp.steps.benchmark.methods import PSEUDO, ROWS, rows_of
from cacapp.steps.benchmark.table import Benchmark
from cacapp.types import Array, Instance, Prompts
from tests.steps.bright import CALLS, Bright, Broken, Cellpose, Idle, Told, host_with, save


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """images/ and labels/: ``all`` has three bright squares, ``half`` one bright and one faint."""
    save(tmp_path / "data", "all", (200, 180, 160))
    save(tmp_path / "data", "half", (200, 50))
    return tmp_path / "data"


def task(host: Host, data: Path, **more: Any) -> Benchmark:
    values = {"train": None, "settings": (), "channels": None, "seed": 0, "force": False, "progress": Told(), "out": data.parent / "bench"}
    return Benchmark(host, data, **(values | more))


def line(comparison: Any, key: str) -> Any:
    return next(one for one in comparison.lines if one.key == key)


def test_the_papers_table_is_there_in_its_figures() -> None:
    paper = {row.method: row.paper for row in ROWS if row.paper}
    assert sorted(paper.values()) == [(0.5248, 37.33), (0.6003, 10.93), (0.7471, 21.64), (0.8022, 27.43), (0.8765, 4.19), (0.9351, 4.19)]
    assert len({row.key for row in rows_of(host_with())}) == len(rows_of(host_with()))
    assert [row.learns for row in ROWS if row.paper == (0.8765, 4.19)] == [PSEUDO]


def test_additional_installed_segmenters_get_rows() -> None:
    more = {row.key: row for row in rows_of(host_with(Bright, Idle)) if row not in ROWS}
    assert set(more) == {"segmenter-bright", "prompter-idle", "sam-neighbour", "sam-local", "sam-none"}
    assert more["segmenter-bright"].method == "bright (acme-cells 2.0)"
    assert (more["prompter-idle"].segmenter, more["prompter-idle"].prompter) == ("coarse", "idle")


def test_a_row_that_cannot_run_says_why_and_how_and_stops_no_other(data: Path) -> None:
    save(data, "third", (200,))
    found = task(host_with(Broken, Bright), data).run(["cellpose", "maskrcnn-human", "segmenter-broken", "segmenter-bright"])
    assert line(found, "cellpose").note == "not run: no segmenter 'cellpose' installed: pip install cacapp-cellpose"
    assert "failed: ValueError: no weights, at tests/steps/" in line(found, "segmenter-broken").note
    assert not line(found, "segmenter-broken").measured
    assert line(found, "segmenter-bright").ap50 == pytest.approx((1 + 0.5 + 1) / 3, abs=1e-4)
    with_cellpose = task(host_with(Cellpose), data).run(["cellpose-tuned"])
    assert "--train DIR" in line(with_cellpose, "cellpose-tuned").note


def test_the_row_with_training_is_trained_once_on_the_given_labels(data: Path, tmp_path: Path) -> None:
    save(tmp_path / "human", "x", (40, 90))
    for _ in range(2):
        found = task(host_with(Cellpose), data, train=tmp_path / "human").run(["cellpose", "cellpose-tuned"])
    assert line(found, "cellpose").ap50 == 0.75
    assert line(found, "cellpose-tuned").ap50 == 1  # it learnt that nuclei start at 40
    assert CALLS.count("train") == 1
    assert CALLS.count("cellpose") == 4


def test_images_are_not_measured_after_training_on_them(data: Path, tmp_path: Path) -> None:
    save(tmp_path / "human", "other-name", (200, 50))
    with pytest.raises(UsageError, match=r"share 1 images, .*other-name\.png and .*half\.png"):
        task(host_with(Cellpose), data, train=tmp_path / "human").run(["cellpose-tuned"])


def test_a_finished_row_is_kept_until_its_inputs_change(data: Path) -> None:
    host = host_with(Bright, Broken)
    first = task(host, data).run(["segmenter-bright"])
    assert task(host, data).run(["segmenter-bright"]) == first
    assert CALLS == ["bright"] * 2
    assert line(task(host, data).run(["segmenter-broken"]), "segmenter-bright") == line(first, "segmenter-bright")
    CALLS.clear()
    task(host, data, settings=["bright.level=30"]).run(["segmenter-bright"])
    assert CALLS == ["bright"] * 2
    save(data, "half", (200, 200))
    assert line(task(host, data).run(["segmenter-bright"]), "segmenter-bright").ap50 == 1
    CALLS.clear()
    task(host, data, force=True).run(["segmenter-bright"])
    assert CALLS == ["bright"] * 2


def test_an_interrupted_benchmark_resumes_where_it_stopped(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Bright):
        """Interrupted by the user."""

        name: ClassVar[str] = "stopped"

        def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
            raise KeyboardInterrupt

    rows = ["segmenter-bright", "segmenter-stopped"]
    with pytest.raises(KeyboardInterrupt):
        task(host_with(Bright, Stopped), data).run(rows)
    assert CALLS == ["bright"] * 2
    (data.parent / "bench" / "rows" / "segmenter-stopped.json").write_text("{ cut off")
    monkeypatch.setattr(Stopped, "segment", Bright.segment)
    found = task(host_with(Bright, Stopped), data).run(rows)
    assert CALLS == ["bright"] * 2 + ["stopped"] * 2
    assert all(line(found, key).ap50 == 0.75 for key in rows)


def test_table_and_drawing_hold_every_row_beside_the_papers(data: Path) -> None:
    task(host_with(Cellpose), data).run(["watershed", "cellpose", "cellpose-tuned"])
    out = data.parent / "bench"
    table = [text for text in (out / "benchmark.md").read_text().splitlines() if text.startswith("|")]
    assert {text.count("|") for text in table} == {10}
    row = next(text for text in table if text.startswith("| Cellpose, default"))
    assert row.startswith("| Cellpose, default | 0.750 | 0.750 | 80.00 | 88.89 |")
    assert row.endswith("| cpu | 74.71 | 21.64 |")
    rows = {r["key"]: r for r in csv.DictReader(io.StringIO((out / "benchmark.csv").read_text()))}
    assert (rows["cellpose"]["object_dice"], rows["cellpose"]["paper_dice"], rows["cellpose-tuned"]["ap50"]) == ("0.8", "0.7471", "")
    drawing = ElementTree.fromstring((out / "benchmark.svg").read_text())
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in drawing.iter(f"{space}text")]
    assert "Cellpose, default" in texts
    assert "Cellpose, fine-tuned (not run)" in texts
    dots = [e for e in drawing.iter(f"{space}circle") if e.get("r") == "9"]
    assert len(dots) == 2 + 2  # two measured, two of the paper's
    kept = json.loads((out / "rows" / "cellpose.json").read_text())
    assert kept["evaluation"]["AP@0.5"] == 0.75


def test_unknown_rows_settings_and_folders_are_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="--row sam-human: there is no such row"):
        task(host_with(), data).run(["sam-human"])
    with pytest.raises(UsageError, match="levl"):
        task(host_with(Bright), data, settings=["levl=3"]).run(["segmenter-bright"])
    with pytest.raises(UsageError, match="has no folder images/"):
        task(host_with(), data / "images").run()


def test_a_bad_file_is_reported_once_not_for_each_row(data: Path) -> None:
    (data / "labels" / "half.png").write_bytes(b"")
    told = Told()
    found = task(host_with(Bright, Cellpose), data, progress=told).run(["segmenter-bright", "cellpose"])
    assert len(told.failures) == 1
    assert found.failed
