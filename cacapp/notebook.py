"""Run a slide through the whole pipeline from a notebook or a script: what ``cacapp run`` does, as a function.

import cacapp
result = cacapp.run_slide("slide1/", patient="P1", slide="S1", blood_volume_ul=100)
print(result.verdict, result.numbers.cacs, result.cells().num_rows)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cacapp import defaults
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    import pyarrow

    from cacapp.report.result import ResultNumbers
    from cacapp.runs.progress import Progress


@dataclass(frozen=True, slots=True)
class SlideResult:
    """The result of ``run_slide``.

    Attributes:
        patient, slide: pseudonym and barcode.
        verdict: the patient's, in the assay's words.
        numbers: the patient's, over all slides of the patient that were counted with this assay: cells, CACs, CACs per 100 µL ...
        segment_run_id, count_run_id: the runs of this slide.
        failed: (frame, error) of this slide's frames without a result.
        refused: (file, error) of the files that are no frame of this slide.
        pages: HTML reports, the index last; empty without ``out``.
        warnings: lines that a person should know, in the order they came.
        db: the database, as it was given.
    """

    patient: str
    slide: str
    verdict: str
    numbers: ResultNumbers
    segment_run_id: int
    count_run_id: int
    failed: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]
    pages: tuple[Path, ...]
    warnings: tuple[str, ...]
    db: str | Path | None = field(repr=False)

    def cells(self) -> pyarrow.Table:
        """Return the slide's cells, a row each, as ``Record.cells`` gives them."""
        from cacapp.record import open

        with open(self.db) as record:
            return record.cells(slide=self.slide)


def run_slide(
    paths: str | Path | Sequence[str | Path],
    *,
    patient: str,
    slide: str,
    blood_volume_ul: float | None = None,
    db: str | Path | None = None,
    notes: str | None = None,
    channels: str | None = None,
    pattern: str | None = None,
    projection: str = "none",
    pixel_size_um: float | None = None,
    same_pixels: str | None = None,
    prompter: str = defaults.PROMPTER,
    segmenter: str = defaults.SEGMENTER,
    filters: Sequence[str] = defaults.FILTERS,
    assay: str | Path = defaults.ASSAY,
    detector: str = defaults.DETECTOR,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    min_evaluable_cells: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    cluster: str | None = None,
    retries: int = 1,
    frame_timeout_s: float | None = None,
    force: bool = False,
    excluded_plugins: Sequence[str] = (),
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> SlideResult:
    """Ingest, segment, count and, with ``out``, report one slide. Prints nothing.

    The same call again repeats nothing; after an interruption it finishes what is missing, as ``cacapp runs resume`` does.

    Args:
        paths: files or folders of the slide's frames, or addresses such as ``s3://bucket/slide1``.
        patient, slide: pseudonym, never a name, and barcode.
        blood_volume_ul: volume of blood from which the slide was made, µL; None where unknown, which gives counts without a verdict.
        db: a SQLite file, made where there is none, or a SQLAlchemy URL; None: what ``CACAPP_DB`` says, else ``cacapp.db`` here.
        channels, pattern, projection, pixel_size_um: how to read the files, as the options of ``cacapp ingest``.
        same_pixels: why frames may have the pixels of another patient's frames; None: they may not.
        prompter, segmenter, filters, detector: names of algorithms, see ``cacapp plugins list``.
        assay: name of an assay or path of a TOML file.
        parameters: by algorithm name, e.g. ``{"watershed": {"floor": 0.9}}``; see ``cacapp plugins show NAME``.
        min_evaluable_cells: replaces the assay's minimum, for slides that are smaller than a laboratory's.
        workers: local processes; None: as many as cores and memory allow. ``cluster``: address of a Dask scheduler, instead of them.
        retries: how often a frame that failed is tried again; ``frame_timeout_s``: a frame that takes longer fails, s.
        force: repeat what was done before.
        excluded_plugins: plugins or distributions that are not loaded.
        out: folder of the HTML reports; None: none are written.
        progress: shows the progress, see ``cacapp.runs.progress.Progress``.

    Raises:
        UsageError: an argument is wrong: an unknown algorithm, parameter or file. It is a CacappError.
        CacappError: the slide could not be processed: no file is a frame, or all frames failed.
    """
    from cacapp.db.engine.session import open_database
    from cacapp.fish.assay.read import load_assay
    from cacapp.host import Host, read_settings
    from cacapp.results.patient import numbers, patients_with_results
    from cacapp.runs.plan import CountPlan, SegmentPlan, SlideRequest
    from cacapp.runs.progress import Silent
    from cacapp.runs.request import Execution, slides_request
    from cacapp.steps.manifest import check_pixel_size, source_path, volume_ul
    from cacapp.steps.pipeline import run_pipeline

    places = tuple(source_path(str(path), Path()) for path in ([paths] if isinstance(paths, str | Path) else paths))
    volume = None if blood_volume_ul is None else volume_ul(str(blood_volume_ul), f"slide {slide}")
    if pixel_size_um is not None:
        check_pixel_size(pixel_size_um, "pixel_size_um")
    if same_pixels is not None and not same_pixels.strip():
        raise UsageError("same_pixels is empty: say why these frames may have another patient's pixels")
    watch = _Warnings(progress or Silent())
    with _logged_to(watch):
        host = Host.discover(excluded_plugins, read_settings())
        for problem in host.problems:
            watch.warn(str(problem))
        request = slides_request(
            host,
            [SlideRequest(patient, slide, places, volume, notes, pattern, channels, projection, pixel_size_um, same_pixels)],
            SegmentPlan(prompter, segmenter, tuple(filters), seed=seed),
            CountPlan(load_assay(str(assay)), detector, min_evaluable_cells=min_evaluable_cells),
            parameters or {},
            out=None if out is None else Path(out),
            execution=Execution(retries, frame_timeout_s, force, tuple(excluded_plugins)),
        )
        database = open_database(db)
        try:
            with request.execution.engine(workers, cluster) as engine:
                done = run_pipeline(database, host, request, engine, watch)
            done.require_results()
            (summary,) = patients_with_results(database, [patient])
        finally:
            database.dispose()
    segmented, counted = done.reports
    result = next(one for one in summary.results if counted.run_id in one.count_run_ids)
    return SlideResult(
        patient=patient,
        slide=slide,
        verdict=result.verdict,
        numbers=numbers(result),
        segment_run_id=segmented.run_id,
        count_run_id=counted.run_id,
        failed=(*segmented.failed, *counted.failed),
        refused=done.ingested[0].refused,
        pages=tuple(done.pages),
        warnings=tuple(watch.lines),
        db=db,
    )


class _Warnings:
    """A progress that also collects the warnings and errors."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.lines: list[str] = []
        self.start, self.advance = progress.start, progress.advance

    def warn(self, line: str) -> None:
        self.lines.append(line)
        self._progress.warn(line)

    def fail(self, line: str) -> None:
        self.lines.append(line)
        self._progress.fail(line)


class _LogHandler(logging.Handler):
    """A handler that passes on the warnings of cacapp's loggers; without one Python would print them."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.warn(record.getMessage())


@contextmanager
def _logged_to(progress: Progress) -> Iterator[None]:
    log, handler = logging.getLogger("cacapp"), _LogHandler(progress)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
