"""Step ``qc``: quality and swapped channels of a slide, which are known only when all its frames are counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlmodel import Session, col, select

from cacapp.db.cells.quality import exclude_all, read_quality, write_quality
from cacapp.db.tables import PatientResult, Run, RunFrame, Slide
from cacapp.fish.assay.model import Assay
from cacapp.fish.quality.slide import FAILED_QC, ChannelMeasures, Mark, failed_channels, judge_slide, pooled
from cacapp.types import DAPI

GRADES = {"pass": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True, slots=True)
class SlideMarks:
    """The quality of a slide by its latest count."""

    slide: str
    marks: tuple[Mark, ...]

    @property
    def verdict(self) -> str:
        """Return the worst of all marks."""
        return max((m.verdict for m in self.marks), key=lambda v: GRADES[v], default="pass")

    @property
    def problems(self) -> list[str]:
        """Return the problems, worst first: "red: saturated (saturated 0.12, above 0.05)"."""
        bad = sorted((m for m in self.marks if m.reason), key=lambda m: -GRADES[m.verdict])
        return [f"{m.channel}: {m.reason}" if m.channel else str(m.reason) for m in bad]


def inspect_slide(session: Session, run_id: int, assay: Assay) -> list[str]:
    """Judge the slide of a finished count run by its frames' measures and store the marks; return a warning for each that is not "pass".

    Where a channel failed on the slide as a whole, the calls of all its cells are taken back: a cell is never called on a channel that
    failed. That stays so if frames are added to the run later; counting again with --force starts anew.
    """
    kept = session.exec(select(RunFrame).where(RunFrame.run_id == run_id, RunFrame.status == "done").order_by(col(RunFrame.frame_id)))
    details = [row.details for row in kept if "quality" in row.details]
    if not details:
        return []
    frames: dict[str, list[ChannelMeasures]] = {c: [] for c in (DAPI, *assay.channels)}
    talk: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in details:
        for channel, record in one["quality"]["channels"].items():
            frames[channel].append(ChannelMeasures.of_record(record))
        for pair, share in one.get("crosstalk", {}).items():
            donor, acceptor = pair.split(">")
            talk[donor, acceptor].append(share)
    nuclei, evaluable = (sum(one["quality"][name] for one in details) for name in ("nuclei", "evaluable"))
    marks = judge_slide(
        {channel: pooled(own) for channel, own in frames.items()},
        assay.quality,
        evaluable_share=evaluable / nuclei if nuclei else float("nan"),
        crosstalk={pair: float(np.median(shares)) for pair, shares in talk.items()},
        expected=[(p.donor, p.acceptor) for p in assay.signals.bleed_through.pairs],
    )
    write_quality(session, run_id, marks)
    for channel in failed_channels(marks):
        exclude_all(session, run_id, f"{FAILED_QC}{channel}")
    barcode = session.get_one(Slide, session.get_one(Run, run_id).slide_id).barcode
    return [f"slide {barcode}: {line}" for line in SlideMarks(barcode, tuple(marks)).problems]


def is_inspected(session: Session, run_id: int) -> bool:
    """Return whether the slide of a count run was judged."""
    return bool(read_quality(session, run_id))


def quality_of(session: Session, result: PatientResult) -> list[SlideMarks]:
    """Return the quality of each slide of a result, by barcode; slides counted before cacapp measured quality are left out."""
    return _marks(session, result.count_run_ids)


def _marks(session: Session, run_ids: Sequence[int]) -> list[SlideMarks]:
    found = []
    for run_id in run_ids:
        barcode = session.get_one(Slide, session.get_one(Run, run_id).slide_id).barcode
        if marks := read_quality(session, run_id):
            found.append(SlideMarks(barcode, tuple(marks)))
    return sorted(found, key=lambda s: s.slide)
