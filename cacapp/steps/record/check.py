"""Step ``check``: check the database for contradictions, and the files it names for changes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from sqlmodel import Session

from cacapp.db import checks
from cacapp.db.checks import Problem
from cacapp.db.engine.session import Database
from cacapp.db.review.chain import Head
from cacapp.db.review.readings import all_sign_offs
from cacapp.exceptions import CacappError
from cacapp.frames import digest_now
from cacapp.results.signature import problems_of
from cacapp.runs.progress import Progress, Silent

Files = Literal["all", "sample", "none"]
SAMPLE = 20
"""Number of files in a sample."""


def _signatures(session: Session) -> Iterator[Problem]:
    """Find signed results whose record, reviews, runs, files, cells, calls or signals are not those that were signed."""
    for code, signed, amendment in all_sign_offs(session):
        for problem in problems_of(session, signed, amendment, content=True):
            yield Problem("signatures", f"signature {signed.id} of patient {code} by {signed.signer}: {problem}")


ROWS: dict[str, Callable[[Session], Iterator[Problem]]] = {
    "structure": checks.structure,
    "schema": checks.schema,
    "append-only": checks.append_only,
    "foreign keys": checks.foreign_keys,
    "orphans": checks.orphans,
    "ledger": checks.ledger,
    "signatures": _signatures,
}
NEED_ALL_ROWS = ("ledger", "signatures")
"""Checks that would fail where rows refer to missing rows."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check.

    Attributes:
        cells: masks that were decoded.
        files, files_read: files that the database names, and those that were read.
        problems: in the order of the checks.
        seconds: wall time, s.
    """

    cells: int
    files: int
    files_read: int
    problems: tuple[Problem, ...]
    seconds: float


def check(db: Database, files: Files = "all", progress: Progress | None = None, head: Head | None = None) -> CheckReport:
    """Check the database as it is at one moment; change nothing.

    Args:
        head: the newest link of the chain at an earlier moment, which the chain has to have still.
        files: read every image file and compare its SHA-256, a random sample of them, or none. Trained weights are few: read unless none.
    """
    progress = progress or Silent()
    start = time.perf_counter()
    problems: list[Problem] = []
    with db.reading() as session:
        progress.start("check rows", len(ROWS) + 1)
        problems += checks.chain(session, head)
        progress.advance("chain")
        for name, look in ROWS.items():
            if not (name in NEED_ALL_ROWS and any(p.kind == "foreign keys" for p in problems)):
                problems += look(session)
            progress.advance(name)
        cells = checks.cell_count(session)
        progress.start("check masks", cells)
        problems += checks.masks(session, partial(progress.advance, ""))
        images, models = checks.image_files(session), checks.model_files(session)
    chosen = _chosen(images, files)
    weights = [] if files == "none" else models
    progress.start("check files", len(chosen) + len(weights))
    for kind, listed in (("image", chosen), ("weights", weights)):
        for path, sha256 in listed:
            problems += _file(kind, path, sha256)
            progress.advance(path)
    seconds = time.perf_counter() - start
    return CheckReport(cells, len(images) + len(models), len(chosen) + len(weights), tuple(problems), seconds)


def _chosen(images: Sequence[tuple[str, str]], files: Files) -> Sequence[tuple[str, str]]:
    if files == "none":
        return []
    if files == "all" or len(images) <= SAMPLE:
        return images
    return sorted(random.SystemRandom().sample(images, SAMPLE))


def _file(kind: str, path: str, sha256: str) -> Iterator[Problem]:
    try:
        found = digest_now(path)
    except FileNotFoundError:
        yield Problem("files", f"{kind} file {path} is missing")
    except OSError as error:
        yield Problem("files", f"{kind} file {path} cannot be read: {error.strerror or error}")
    except CacappError as error:  # of a store
        yield Problem("files", f"{kind} file {path} {error}")
    else:
        if found != sha256:
            yield Problem("files", f"{kind} file {path} has changed (SHA-256 {found[:12]}, was {sha256[:12]})")
