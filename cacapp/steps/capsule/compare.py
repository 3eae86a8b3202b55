"""Compare two runs of one step over the same frames: their settings and their nuclei."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cacapp.db.engine.session import Database
from cacapp.exceptions import UsageError
from cacapp.steps.capsule.differences import KINDS, NucleusDifference, differences, nuclei_of
from cacapp.steps.capsule.recorded_runs import FrameRecord, RecordedRun, RecordedRuns, RunRecord, read_recorded_runs


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that differs: a version, a parameter, weights, the assay. None: absent or not recorded."""

    step: str
    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class FrameDifference:
    """A frame with results in one run only: its state in each run's ledger, "absent" where a run does not have it."""

    step: str
    frame: str
    a: str
    b: str
    error: str | None


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs A and B, nucleus by nucleus.

    Attributes:
        step: of the runs.
        slide: barcode.
        settings: those that differ.
        frames: compared frames: those with results in both runs.
        frame_differences: frames with results in one run only.
        unfinished: names of frames without results in either.
        nuclei_a, nuclei_b: in the compared frames.
        nuclei: those that differ.
    """

    step: str
    slide: str
    settings: Sequence[Setting]
    frames: int
    frame_differences: Sequence[FrameDifference]
    unfinished: Sequence[str]
    nuclei_a: int
    nuclei_b: int
    nuclei: Sequence[NucleusDifference]

    @property
    def same(self) -> bool:
        """Tell whether the results are the same; settings may still differ."""
        return not (self.nuclei or self.frame_differences)

    def by_kind(self) -> dict[str, int]:
        """Count the nuclei by kind of difference, in the order of KINDS; a nucleus may have several."""
        found = Counter(kind for one in self.nuclei for kind in one.what)
        kinds = KINDS if self.step == "count" else [k for k in KINDS if k not in ("dots", "rivals", "count", "call")]
        return {kind: found[kind] for kind in kinds}

    def record(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {
            "same": self.same,
            "step": self.step,
            "slide": self.slide,
            "settings": [{"step": s.step, "name": s.name, "a": s.a, "b": s.b} for s in self.settings],
            "frames": self.frames,
            "frame_differences": [{"step": f.step, "frame": f.frame, "a": f.a, "b": f.b, "error": f.error} for f in self.frame_differences],
            "unfinished_in_both": list(self.unfinished),
            "nuclei": {"a": self.nuclei_a, "b": self.nuclei_b, "different": len(self.nuclei)},
            "summary": self.by_kind(),
            "differences": [
                {
                    "frame": d.frame,
                    "label_a": d.label_a,
                    "label_b": d.label_b,
                    "iou": round(d.iou, 4),
                    "what": {kind: {"a": a, "b": b} for kind, (a, b) in d.what.items()},
                }
                for d in self.nuclei
            ],
        }


def compare_runs(db: Database, a: int, b: int) -> RunComparison:
    """Compare runs ``a`` and ``b`` of one database.

    Raises:
        UsageError: a run is missing, unfinished or holds no cells; the two are of different steps; or they share no frame.
    """
    with db.reading() as session:
        one, other = read_recorded_runs(session, a), read_recorded_runs(session, b)
    if one.last.record.step != other.last.record.step:
        steps = f"run {a} is a {one.last.record.step} run and run {b} a {other.last.record.step} run"
        raise UsageError(f"{steps}; compare two runs of one step")
    if not _keys(one.frames).keys() & _keys(other.frames).keys():
        raise UsageError(f"run {a} (slide {one.slide}) and run {b} (slide {other.slide}) share no frame; compare runs over the same frames")
    return compare_recorded_runs(one, other)


def compare_recorded_runs(a: RecordedRuns, b: RecordedRuns) -> RunComparison:
    """Compare runs from any source. Two frames are the same if their SHA-256 and scene are."""
    frames_a, frames_b = _keys(a.frames), _keys(b.frames)
    cells_a, cells_b = nuclei_of(a), nuclei_of(b)
    frame_differences: list[FrameDifference] = []
    unfinished: list[str] = []
    nuclei: list[NucleusDifference] = []
    totals = [0, 0]
    compared = 0
    for key in {**frames_a, **frames_b}:
        name_a, name_b = frames_a.get(key), frames_b.get(key)
        name = name_a or name_b or ""
        states = [(s, _state(p, name_a), _state(q, name_b)) for s, p, q in _steps(a, b)]
        in_one_only = next((state for state in states if (state[1][0] == "done") != (state[2][0] == "done")), None)
        if in_one_only is not None:
            step, (state_a, error_a), (state_b, error_b) = in_one_only
            frame_differences.append(FrameDifference(step, name, state_a, state_b, error_a or error_b))
        elif any(state[1][0] != "done" for state in states):
            unfinished.append(name)
        else:
            here, there = cells_a.get(name_a or "", []), cells_b.get(name_b or "", [])
            totals[0] += len(here)
            totals[1] += len(there)
            compared += 1
            nuclei += differences(name, here, there)
    settings = [s for _, p, q in _steps(a, b) for s in changed_settings(p.record, q.record)]
    return RunComparison(a.last.record.step, a.slide, settings, compared, frame_differences, unfinished, totals[0], totals[1], nuclei)


def changed_settings(a: RunRecord, b: RunRecord) -> list[Setting]:
    """Return the settings that differ between two runs of a step."""
    one, other = _settings(a), _settings(b)
    return [Setting(a.step, name, one.get(name), other.get(name)) for name in {**one, **other} if one.get(name) != other.get(name)]


def _settings(record: RunRecord) -> dict[str, str]:
    found = {"cacapp": record.app_version}
    if record.environment is not None:
        here = record.environment
        found |= {"python": here.python, "platform": here.platform}
        found |= {f"package {name}": version for name, version in here.packages.items()}
        if here.counting_code is not None:
            found["counting code"] = here.counting_code
    found |= {"device": record.device, "seed": str(record.seed)}
    for kind in dict.fromkeys(one.kind for one in record.algorithms):
        chosen = [one for one in record.algorithms if one.kind == kind]
        found[kind] = ", ".join(one.name for one in chosen)
        for one in chosen:
            found[f"{one.name}, distribution"] = f"{one.distribution} {one.version}"
            if one.weights_sha256 is not None:
                found[f"{one.name}, SHA-256 of its weights"] = one.weights_sha256
            found |= {f"{one.name}, {name}": str(value) for name, value in one.params.items()}
    if record.assay_toml is not None:
        found["assay"] = f"{record.assay_name} {record.assay_version}"
        found["SHA-256 of the assay"] = hashlib.sha256(record.assay_toml.encode()).hexdigest()
    return found


def _steps(a: RecordedRuns, b: RecordedRuns) -> list[tuple[str, RecordedRun, RecordedRun]]:
    return [(p.record.step, p, q) for p, q in zip(a.runs(), b.runs(), strict=True)]


def _keys(frames: Sequence[FrameRecord]) -> Mapping[tuple[str, str], str]:
    return {(frame.sha256, frame.scene): frame.name for frame in frames}


def _state(run: RecordedRun, name: str | None) -> tuple[str, str | None]:
    return next(((s.status, s.error) for s in run.ledger if s.name == name), ("absent", None))
