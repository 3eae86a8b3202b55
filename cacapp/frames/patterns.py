"""Frame and channel from the names of files with one channel each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cacapp.exceptions import UsageError
from cacapp.frames.file import IMAGES, stem

_SEPARATORS = "_- ."
# Names of which a part is the channel's number, as microscopes write them: what remains is the frame, without the plane in z.
_NUMBERED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<a>.+?r\d+c\d+f\d+|r\d+c\d+f\d+)p\d+-(?P<channel>ch\d+)(?P<b>sk\d+.*)",  # Opera, Operetta
        r"(?P<a>.+_T\d{4}F\d{3}L\d{2})A\d{2}Z\d{2,3}(?P<channel>C\d{2})(?P<b>)",  # Yokogawa
        r"(?P<a>.+)_(?P<channel>C\d{2,3})Z\d{2,3}(?P<b>)",  # Leica
        r"(?P<a>.+?)(?:_z\d+)?_(?P<channel>ch\d+)(?P<b>)",  # Leica
        r"(?P<a>.+)_(?P<channel>w\d)(?P<b>(?:_s\d+)?(?:_t\d+)?)(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?",  # MetaMorph, ImageXpress
        r"(?P<a>.+?)(?:z\d+)?[_-]?(?<![a-z])(?P<channel>c\d{1,4})(?P<b>(?:-\d+)?)",  # Zeiss
        r"(?P<a>.*s\d+)(?:z\d+)?(?P<channel>c\d{1,4})(?P<b>)",  # Zeiss
    )
)
# Where letters, digits and signs change.
_CHANGES = re.compile(r"(?<![a-z])(?=[a-z])|(?<=[a-z])(?![a-z])|(?<!\d)(?=\d)|(?<=\d)(?!\d)", re.IGNORECASE)
# What MetaMorph puts before a wavelength's name.
_WAVE = re.compile(r"w\d(?=[a-z])", re.IGNORECASE)


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
    return _inside(path, known) or _numbered(path)


def _inside(path: Path, known: Callable[[str], bool]) -> ChannelFile | None:
    """Parse ``slide1_w2FITC_s1.TIF`` or ``A01_DAPI_0003.tif``: one part of the name is a channel. None where there is none, or several."""
    name = stem(path)
    ending = path.name[len(name) :]
    parts = [(m.start(), m.end()) for m in re.finditer(rf"[^{re.escape(_SEPARATORS)}]+", name)]
    found: list[tuple[int, int]] = []
    for i, (start, _) in enumerate(parts):
        wave = _WAVE.match(name, start)
        begin = wave.end() if wave else start
        # the longest: Spectrum_Aqua, not Aqua
        end = next((e for _, e in reversed(parts[i : i + 3]) if known(name[begin:e])), None)
        if end is not None and (not found or begin >= found[-1][1]):
            found.append((begin, end))
    if len(found) != 1:
        return None
    begin, end = found[0]
    before = re.sub(r"w\d$", "", name[:begin], flags=re.IGNORECASE) if _WAVE.match(name, max(0, begin - 2)) else name[:begin]
    frame = (before.rstrip(_SEPARATORS) + name[end:]).strip(_SEPARATORS)
    if not frame:
        return None
    star = "*" if before != name[:begin] else ""
    template = str(path.parent / f"{before}{star}{{channel}}{name[end:]}{ending}")
    return ChannelFile(path, path.parent, frame, name[begin:end], template)


def _numbered(path: Path) -> ChannelFile | None:
    """Parse a microscope's name with the channel's number, e.g. ``r01c01f01p01-ch1sk1fk1fl1.tiff``; None for any other name."""
    name = stem(path)
    for pattern in _NUMBERED:
        if (m := pattern.fullmatch(name)) is not None:
            frame = (m["a"].rstrip(_SEPARATORS) + m["b"]).strip(_SEPARATORS)
            template = f"{name[: m.start('channel')]}{{channel}}{path.name[m.end('channel') :]}"
            return ChannelFile(path, path.parent, frame, m["channel"], str(path.parent / template))
    return None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Naming pattern with ``{frame}`` and ``{channel}``, matched with the end of a path.

    ``*`` stands for anything within a name, ``{z}`` for a number that is no part of the frame's name.
    """

    text: str
    _expressions: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Parse a pattern. Raises UsageError unless ``{frame}`` and ``{channel}`` come once, and nothing but ``{z}`` beside them."""
        fields = re.findall(r"\{[^}]*\}", text)
        if sorted(field for field in fields if field != "{z}") != ["{channel}", "{frame}"]:
            raise UsageError(f"--pattern {text}: needs {{frame}} and {{channel}} once each, e.g. --pattern '{{frame}}_{{channel}}.tif'")
        free = {"{frame}": "{frame}", "{channel}": "{channel}", "{z}": r"\d+", "*": "[^/]*?"}
        joined = "".join(free.get(t) or re.escape(t) for t in re.split(r"(\{frame\}|\{channel\}|\{z\}|\*)", text.strip("/")))
        if not text.lower().endswith(IMAGES):
            joined += "(?:\\.ome)?(?:" + "|".join(re.escape(s) for s in IMAGES) + ")"
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
        best = next((m for m in fits if known(m["channel"])), None) or self._with_known(tail, known) or fits[-1]
        template = tail[: best.start("channel")] + "{channel}" + tail[best.end("channel") :]
        return ChannelFile(path, base, best["frame"], best["channel"].strip(_SEPARATORS) or best["channel"], str(base / template))

    def _with_known(self, tail: str, known: Callable[[str], bool]) -> re.Match[str] | None:
        """Match so that the channel is a known name, from one change of letters, digits and signs in the path's end to another."""
        bounds = [m.start() for m in _CHANGES.finditer(tail)]
        spans = [(start, end) for start in bounds for end in bounds if start < end and "/" not in tail[start:end]]
        names = [(start, end) for start, end in spans if known(tail[start:end])]
        for start, end in sorted(names, key=lambda n: n[0] - n[1]):
            for expression in self._expressions:
                text = expression.pattern
                group = next(g for g in ("(?P<channel>[^/]+?)", "(?P<channel>[^/]+)") if g in text)
                fixed = text.replace(group, f"(?P<channel>{re.escape(tail[start:end])})")
                if (m := re.fullmatch(fixed, tail, re.IGNORECASE)) is not None and m.start("channel") == start:
                    return m
        return None
