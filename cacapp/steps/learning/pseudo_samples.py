"""Training samples from pseudo-labels: accepted nuclei are labelled, rejected ones filled with background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cacapp.arrays.training_sample import seed_of, training_sample
from cacapp.db.cells.pseudo_labels import PseudoLabelRecord, accepted_count, pseudo_label_run, read_pseudo_labels
from cacapp.db.engine.session import Database
from cacapp.db.runs.ledger import frames_in_state
from cacapp.db.slides import frame_source
from cacapp.db.tables import Run, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.frames import open_frame
from cacapp.types import DAPI, Array, FrameSource, TrainingSample


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """A frame of a pseudo-label run, with its pixels' source."""

    run: Run
    slide: str
    frame_id: int
    source: FrameSource


class PseudoSamples:
    """The frames of pseudo-label runs, one TrainingSample each, read when indexed (``api.TrainingSamples``).

    Accepted nuclei have the labels 1..N, in the order of their cells; where two overlap the smaller one is on top. The pixels
    of rejected nuclei are filled with background; UNKNOWN where a frame has no background to take it from.
    """

    def __init__(self, db: Database, frames: Sequence[LabelledFrame], seed: int = 0) -> None:
        self.frames = tuple(frames)
        self._db, self._seed = db, seed

    @classmethod
    def of_runs(cls, db: Database, run_ids: Sequence[int], seed: int = 0) -> PseudoSamples:
        """Return the samples of the frames that the pseudo-label runs have judged, in the order of the runs, by name.

        Args:
            seed: of the noise that rejected regions are filled with.

        Raises:
            UsageError: no run is named, or one is not there or of another step.
            CacappError: a run is not finished, or none of them has an accepted label.
        """
        if not run_ids:
            raise UsageError("name the pseudo-label runs to train on; see: cacapp runs list")
        frames = []
        with db.reading() as session:
            for run_id in dict.fromkeys(run_ids):
                run = pseudo_label_run(session, run_id)
                slide = session.get_one(Slide, run.slide_id).barcode
                done = frames_in_state(session, run_id, "done")
                frames += [LabelledFrame(run, slide, row.id, frame_source(session, row)) for row in done]
            if not accepted_count(session, run_ids):
                raise CacappError(no_labels(run_ids))
        return cls(db, frames, seed)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> TrainingSample:
        """Return the frame's sample. Raises CacappError where its file is gone or has changed, IndexError beyond the last."""
        frame = self.frames[index]
        return self.sample(frame, self.dapi(frame), self.records(frame))

    def dapi(self, frame: LabelledFrame) -> Array:
        """Return the frame's DAPI as it was ingested, (Y, X) uint8 or uint16. Raises CacappError where its file is gone or has changed."""
        return open_frame(frame.source).channel(DAPI)

    def records(self, frame: LabelledFrame) -> list[PseudoLabelRecord]:
        """Return the judged cells of a frame, by label."""
        with self._db.reading() as session:
            return read_pseudo_labels(session, frame.run, frame.frame_id)

    def sample(self, frame: LabelledFrame, dapi: Array, records: Sequence[PseudoLabelRecord]) -> TrainingSample:
        """Return the frame's sample, from its plane and judged cells."""
        accepted = [r.instance for r in records if r.judgement.accepted]
        rejected = [r.instance for r in records if not r.judgement.accepted]
        seed = seed_of(frame.source.sha256, self._seed)
        return training_sample(dapi, accepted, rejected, frame.source.pixel_size_um, seed)


def no_labels(run_ids: Sequence[int]) -> str:
    """Return an error line for runs without accepted labels, with the way out."""
    which = f"run {run_ids[0]} has" if len(run_ids) == 1 else f"runs {', '.join(map(str, run_ids))} have"
    way_out = f"see why with: cacapp pseudo-label --stats --run {run_ids[0]}, then loosen the filters (--set) or --min-agreement"
    return f"{which} no accepted pseudo-label; {way_out}"
