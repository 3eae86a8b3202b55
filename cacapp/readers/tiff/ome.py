"""OME-XML in a TIFF: its images, and the directory that holds each of their planes (OME-TIFF specification, 6th edition of the schema)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from cacapp.exceptions import CacappError
from cacapp.scene import duration_ms, length_um, pixel_size_xy_um

_ORDERS = {"XYZCT", "XYZTC", "XYCZT", "XYCTZ", "XYTCZ", "XYTZC"}
_MAX_PLANES = 1 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """TiffData element: ``count`` planes from ``first`` (c, z, t) on lie in the directories from ``ifd`` on; None: not given."""

    first: tuple[int, int, int]
    ifd: int | None
    count: int | None
    uuid: str
    file_name: str


@dataclass(frozen=True, slots=True)
class OmeImage:
    """Image element.

    Attributes:
        key: its ID; name: as a person wrote it.
        order: axes of its planes, the fastest first, of "C", "Z" and "T".
        size_xy: as declared, px; sizes: number of c, z and t, where the samples of an RGB page count as channels.
        channels: names, or IDs where there are none.
        known: pixel size, exposures and stage position, as attributes of a Scene.
        blocks: where its planes are.
    """

    key: str
    name: str
    order: str
    size_xy: tuple[int, int]
    sizes: tuple[int, int, int]
    channels: tuple[str, ...]
    known: dict[str, Any]
    blocks: tuple[Block, ...] = field(default=())


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: ET.Element, name: str) -> list[ET.Element]:
    return [child for child in element if _local(child) == name]


def _number(element: ET.Element, name: str) -> float | None:
    value = element.get(name)
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _block(element: ET.Element) -> Block:
    uuid = next(iter(_children(element, "UUID")), None)
    given = {name: element.get(name) for name in ("FirstC", "FirstZ", "FirstT", "IFD", "PlaneCount", "NumPlanes")}
    number = {name: int(value) for name, value in given.items() if value is not None}
    if any(value < 0 for value in number.values()):
        raise ValueError("negative TiffData")
    count = number.get("PlaneCount", number.get("NumPlanes")) or None
    first = (number.get("FirstC", 0), number.get("FirstZ", 0), number.get("FirstT", 0))
    text, file_name = ("", "") if uuid is None else ((uuid.text or "").strip(), uuid.get("FileName", ""))
    return Block(first, number.get("IFD"), count, text, file_name)


def _known(pixels: ET.Element, n_channels: int) -> dict[str, Any]:
    x_um = length_um(_number(pixels, "PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"))
    y_um = length_um(_number(pixels, "PhysicalSizeY"), pixels.get("PhysicalSizeYUnit", "µm"))
    exposures: list[float | None] = [None] * n_channels
    stage: tuple[float | None, float | None] = (None, None)
    for plane in _children(pixels, "Plane"):
        the_c = int(plane.get("TheC", "0"))
        if 0 <= the_c < n_channels and exposures[the_c] is None:
            exposures[the_c] = duration_ms(_number(plane, "ExposureTime"), plane.get("ExposureTimeUnit", "s"))
        if stage == (None, None):
            stage = (
                length_um(_number(plane, "PositionX"), plane.get("PositionXUnit")),
                length_um(_number(plane, "PositionY"), plane.get("PositionYUnit")),
            )
    return {"pixel_size_xy_um": pixel_size_xy_um(x_um, y_um), "exposures_ms": tuple(exposures), "stage_xy_um": stage}


def _image(element: ET.Element) -> OmeImage:
    (pixels,) = _children(element, "Pixels")
    order = pixels.attrib["DimensionOrder"]
    sizes = (int(pixels.attrib["SizeC"]), int(pixels.attrib["SizeZ"]), int(pixels.attrib["SizeT"]))
    if order not in _ORDERS or min(sizes) < 1 or sizes[0] * sizes[1] * sizes[2] > _MAX_PLANES:
        raise ValueError("sizes")
    channels = tuple(c.get("Name") or c.get("ID") or "" for c in _children(pixels, "Channel"))
    return OmeImage(
        key=element.attrib["ID"],
        name=element.get("Name", ""),
        order=order[2:],
        size_xy=(int(pixels.attrib["SizeX"]), int(pixels.attrib["SizeY"])),
        sizes=sizes,
        channels=channels,
        known=_known(pixels, len(channels)),
        blocks=tuple(_block(b) for b in _children(pixels, "TiffData")),
    )


def parse_ome(description: str) -> list[OmeImage] | None:
    """Return the images of this file that OME-XML describes; None where the text is no usable OME-XML.

    Planes belong to this file whatever name it has now; images of other files of a set are left out.

    Raises:
        CacappError: some planes of an image lie in other files.
    """
    if "<OME" not in description[:4096] and ":OME" not in description[:4096]:
        return None
    try:
        root = ET.fromstring(description)  # noqa: S314 expat expands no external entities; size is bounded by the file's
    except ET.ParseError:
        return None
    if _local(root) != "OME":
        return None
    if _children(root, "BinaryOnly"):
        raise CacappError("one part of an OME-TIFF set whose metadata is in another file; export each frame as one OME-TIFF")
    try:
        images = [_image(e) for e in _children(root, "Image")]
    except (KeyError, ValueError):
        return None
    return _own(images, root.get("UUID", "")) or None


def _own(images: Sequence[OmeImage], uuid: str) -> list[OmeImage]:
    """Return the images whose planes are in the file with this UUID. A file's name says nothing: files are renamed and copied."""
    files = {b.uuid for image in images for b in image.blocks if b.uuid}
    if len(files) <= 1:
        return list(images)
    refused = CacappError(f"one of {len(files)} files of an OME-TIFF set; export each frame as one OME-TIFF")
    own = []
    for image in images:
        there = {b.uuid or uuid for b in image.blocks}
        if there == {uuid} and uuid in files:
            own.append(image)
        elif uuid in there or len(there) > 1:
            raise refused
    if not own:
        raise refused
    return own


def _coordinates(image: OmeImage, sizes: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield (c, z, t) of an image's planes in its order."""
    length = dict(zip("CZT", sizes, strict=True))
    fast, middle, slow = tuple(image.order)
    for k in range(length[slow]):
        for j in range(length[middle]):
            for i in range(length[fast]):
                at = {fast: i, middle: j, slow: k}
                yield at["C"], at["Z"], at["T"]


def directories(images: Sequence[OmeImage], sizes: Sequence[tuple[int, int, int]], n_pages: int) -> list[dict[tuple[int, int, int], int]]:
    """Return, for each image, the directory of each of its planes: (c, z, t) -> index.

    Args:
        sizes: of each image, number of c, z and t in pages.
        n_pages: directories of the file.

    Raises:
        CacappError: planes of which the metadata says no place, places that the file does not have, or one place for two planes.
    """
    found: list[dict[tuple[int, int, int], int]] = []
    used: dict[int, str] = {}
    following = 0
    for image, size in zip(images, sizes, strict=True):
        order = list(_coordinates(image, size))
        places = _places(image, order, following)
        for at in order:
            index = places.get(at, -1)
            if index < 0:
                raise CacappError(f"its OME metadata says where {len(places)} of the {len(order)} planes of an image are; export it again")
            if index >= n_pages:
                raise CacappError(_beyond(image, index, n_pages))
            if index in used:
                raise CacappError(f"its OME metadata names plane {index} for {used[index]} and again for {image.key}; export it again")
            used[index] = image.key
        following = max(places.values(), default=following - 1) + 1
        found.append(places)
    return found


def _places(image: OmeImage, order: Sequence[tuple[int, int, int]], following: int) -> dict[tuple[int, int, int], int]:
    """Return where TiffData says that planes are; without any, they follow those of the image before."""
    if not image.blocks:
        return {at: following + i for i, at in enumerate(order)}
    number = {at: i for i, at in enumerate(order)}
    places: dict[tuple[int, int, int], int] = {}
    for block in image.blocks:
        start = number.get(block.first)
        if start is None:
            raise CacappError(f"its OME metadata places a plane that {image.key} does not have; export it again")
        ifd = following if block.ifd is None else block.ifd
        # A block without a count holds one plane where it names a directory, else all; the only block holds all in any case.
        count = block.count or (1 if block.ifd is not None and len(image.blocks) > 1 else len(order) - start)
        for i, at in enumerate(order[start : start + count]):
            if places.setdefault(at, ifd + i) != ifd + i:
                raise CacappError(f"its OME metadata names two places for a plane of {image.key}; export it again")
    return places


def _beyond(image: OmeImage, index: int, n_pages: int) -> str:
    files = {b.file_name for b in image.blocks if b.file_name}
    where = f" (of the file {min(files)})" if files else ""
    return (
        f"truncated or one of a set: its OME metadata names plane {index}{where} and {n_pages} are there; export each frame as one OME-TIFF"
    )
