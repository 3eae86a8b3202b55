"""Frames for display: recent ones in memory, scaled to 8 bit with one contrast per slide."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from sqlmodel import select

from cacapp.db.engine.session import Database
from cacapp.db.slides import frame_source, frames_of
from cacapp.db.tables import FrameRow, Slide
from cacapp.exceptions import CacappError
from cacapp.frames import open_frame
from cacapp.report.contrast import ContrastLimits, contrast_limits
from cacapp.runs.files import write_atomically
from cacapp.types import Array, FrameSource

HEADROOM = 2.0
"""255 stands for this multiple of the span of the slide's contrast limits, so that bright dots are not saturated."""

CONTRAST_FRAMES, CONTRAST_STEP = 6, 4
"""A slide's contrast is computed from this many frames, every n-th pixel along both axes."""

MEMORY_BYTES = 600_000_000


@dataclass(frozen=True, slots=True)
class Screen:
    """A frame scaled to 8 bit. ``planes``: channel -> (Y, X) uint8, 0 is the slide's black, 255 is HEADROOM times its full brightness."""

    planes: Mapping[str, Array]
    pixel_size_um: float | None

    @property
    def size_bytes(self) -> int:
        return sum(p.nbytes for p in self.planes.values())


class Pixels:
    """Frames scaled for display. Safe to use from many threads; simultaneous requests read a frame once."""

    def __init__(self, db: Database, cache: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._db = db
        self._cache = cache
        self._memory_bytes = memory_bytes
        self._screens: OrderedDict[int, Screen] = OrderedDict()
        self._limits: dict[int, ContrastLimits] = {}
        self._lock = threading.Lock()
        self._locks: dict[object, threading.Lock] = {}

    def screen(self, frame_id: int) -> Screen:
        """Return the frame, from memory or its files. Raises CacappError if the files are missing or have changed since ingest."""
        with self._exclusive(frame_id):
            with self._lock:
                if (known := self._screens.get(frame_id)) is not None:
                    self._screens.move_to_end(frame_id)
                    return known
            made = self._read(frame_id)
            with self._lock:
                self._screens[frame_id] = made
                while len(self._screens) > 1 and sum(s.size_bytes for s in self._screens.values()) > self._memory_bytes:
                    self._screens.popitem(last=False)
            return made

    def limits(self, slide_id: int) -> ContrastLimits:
        """Return the contrast of all pictures of a slide. It takes seconds to compute and is cached in the folder."""
        with self._exclusive(("limits", slide_id)):
            if slide_id not in self._limits:
                self._limits[slide_id] = self._compute_limits(slide_id)
            return self._limits[slide_id]

    @contextmanager
    def _exclusive(self, key: object) -> Iterator[None]:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            yield

    def _read(self, frame_id: int) -> Screen:
        with self._db.reading() as session:
            row = session.get(FrameRow, frame_id)
            if row is None:
                raise CacappError(f"there is no frame {frame_id}")
            source, slide_id = frame_source(session, row), row.slide_id
        limits = self.limits(slide_id)
        frame = open_frame(source)
        planes = {name: _to_screen(frame.channel(name), limits.limits[name]) for name in frame.channel_names if name in limits.limits}
        return Screen(planes, frame.pixel_size_um)

    def _compute_limits(self, slide_id: int) -> ContrastLimits:
        with self._db.reading() as session:
            barcode = session.exec(select(Slide).where(Slide.id == slide_id)).one().barcode
            rows = frames_of(session, slide_id)
            chosen = rows[:: max(1, -(-len(rows) // CONTRAST_FRAMES))]
            sources = [frame_source(session, row) for row in chosen]
        name = sha256("".join(s.sha256 + s.scene for s in sources).encode()).hexdigest()[:24]
        file = self._cache / "contrast" / f"{name}.json"
        if file.is_file():
            found = json.loads(file.read_text())
            return ContrastLimits(f"slide {barcode}", {c: (low, high) for c, (low, high) in found["limits"].items()}, found["rule"])
        limits = contrast_limits(_sampled(sources), f"slide {barcode}")
        write_atomically(file, json.dumps({"limits": dict(limits.limits), "rule": limits.rule}).encode())
        return limits


def _sampled(sources: list[FrameSource]) -> Iterator[dict[str, Array]]:
    """Yield a sample of the pixels of each readable frame. Raises the last error if none is readable."""
    problem: CacappError | None = None
    read = 0
    for source in sources:
        try:
            frame = open_frame(source, verify=False)
            planes = {c: np.ascontiguousarray(frame.channel(c)[::CONTRAST_STEP, ::CONTRAST_STEP]) for c in frame.channel_names}
        except CacappError as error:
            problem = error
            continue
        read += 1
        yield planes
    if not read:
        raise problem or CacappError("the slide has no frames")


def _to_screen(plane: Array, limits: tuple[float, float]) -> Array:
    low, high = limits
    levels = np.arange(np.iinfo(plane.dtype).max + 1, dtype=np.float32)
    table = np.clip((levels - low) * (255.0 / (HEADROOM * (high - low))), 0, 255).astype(np.uint8)
    return np.asarray(table[plane])
