"""Grouping of files by name: each unit becomes a frame, from one file or from several of one channel each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacapp.frames.channels import canonical_names, normalise
from cacapp.frames.file import has_known_suffix, stem
from cacapp.frames.patterns import ChannelFile, Pattern, guess
from cacapp.frames.remote import as_uri
from cacapp.frames.search import Found


@dataclass(frozen=True, slots=True)
class BadFile:
    """File, or set of one-channel files, that gives no frame.

    Attributes:
        uri: the file, folder or naming pattern.
        error: what is wrong and the way out, one line that names the file.
    """

    uri: str
    error: str


@dataclass(frozen=True, slots=True)
class Unit:
    """Candidate for a frame: one file, or several of one channel each."""

    name: str
    folder: Path
    uri: str
    path: Path  # in the terms of search.Found
    members: tuple[ChannelFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Options of the search."""

    pattern: Pattern | None
    channels: Mapping[str, str]
    required: Sequence[str]
    projection: str
    aliases: Mapping[str, Sequence[str]]
    pixel_size_um: float | None = None

    def known(self) -> Callable[[str], bool]:
        """Return whether a part of a file name is a channel name: canonical, an alias, or from --channels."""
        mapped = {normalise(v) for v in self.channels.values() if not v.startswith("#")}
        return lambda text: normalise(text) in mapped or bool(canonical_names(text, self.required, self.aliases))


def units_of(found: Sequence[Found], rules: Rules, others: Callable[[], tuple[str, ...]] = tuple) -> Iterator[Unit | BadFile]:
    """Group files by name, in the order of each frame's first file. ``others`` gives the suffixes of plugins' readers."""
    known = rules.known()
    groups: dict[tuple[Path, str], list[ChannelFile]] = {}
    singles: dict[Path, Found] = {}
    order: dict[tuple[Path, str] | Path, None] = {}
    for item in found:
        match = None
        if not item.empty and not item.error:
            match = rules.pattern.match(item.path, known) if rules.pattern else _guess(item.path, known)
        if match is None:
            singles[item.path] = item
            order[item.path] = None
        else:
            groups.setdefault((match.base, match.frame), []).append(match)
            order[match.base, match.frame] = None
    if rules.pattern and not groups:
        yield from (BadFile(as_uri(item.path), item.error) for item in found if item.error)
        if not all(item.error for item in found):
            yield BadFile(as_uri(found[0].path), f"--pattern {rules.pattern.text}: no file fits it, {found[0].path.name} for one")
        return
    for key in order:
        if isinstance(key, tuple):
            members = tuple(sorted(groups[key], key=lambda m: (m.channel, m.path)))
            yield Unit(key[1], key[0], as_uri(Path(members[0].template)), members[0].path, members)
        elif singles[key].error:
            yield BadFile(as_uri(key), singles[key].error)
        elif singles[key].empty:
            read = "read are .tif .tiff .png .jpg .jpeg .zarr and the formats of plugins"
            yield BadFile(as_uri(key), f"{as_uri(key)}: no images in this folder ({read})")
        elif rules.pattern is None:
            yield Unit(stem(key, others), key.parent, as_uri(key), key)
        elif singles[key].explicit:
            yield BadFile(as_uri(key), f"{key.name}: does not fit --pattern {rules.pattern.text}")


def _guess(path: Path, known: Callable[[str], bool]) -> ChannelFile | None:
    """Parse a name of one of the known formats; files of other formats are frames of their own."""
    return guess(path, known) if has_known_suffix(path) or path.is_dir() else None


def with_unique_names(units: Sequence[Unit | BadFile]) -> Iterator[Unit | BadFile]:
    """Distinguish frames of the same name by their folders, or refuse them."""
    counts = Counter(u.name for u in units if isinstance(u, Unit))
    longer = [u if isinstance(u, BadFile) or counts[u.name] == 1 else renamed(u, f"{u.folder.name}_{u.name}") for u in units]
    owners: dict[str, list[Unit]] = {}
    for unit in longer:
        if isinstance(unit, Unit):
            owners.setdefault(unit.name, []).append(unit)
    for unit in longer:
        if isinstance(unit, Unit) and len(owners[unit.name]) > 1:
            other = next(o for o in owners[unit.name] if o is not unit)
            yield BadFile(unit.uri, f"{unit.uri}: would be frame {unit.name}, and so would {other.uri}; rename or leave out one")
        else:
            yield unit


def renamed(unit: Unit, name: str) -> Unit:
    """Return the unit under another name."""
    return Unit(name, unit.folder, unit.uri, unit.path, unit.members)
