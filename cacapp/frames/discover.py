"""Search for frames: find image files, assign their channels, and refuse what cannot be trusted, file by file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames.channels import DEFAULT_ALIASES, canonical_mapping, is_placeholder, resolve_channels
from cacapp.frames.choose_reader import Readers
from cacapp.frames.digest import combined_sha256, hash_ahead, sha256_of
from cacapp.frames.file import stem
from cacapp.frames.grouping import BadFile, Rules, Unit, renamed, units_of, with_unique_names
from cacapp.frames.opened import OpenedFile, check_opened, open_file
from cacapp.frames.patterns import Pattern
from cacapp.frames.projection import check_projection
from cacapp.frames.remote import is_remote
from cacapp.frames.same_pixels import pixels_sha256, plane_sha256
from cacapp.frames.scene import check_axes, check_pixels, first_line, read_plane, single_dye_sample, slices_as_channels, square_pixel_um
from cacapp.frames.search import search
from cacapp.scene import Scene
from cacapp.types import CHANNELS, ChannelSource, FrameSource

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plane:
    """Channel of a scene, with its name in the file."""

    scene: Scene
    file: OpenedFile
    found_as: str
    index: int


def _one_line(name: str, error: BaseException) -> str:
    text = str(error) if isinstance(error, CacappError) else f"cannot be read ({first_line(error)}); export it again"
    return f"{name}: {text}"


def _planes(file: OpenedFile, scene: Scene) -> list[_Plane]:
    if scene.n_samples > 1:
        if len(scene.channels) > 1:
            raise CacappError("has several channels of several colours each; export the channels in grey")
        return [_Plane(scene, file, scene.channels[0], -1)]
    return [_Plane(scene, file, name, i) for i, name in enumerate(scene.channels)]


def _dye(plane: _Plane) -> int:
    try:
        return single_dye_sample(plane.scene)
    except CacappError as error:
        raise CacappError(f"{Path(plane.file.file.uri).name}: {error}") from error


def _pixel_size(scenes: Sequence[Scene], stated_um: float | None) -> tuple[float | None, str | None]:
    """Return the edge length of a pixel in µm and who stated it, None where the file did. Raises CacappError where channels differ."""
    if stated_um is not None:
        in_file = {scene.pixel_size_xy_um for scene in scenes if scene.pixel_size_xy_um is not None}
        other = "; ".join(f"{x:.6g} x {y:.6g} µm" for x, y in sorted(in_file)) or "no pixel size"
        return stated_um, f"stated by {getuser()}; the file says {other}"
    sizes = {s for s in (square_pixel_um(scene) for scene in scenes) if s is not None}
    if len(sizes) > 1 and max(sizes) > 1.01 * min(sizes):
        raise CacappError(f"channels differ in pixel size ({min(sizes):.6g} and {max(sizes):.6g} µm); correct their metadata")
    return min(sizes) if sizes else None, None


def _digests(plane: _Plane, index: int) -> tuple[str | None, str | None]:
    """Return the digests of a channel's pixels, of a z-stack its middle plane's: whatever the file, and as the reader of a plugin gave it.

    Raises CacappError where a plugin's reader cannot read it. Of cacapp's own readers a later step says so.
    """
    try:
        pixels = read_plane(plane.scene, index, plane.scene.n_z // 2)
    except CacappError:
        if plane.file.reads_apart:
            raise
        return None, None
    return pixels_sha256(pixels), plane_sha256(pixels) if plane.file.reads_apart else None


def _frame(name: str, uri: str, planes: Sequence[_Plane], rules: Rules) -> FrameSource:
    """Assign the channels of all planes of a frame. Raises CacappError with the reason to refuse it."""
    scenes = list({id(p.scene): p.scene for p in planes}.values())
    for scene in scenes:
        check_axes(scene, rules.projection)
        check_pixels(scene)
    indices = resolve_channels([p.found_as for p in planes], rules.required, rules.channels, rules.aliases)
    chosen = {canonical: planes[i] for canonical, i in indices.items()}
    kinds: dict[tuple[int, int, int, str], str] = {}
    for canonical, plane in chosen.items():
        kinds.setdefault((plane.scene.height_px, plane.scene.width_px, plane.scene.n_z, plane.scene.dtype.name), canonical)
    if len(kinds) > 1:
        listed = "; ".join(f"{n} {w} x {h} px, {z} z, {dtype}" for (h, w, z, dtype), n in kinds.items())
        raise CacappError(f"channels differ in size or pixel type ({listed}); export them alike")
    sources = []
    for canonical, plane in chosen.items():
        index = plane.index if plane.index >= 0 else _dye(plane)
        exposures = plane.scene.exposures_ms
        exposure = exposures[plane.index] if 0 <= plane.index < len(exposures) else None
        file = plane.file.file
        sha256 = sha256_of(file.path, ours=is_remote(file.uri))
        sources.append(ChannelSource(canonical, plane.found_as, file.uri, index, sha256, exposure, *_digests(plane, index)))
    check_opened([plane.file for plane in planes])
    dapi = planes[indices[rules.required[0]]]
    first, reader = dapi.scene, dapi.file.reader
    pixel_size_um, size_source = _pixel_size(scenes, rules.pixel_size_um)
    stage_x_um, stage_y_um = first.stage_xy_um
    return FrameSource(
        name=name,
        uri=uri,
        sha256=combined_sha256(list({s.uri: s.sha256 for s in sources}.values())),
        scene=first.key,
        projection=rules.projection if first.n_z > 1 else "none",
        height_px=first.height_px,
        width_px=first.width_px,
        dtype=first.dtype.name,
        pixel_size_um=pixel_size_um,
        channels=tuple(sources),
        stage_x_um=stage_x_um,
        stage_y_um=stage_y_um,
        pixel_size_source=size_source,
        reader=reader.name,
        reader_version=f"{reader.distribution} {reader.version}",
    )


def _from_file(unit: Unit, file: OpenedFile, path: Path, rules: Rules) -> Iterator[FrameSource | BadFile]:
    """Yield a frame from each scene of one file."""
    uri = file.file.uri
    for scene in file.scenes:
        name = f"{unit.name}_{scene.title}" if scene.title else unit.name
        label = f"{path.name} scene {scene.title}" if scene.title else path.name
        if scene.note:
            LOG.warning("%s: %s", label, scene.note)
        sliced = bool(scene.slices) and rules.projection == "none"
        if sliced:
            scene = slices_as_channels(scene)
        try:
            planes = _planes(file, scene)
            if scene.n_samples > 1:
                raise CacappError("an RGB image: colours are no channels; export each dye to a file of its own, named {frame}_{channel}")
            if len(planes) == 1 and is_placeholder(planes[0].found_as):
                check_axes(scene, rules.projection)
                check_pixels(scene)
                raise CacappError(
                    "holds one channel and its name does not say which; name files {frame}_{channel}, "
                    "e.g. f01_DAPI.tif, or say --pattern '{frame}_{channel}.tif' and --channels"
                )
            yield _frame(name, uri, planes, rules)
        except (CacappError, OSError) as error:
            other = "; if its planes are a z-stack, say --projection max|focus" if sliced else ""
            yield BadFile(uri, _one_line(label, error) + other)


def _from_members(unit: Unit, rules: Rules, installed: Readers) -> Iterator[FrameSource | BadFile]:
    """Yield a frame from files of one channel each; a file with such a name that holds a whole frame is a frame of its own."""
    planes: list[_Plane] = []
    broken: list[BadFile] = []
    known = rules.known()
    for member in unit.members:
        try:
            file = open_file(member.path, installed)
            scenes = file.scenes
            whole = len(scenes) > 1 or len(scenes[0].channels) > 1
            if whole and rules.pattern is None:
                # Its own name, not the part before what looked like a channel.
                yield from _from_file(renamed(unit, stem(member.path)), file, member.path, rules)
                continue
            if whole:
                count = max(len(scenes), len(scenes[0].channels))
                raise CacappError(
                    f"holds {count} channels or scenes where --pattern {rules.pattern and rules.pattern.text} says one; leave --pattern out"
                )
            plane = _planes(file, scenes[0])[0]
            # A name like w1 says nothing where the file itself names its channel, as MetaMorph's do.
            own = not known(member.channel) and known(plane.found_as)
            planes.append(_Plane(plane.scene, file, plane.found_as if own else member.channel, plane.index))
        except (CacappError, OSError) as error:
            broken.append(BadFile(unit.uri, _one_line(member.path.name, error)))
    if broken:
        yield broken[0]
    elif planes:
        try:
            yield _frame(unit.name, unit.uri, planes, rules)
        except (CacappError, OSError) as error:
            yield BadFile(unit.uri, _one_line(Path(unit.uri if len(planes) > 1 else planes[0].file.file.uri).name, error))


def _from_unit(unit: Unit, rules: Rules, installed: Readers) -> Iterator[FrameSource | BadFile]:
    if unit.members:
        yield from _from_members(unit, rules, installed)
        return
    try:
        file = open_file(unit.path, installed)
    except (CacappError, OSError) as error:
        yield BadFile(unit.uri, _one_line(unit.path.name, error))
        return
    yield from _from_file(unit, file, unit.path, rules)


def _frames(units: Sequence[Unit | BadFile], rules: Rules, readers: int, installed: Readers) -> Iterator[FrameSource | BadFile]:
    taken: dict[str, str] = {}
    with hash_ahead(list(_files(units)), readers):
        for unit in units:
            for item in [unit] if isinstance(unit, BadFile) else _from_unit(unit, rules, installed):
                if isinstance(item, FrameSource):
                    other = taken.setdefault(item.name, item.uri)
                    if other != item.uri:
                        yield BadFile(item.uri, f"{item.uri}: would be frame {item.name}, and so is {other}; rename or leave out one")
                        continue
                yield item


def _files(units: Iterable[Unit | BadFile]) -> Iterator[Path]:
    """Yield the local files and folders of the units, in order."""
    for unit in units:
        if isinstance(unit, Unit):
            yield from (path for path in ([m.path for m in unit.members] or [unit.path]) if path.is_absolute())


def discover(
    paths: Sequence[Path | str],
    *,
    pattern: str | None = None,
    channels: Mapping[str, str] | None = None,
    required: Sequence[str] = CHANNELS,
    projection: str = "none",
    aliases: Mapping[str, Sequence[str]] = DEFAULT_ALIASES,
    pixel_size_um: float | None = None,
    readers: int = 1,
    searched: Callable[[int], None] = lambda files: None,
    installed: Readers | None = None,
) -> Iterator[FrameSource | BadFile]:
    """Yield the frames in files and folders as they are read; text with ``://`` is an address of a store (``remote``).

    Folders are searched in sorted order; hidden files, label images (``*_labels.tif``), thumbnails and files that are no images are left
    out there.
    A file that is named is read or refused. Files of one channel each are put together by their names.

    Args:
        pattern: naming pattern of one file per channel, with ``{frame}`` and ``{channel}``, matched with the end of each path; files
            in folders that do not fit it are left out. None: guess ``f_DAPI.tif``, ``f-DAPI.tif``, ``DAPI/f.tif``
            and microscopes' names such as ``f_w1DAPI_s1.TIF``.
        channels: the user's ``--channels``: canonical name -> found name or ``#position``.
        required: canonical channel names of the assay, DAPI first.
        projection: how a z-stack becomes a plane: "none" refuses it, "max", or "focus" (the plane where DAPI is sharpest).
        aliases: canonical name -> names it is known by.
        pixel_size_um: edge length of a pixel as the user states it, in place of what the files say.
        readers: files of this machine that are hashed at a time, by a thread each, while the frames before them are looked at.
        searched: called at once with how many files, or sets of files, there are to read.

        installed: the readers to choose from; None: cacapp's own.

    Yields:
        A FrameSource with absolute paths or addresses for each frame, or a BadFile for what gives none.

    Raises:
        UsageError: the pattern, the projection, a channel's canonical name or an address is wrong, or there are no paths; at once, not on
            iteration.
    """
    check_projection(projection)
    if not paths:
        raise UsageError("no files given; name image files or folders")
    rules = Rules(
        Pattern.parse(pattern) if pattern else None,
        canonical_mapping(channels, required),
        tuple(required),
        projection,
        aliases,
        pixel_size_um,
    )
    installed = installed or Readers()
    units = list(with_unique_names(list(units_of(search(paths, installed.suffixes), rules, installed.suffixes))))
    searched(sum(isinstance(unit, Unit) for unit in units))
    return _frames(units, rules, readers, installed)
