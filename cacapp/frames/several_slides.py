"""Names by which the files of several slides may be told, where all were given for one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cacapp.types import FrameSource

# what counts the frames of a slide at the end of a name: _frame07, -s3, _12
_NUMBER = re.compile(r"[_\-. ]*[a-z]{0,8}[_\-. ]?\d+$", re.IGNORECASE)
AT_LEAST = 2
"""Frames that two slides number alike; one may be a chance."""


def groups_numbered_alike(frames: Sequence[FrameSource]) -> tuple[str, ...]:
    """Return the folders, or beginnings of names in one folder, that each have frames of the same numbers; none where there is one.

    A slide's frames are numbered once. ``S01/frame00, S01/frame01, S02/frame00, S02/frame01`` may be two slides, or two regions of one.
    """
    files = sorted({Path(frame.uri) for frame in frames})
    by_folder = _alike((str(file.parent), file.name) for file in files)
    if by_folder:
        return tuple(Path(folder).name for folder in by_folder)
    parts = [(file.parent, file.name.split(".")[0]) for file in files]
    named = [(f"{folder}/{name[: m.start()]}", m[0]) for folder, name in parts if (m := _NUMBER.search(name)) is not None and m.start()]
    return tuple(begin.rpartition("/")[2] for begin in _alike(named))


def _alike(members: Iterable[tuple[str, str]]) -> list[str]:
    """Return the groups that have at least ``AT_LEAST`` members in common with another one, sorted."""
    groups: dict[str, set[str]] = {}
    for group, member in members:
        groups.setdefault(group, set()).add(member)
    return sorted(a for a in groups if any(a != b and len(groups[a] & groups[b]) >= AT_LEAST for b in groups))
