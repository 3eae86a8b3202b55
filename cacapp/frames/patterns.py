"""Frame and channel from the names of files with one channel each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cacapp.exceptions import UsageError
from cacapp.frames.file import SUFFIXES, stem

_SEPARATORS = "_- ."


@dataclass(frozen=True, slots=True)
class ChannelFile:
    """File with one channel of a frame.

    Attributes:
        path: the file.
        base: the folder below which the frame's files are.
        frame: the frame's name.
        channel: the channel as the file's name has it.
        template: the frame's files, ``{channel}`` standing for the channel.
    """

    path: Path
    base: Path
    frame: str
    channel: str
    template: str


def guess(path: Path, known: Callable[[str], bool]) -> ChannelFile | None:
    """Parse ``frame_DAPI.tif``, ``frame-DAPI.tif`` or ``DAPI/frame.tif``; ``known`` recognises channel names.

    The longest known ending is taken, so ``a_Spectrum_Aqua.tif`` is frame ``a``. None where the name says no channel.
    """
    name, folder = stem(path), path.parent
    ending = path.name[len(name) :]
    for at, letter in enumerate(name):
        frame, channel = name[:at].rstrip(_SEPARATORS), name[at + 1 :]
        if letter in _SEPARATORS and frame and channel[:1] not in _SEPARATORS and known(channel):
            file = f"{name[: at + 1]}{{channel}}{ending}"
            if known(folder.name):
                # DAPI/frame_DAPI.tif says it twice; its siblings are in other folders.
                return ChannelFile(path, folder.parent, frame, channel, str(folder.parent / "{channel}" / file))
            return ChannelFile(path, folder, frame, channel, str(folder / file))
    if known(folder.name):
        return ChannelFile(path, folder.parent, name, folder.name, str(folder.parent / "{channel}" / path.name))
    return None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Naming pattern with ``{frame}`` and ``{channel}``; ``*`` stands for anything within a name. Matched with the end of a path."""

    text: str
    _expressions: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Parse a pattern. Raises UsageError unless ``{frame}`` and ``{channel}`` each come once and nothing else is in braces."""
        fields = re.findall(r"\{[^}]*\}", text)
        if sorted(fields) != ["{channel}", "{frame}"]:
            raise UsageError(f"--pattern {text}: needs {{frame}} and {{channel}} once each, e.g. --pattern '{{frame}}_{{channel}}.tif'")
        literal = [
            re.escape(t) if t not in ("{frame}", "{channel}", "*") else t for t in re.split(r"(\{frame\}|\{channel\}|\*)", text.strip("/"))
        ]
        joined = "".join("[^/]*" if t == "*" else t for t in literal)
        if not text.lower().endswith(SUFFIXES):
            joined += "(?:\\.ome)?(?:" + "|".join(re.escape(s) for s in SUFFIXES) + ")"
        greedy = joined.replace("{frame}", "(?P<frame>[^/]+)").replace("{channel}", "(?P<channel>[^/]+)")
        lazy = joined.replace("{frame}", "(?P<frame>[^/]+?)").replace("{channel}", "(?P<channel>[^/]+)")
        return cls(text, tuple(re.compile(e, re.IGNORECASE) for e in (lazy, greedy)))

    def match(self, path: Path, known: Callable[[str], bool]) -> ChannelFile | None:
        """Match a path; return None where it does not fit. Of two ways to split a name, one with a known channel is preferred."""
        depth = self.text.strip("/").count("/") + 1
        if len(path.parts) < depth + 1:
            return None
        tail = "/".join(path.parts[-depth:])
        base = path.parents[depth - 1]
        fits = [m for m in (e.fullmatch(tail) for e in self._expressions) if m is not None]
        if not fits:
            return None
        best = next((m for m in fits if known(m["channel"])), fits[-1])
        template = tail[: best.start("channel")] + "{channel}" + tail[best.end("channel") :]
        return ChannelFile(path, base, best["frame"], best["channel"], str(base / template))
