"""Step ``pseudo-label`` and training samples: which filters judge, what is kept, and what a sample contains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from cacapp.api import InstanceFilter, Prompter
from cacapp.arrays.inpaint import inpaint_background
from cacapp.arrays.training_sample import training_sample
from cacapp.db.cells.pseudo_labels import pseudo_label_run, read_pseudo_labels
from cacapp.db.engine.session import Database, open_database
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.runs.plan import PseudoLabelPlan
from cacapp.runs.progress import Silent
from cacapp.steps.learning.pseudo_label import JudgingAlgorithms, _Task, judge_frame, pseudo_label, statistics
from cacapp.steps.learning.pseudo_samples import PseudoSamples
from cacapp.types import UNKNOWN, Array, Instance, Prompts, Shapes

SMALLER = {"single-cell": {"min_area_um2": 25.0, "min_roundness": 0.0, "min_solidity": 0.0, "min_width_um": 0.0}}


class Told(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture
def segmented(counted: Callable[..., Any], record_url: str) -> Any:
    """The record of the small slide S1: segment run 1, count run 2."""
    with opened(record_url) as database:
        yield database


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = open_database(url, create=False)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def host() -> Host:
    return Host.discover()


def judged(database: Database, run_id: int) -> list[Any]:
    with database.reading() as session:
        run = pseudo_label_run(session, run_id)
        frames = [row[0] for row in session.connection().exec_driver_sql("SELECT id FROM frame ORDER BY name")]
        return [record for frame in frames for record in read_pseudo_labels(session, run, frame)]


def test_every_filter_judges_and_every_reason_is_kept(segmented: Database, host: Host) -> None:
    (report,) = pseudo_label(segmented, host, PseudoLabelPlan(params={"single-cell": {"min_area_um2": 40.0}}, prompters=()))
    records = judged(segmented, report.run_id)
    pixel_um2 = 0.12**2
    assert len(records) == report.items > 10
    for record in records:
        small = record.cell.area_px * pixel_um2 < 40
        assert (record.judgement.reasons == ("single-cell: area below the minimum",)) == small
        assert record.judgement.accepted == (not record.judgement.reasons)
    assert {r.judgement.accepted for r in records} == {True, False}


class Reject(InstanceFilter):
    name: ClassVar[str] = "all"
    api_version: ClassVar[int] = 1

    def judge(self, shapes: Shapes) -> list[str | None]:
        return ["never"] * len(shapes)


class Big(Reject):
    name: ClassVar[str] = "big"

    def judge(self, shapes: Shapes) -> list[str | None]:
        return ["too big" if area > 50 else None for area in shapes.area_px]


class Points(Prompter):
    name: ClassVar[str] = "points"
    api_version: ClassVar[int] = 1

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        return Prompts(np.zeros((1, 1, 2), np.float32), np.ones((1, 1), np.int8))


def task(database: Database) -> _Task:
    from cacapp.db.cells.places import places_in_frame
    from cacapp.db.slides import frame_source, frames_of

    with database.reading() as session:
        frame = frames_of(session, 1)[0]
        return _Task(frame_source(session, frame), places_in_frame(session, 1, frame.id or 0))


def test_reasons_of_several_filters_stand_side_by_side(segmented: Database) -> None:
    found = judge_frame(JudgingAlgorithms((Reject(), Big()), ()), task(segmented))
    assert {j.reasons for j in found.judgements} == {("all: never", "big: too big")}


def test_a_prompter_without_regions_is_named(segmented: Database) -> None:
    with pytest.raises(CacappError, match="'points' gives points without regions"):
        judge_frame(JudgingAlgorithms((), (Points(),)), task(segmented))


def test_the_prompter_that_made_the_masks_agrees_on_all_of_them(segmented: Database, host: Host) -> None:
    (report,) = pseudo_label(segmented, host, PseudoLabelPlan())
    records = judged(segmented, report.run_id)
    assert all("watershed" in r.judgement.agreement for r in records)
    assert sum(len(r.judgement.agreement) == 3 for r in records) > 0.8 * len(records)
    assert not any(reason.startswith("agreed") for r in records for reason in r.judgement.reasons)


def test_agreement_can_be_required(segmented: Database, host: Host) -> None:
    (report,) = pseudo_label(segmented, host, PseudoLabelPlan(min_agreement=3))
    for record in judged(segmented, report.run_id):
        names = record.judgement.agreement
        short = [r for r in record.judgement.reasons if r.startswith("agreed by")]
        assert short == ([] if len(names) == 3 else [f"agreed by {len(names)} of 3 prompt algorithms ({', '.join(names)}), 3 wanted"])


def test_more_agreement_than_algorithms_is_refused(segmented: Database, host: Host) -> None:
    with pytest.raises(UsageError, match="at most 1 prompt algorithm can agree"):
        pseudo_label(segmented, host, PseudoLabelPlan(prompters=("watershed", "watershed"), min_agreement=2))


def test_finished_work_is_not_repeated_and_another_plan_is_run(segmented: Database, host: Host) -> None:
    plan = PseudoLabelPlan(prompters=())
    (first,), (again,) = (pseudo_label(segmented, host, plan) for _ in range(2))
    assert (again.run_id, again.repeated) == (first.run_id, True)
    (other,) = pseudo_label(segmented, host, PseudoLabelPlan(prompters=(), params=SMALLER))
    assert not other.repeated
    (forced,) = pseudo_label(segmented, host, PseudoLabelPlan(prompters=(), params=SMALLER), force=True)
    assert forced.run_id > other.run_id


def test_an_interrupted_run_is_finished(segmented: Database, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from cacapp.steps.learning import pseudo_label as module

    write, calls = module.write_pseudo_labels, []

    def stop(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(module, "write_pseudo_labels", stop)
    with pytest.raises(KeyboardInterrupt):
        pseudo_label(segmented, host, PseudoLabelPlan(prompters=()))
    monkeypatch.undo()
    (report,) = pseudo_label(segmented, host, PseudoLabelPlan(prompters=()))
    assert (report.done, report.frames) == (2, 2)
    assert report.items < len(judged(segmented, report.run_id))  # the first frame was kept


def test_a_run_that_accepts_nothing_warns_and_adds_no_training_sample(segmented: Database, host: Host) -> None:
    told = Told()
    plan = PseudoLabelPlan(prompters=(), params={"single-cell": {"min_area_um2": 5000.0, "max_area_um2": 9000.0}})
    (report,) = pseudo_label(segmented, host, plan, progress=told)
    assert told.warnings == [f"slide S1: no mask is accepted as a label; see why with: cacapp pseudo-label --stats --run {report.run_id}"]
    with pytest.raises(CacappError, match=f"run {report.run_id} has no accepted pseudo-label; see why with: cacapp pseudo-label --stats"):
        PseudoSamples.of_runs(segmented, [report.run_id])


def test_runs_of_other_steps_are_refused(segmented: Database, host: Host) -> None:
    with pytest.raises(UsageError, match="--run 2 is a count run"):
        pseudo_label(segmented, host, PseudoLabelPlan(), run_id=2)
    with pytest.raises(UsageError, match="there is no run 77"):
        pseudo_label(segmented, host, PseudoLabelPlan(), run_id=77)
    with pytest.raises(UsageError, match="is a segment run"):
        PseudoSamples.of_runs(segmented, [1])
    with pytest.raises(UsageError, match="name the pseudo-label runs"):
        PseudoSamples.of_runs(segmented, [])


def test_statistics_are_those_of_the_latest_run_of_each_slide(segmented: Database, host: Host) -> None:
    with pytest.raises(CacappError, match="no pseudo-labels of these slides yet"):
        statistics(segmented)
    reports = [pseudo_label(segmented, host, PseudoLabelPlan(prompters=(), params=params))[0] for params in ({}, SMALLER)]
    each, total = statistics(segmented)
    assert [(one.slide, one.run_id, one.segment_run_id) for one in each] == [("S1", reports[1].run_id, 1)]
    assert total.cells == reports[1].items
    (first,), _ = statistics(segmented, run_id=reports[0].run_id)
    assert first.run_id == reports[0].run_id
    assert first.filters == ("single-cell",)


def samples(database: Database, host: Host, seed: int = 0, params: Any = None) -> PseudoSamples:
    plan = PseudoLabelPlan(prompters=(), params=params if params is not None else {"single-cell": {"min_area_um2": 40.0}})
    return PseudoSamples.of_runs(database, [pseudo_label(database, host, plan)[0].run_id], seed)


def test_samples_hold_accepted_nuclei_and_background_where_others_were(segmented: Database, host: Host) -> None:
    found = samples(segmented, host)
    assert len(found) == 2
    for frame, sample in zip(found.frames, found, strict=True):
        records, dapi = found.records(frame), found.dapi(frame)
        accepted = [r for r in records if r.judgement.accepted]
        assert sample.dapi.dtype == dapi.dtype == np.uint16
        assert sample.labels.dtype == np.int32
        assert sample.labels.shape == sample.dapi.shape == dapi.shape
        assert sorted(np.unique(sample.labels).tolist()) == list(range(len(accepted) + 1))
        assert sample.pixel_size_um == frame.source.pixel_size_um
        assert np.array_equal(sample.dapi[sample.labels > 0], dapi[sample.labels > 0])
        background = np.median(dapi)
        for record in records:
            if not record.judgement.accepted:
                (x, y, w, h), mask = record.instance.bbox_xywh, record.instance.mask
                here = (sample.labels[y : y + h, x : x + w] == 0) & mask
                assert np.median(sample.dapi[y : y + h, x : x + w][here]) < 1.5 * background < np.median(dapi[y : y + h, x : x + w][here])


def test_a_sample_depends_on_the_seed_alone(segmented: Database, host: Host) -> None:
    one, same, other = (samples(segmented, host, seed)[1].dapi for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_samples_can_be_indexed_like_a_list(segmented: Database, host: Host) -> None:
    found = samples(segmented, host)
    assert np.array_equal(found[-1].labels, found[1].labels)
    with pytest.raises(IndexError):
        found[2]


def test_a_file_that_has_changed_is_no_sample(
    cacapp: Callable[..., Any], record_url: str, tmp_path: Path, host: Host, save_frame: Any
) -> None:
    planes = np.full((5, 200, 200), 100, np.uint16)
    cv2.circle(planes[0], (100, 100), 30, 3000, cv2.FILLED)  # type: ignore[call-overload]
    path = save_frame(tmp_path / "slide" / "f.ome.tif", planes)
    assert cacapp("ingest", path.parent, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100").code == 0
    assert cacapp("segment", "--segmenter", "coarse").code == 0
    with opened(record_url) as database:
        found = samples(database, host, params={})
        assert len(found) == 1
        save_frame(path, planes + 1)
        with pytest.raises(CacappError, match=r"f\.ome\.tif"):
            found[0]


def square(x: int, y: int, w: int, h: int) -> Instance:
    return Instance((x, y, w, h), np.ones((h, w), bool))


def test_rejected_nuclei_that_cannot_be_filled_are_unknown() -> None:
    dapi = np.full((20, 30), 900, np.uint16)
    sample = training_sample(dapi, [square(0, 0, 10, 20)], [square(10, 0, 20, 20)], None, 0)
    assert (sample.labels[:, :10] == 1).all()
    assert (sample.labels[:, 10:] == UNKNOWN).all()
    assert np.array_equal(sample.dapi, dapi)


def test_a_sample_without_rejected_nuclei_is_the_frame() -> None:
    dapi = np.arange(600, dtype=np.uint16).reshape(20, 30)
    sample = training_sample(dapi, [square(2, 2, 5, 5), square(20, 10, 4, 4)], [], 0.1, 0)
    assert np.array_equal(sample.dapi, dapi)
    assert sample.labels.max() == 2


def test_a_sample_is_filled_by_the_function_of_the_arrays() -> None:
    dapi = np.random.default_rng(0).normal(100, 5, (80, 90)).astype(np.uint8)
    gone = square(30, 30, 20, 20)
    mask = np.zeros((80, 90), bool)
    mask[30:50, 30:50] = True
    sample = training_sample(dapi, [], [gone], None, 5)
    assert np.array_equal(sample.dapi, inpaint_background(dapi, mask, np.zeros_like(mask), 5))
