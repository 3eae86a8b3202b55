"""Step ``replay``: repeat the runs in a capsule and compare the results nucleus by nucleus."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlmodel import select

from cacapp import __version__
from cacapp.db.engine.session import Database, open_database
from cacapp.db.slides import add_frame, register_slide
from cacapp.db.tables import Slide
from cacapp.engine import Engine, engine_or_new
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.read import parse_assay
from cacapp.frames import cached_path, is_remote, sha256_of
from cacapp.host import Host
from cacapp.runs.choice import Choice, build_algorithm
from cacapp.runs.environment import environment
from cacapp.runs.plan import CountPlan, SegmentPlan
from cacapp.runs.progress import Progress, RunReport, Silent
from cacapp.runs.segment_frame import build_algorithms
from cacapp.steps.capsule.archive import WeightsSource, read_capsule
from cacapp.steps.capsule.compare import RunComparison, Setting, changed_settings, compare_recorded_runs
from cacapp.steps.capsule.recorded_runs import AlgorithmRecord, EnvironmentRecord, FrameRecord, RecordedRuns, RunRecord, read_recorded_runs
from cacapp.types import FrameSource

PATIENT = "replay"
"""Pseudonym in the replay's database: a capsule has no patient."""


Step = Callable[..., list[RunReport]]
"""``segment`` or ``count``: takes database, host, plan and barcodes, returns a report for each slide."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A replayed capsule.

    Attributes:
        comparison: A is the capsule, B the replay.
        reports: of the repeated steps.
        db: the replay's database; None where it was a temporary one.
    """

    comparison: RunComparison
    reports: Sequence[RunReport]
    db: str | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A capsule that can be replayed here.

    Attributes:
        recorded: its runs.
        sources: its frames, with the files that were found here.
        settings: settings that differ here, such as versions; known before anything is repeated.
        unrecorded: steps whose run did not record the versions of its packages.
    """

    recorded: RecordedRuns
    sources: Sequence[FrameSource]
    settings: Sequence[Setting]
    unrecorded: Sequence[str]
    segment: SegmentPlan
    count: CountPlan | None


def prepare(
    capsule: Path,
    host: Host,
    images: Path | None = None,
    weights: Path | None = None,
    progress: Progress | None = None,
    *,
    fetch: bool = False,
) -> Prepared:
    """Read a capsule, find its images and algorithms, and compare its settings with those here.

    Args:
        images: folder to search for the images, by their SHA-256; None: the places in the capsule.
        weights: file to use for weights that the capsule names by a path.
        fetch: read images from the addresses in the capsule; a capsule from a stranger may lead to any server.

    Raises:
        CacappError: the capsule is damaged, an image is missing or differs, or weights are missing.
        UsageError: an algorithm or parameter of the capsule is unknown here.
    """
    recorded, manifest = read_capsule(capsule)
    segment_plan, count_plan = _plans(recorded, manifest.weights, weights)
    choices = {"segment": build_algorithms(host, segment_plan)[0]}
    if count_plan is not None:
        choices["count"] = [build_algorithm(host, "signal-detector", count_plan.detector, count_plan.params)[0]]
    settings = [s for run in recorded.runs() for s in changed_settings(run.record, _record_here(run.record, choices[run.record.step]))]
    unrecorded = [run.record.step for run in recorded.runs() if run.record.environment is None]
    sources = _frame_sources(recorded, images, fetch, progress or Silent())
    return Prepared(recorded, sources, settings, unrecorded, segment_plan, count_plan)


def replay(
    prepared: Prepared,
    host: Host,
    segment: Step,
    count: Step,
    db: str | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Replay:
    """Repeat the capsule's runs in a fresh database (``db``, else a temporary one) and compare the results.

    Args:
        segment, count: the steps of these names.

    Raises:
        UsageError: ``db`` holds slides already.
        CacappError: no frame could be repeated.
    """
    progress = progress or Silent()
    recorded = prepared.recorded
    with _fresh_database(db) as record, engine_or_new(engine) as engine:
        with record.session() as session:
            slide = register_slide(session, PATIENT, recorded.slide, recorded.blood_volume_ul)
            for source in prepared.sources:
                add_frame(session, slide, source)
        reports = segment(record, host, prepared.segment, [recorded.slide], engine=engine, progress=progress)
        if prepared.count is not None:
            reports += count(record, host, prepared.count, [recorded.slide], engine=engine, progress=progress)
        with record.reading() as session:
            repeated = read_recorded_runs(session, reports[-1].run_id)
    return Replay(compare_recorded_runs(recorded, repeated), reports, db)


@contextmanager
def _fresh_database(db: str | None) -> Iterator[Database]:
    with TemporaryDirectory(prefix="cacapp-replay-") if db is None else nullcontext(None) as folder:
        opened = open_database(Path(folder) / "replay.db" if folder is not None else db)
        try:
            with opened.reading() as session:
                if session.exec(select(Slide.id).limit(1)).first() is not None:
                    raise UsageError(f"{opened} holds slides already; a replay needs a database of its own: name a new file with --db")
            yield opened
        finally:
            opened.dispose()


def _plans(recorded: RecordedRuns, sources: Sequence[WeightsSource], weights: Path | None) -> tuple[SegmentPlan, CountPlan | None]:
    algorithms = recorded.segment.record.algorithms
    by_kind = {kind: [one for one in algorithms if one.kind == kind] for kind in ("prompter", "segmenter", "filter")}
    if len(by_kind["segmenter"]) != 1 or len(by_kind["prompter"]) > 1:
        raise CacappError("the capsule's segment run does not name one segmenter and at most one prompter; it cannot be replayed")
    plan = SegmentPlan(
        segmenter=by_kind["segmenter"][0].name,
        filters=tuple(one.name for one in by_kind["filter"]),
        params={one.name: _params(one, sources, weights) for one in algorithms},
        seed=recorded.segment.record.seed,
    )
    if by_kind["prompter"]:
        plan = replace(plan, prompter=by_kind["prompter"][0].name)
    if recorded.count is None:
        return plan, None
    run = recorded.count.record
    detectors = [one for one in run.algorithms if one.kind == "signal-detector"]
    if len(detectors) != 1 or run.assay_toml is None:
        raise CacappError("the capsule's count run does not name one signal detector and its assay; it cannot be replayed")
    assay = parse_assay(run.assay_toml, "of the capsule")
    return plan, CountPlan(assay, detectors[0].name, _params(detectors[0], sources, weights))


def _params(one: AlgorithmRecord, sources: Sequence[WeightsSource], weights: Path | None) -> dict[str, Any]:
    """Return the algorithm's parameters, with ``--weights`` in place of a path on another machine."""
    params = dict(one.params)
    named = params.get("weights")
    if one.weights_sha256 is None or not isinstance(named, str) or not Path(named).suffix:
        return params
    model = next((f" (model {s.name})" for s in sources if s.sha256 == one.weights_sha256 and s.name), "")
    path = weights or Path(named).expanduser()
    wanted = f"{one.name} needs the weights with SHA-256 {one.weights_sha256}{model}"
    if not path.is_file():
        raise CacappError(f"{path} is not here; {wanted}: name their file with --weights")
    if weights is not None and sha256_of(path) != one.weights_sha256:
        raise CacappError(f"--weights {path} is another file (SHA-256 {sha256_of(path)}); {wanted}")
    return params | {"weights": str(path)}


def _record_here(record: RunRecord, choices: Sequence[Choice]) -> RunRecord:
    """Return the record that the run would have here, without versions of packages or code where the original has none."""
    recorded, here = record.environment, None
    if recorded is not None:
        here = EnvironmentRecord(**environment(record.step))
        if recorded.counting_code is None:
            here = here.model_copy(update={"counting_code": None})
    algorithms = tuple(AlgorithmRecord(**choice.record()) for choice in choices)
    return record.model_copy(update={"algorithms": algorithms, "environment": here, "app_version": __version__, "device": "cpu"})


def _frame_sources(recorded: RecordedRuns, images: Path | None, fetch: bool, progress: Progress) -> list[FrameSource]:
    """Return the frames with their files here. Frames without results in the capsule need no file."""
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images}: no such folder")
    wanted = {c.sha256: c.uri for frame in recorded.frames for c in frame.channels}
    progress.start("search images", len(wanted))
    places = _at_origin(wanted, fetch, progress) if images is None else _search(wanted, images, progress)
    needed = {state.name for state in recorded.segment.ledger if state.status == "done"}
    lost = {c.uri: frame.name for frame in recorded.frames if frame.name in needed for c in frame.channels if c.sha256 not in places}
    if lost:
        uri, name = next(iter(lost.items()))
        where = f"under {images}" if images is not None else "where they were"
        raise CacappError(
            f"{len(lost)} of {len(wanted)} image files are not {where} with the SHA-256 of the capsule, first {uri} of frame {name}; "
            f"name the folder that has them with --images{' or read them from there with --fetch' if is_remote(uri) and not fetch else ''}"
        )
    return [_relocated(frame, places) for frame in recorded.frames]


def _at_origin(wanted: Mapping[str, str], fetch: bool, progress: Progress) -> dict[str, str]:
    found = {}
    for sha256, uri in wanted.items():
        progress.advance(uri)
        if is_remote(uri):
            with suppress(CacappError):
                if fetch:
                    cached_path(uri, sha256)
                    found[sha256] = uri
        elif _digest(Path(uri)) == sha256:
            found[sha256] = uri
    return found


def _search(wanted: Mapping[str, str], folder: Path, progress: Progress) -> dict[str, str]:
    """Return the paths of the wanted files below a folder, by digest; read files of the same name first, then others."""
    names = {Path(uri).name for uri in wanted.values()}
    found: dict[str, str] = {}
    for path in sorted(_candidates(folder), key=lambda p: (p.name not in names, str(p))):
        if len(found) == len(wanted):
            break
        digest = _digest(path)
        if digest is not None and digest in wanted and digest not in found:
            found[digest] = str(path.absolute())
            progress.advance(path.name)
    return found


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield the files and OME-Zarr folders below a folder."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        zarrs = [name for name in folders if name.endswith(".zarr")]
        folders[:] = [name for name in folders if name not in zarrs]
        yield from (here / name for name in (*files, *zarrs))


def _digest(path: Path) -> str | None:
    try:
        return sha256_of(path) if path.exists() else None
    except OSError:
        return None


def _relocated(frame: FrameRecord, places: Mapping[str, str]) -> FrameSource:
    source = frame.source()
    channels = tuple(replace(c, uri=places.get(c.sha256, c.uri)) for c in source.channels)
    uri = channels[0].uri if len({c.uri for c in source.channels}) == 1 else source.uri
    return replace(source, uri=uri, channels=channels)
