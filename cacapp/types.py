"""The values that are passed from files to calls: frozen, with shapes, axis order and units.

Suffixes say unit and order: ``_px _um _um2 _yx _xy _xyxy _xywh``. Axis order of images is (Y, X); the origin is the
top-left pixel's centre.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DAPI = "DAPI"
PROBE_CHANNELS = ("aqua", "green", "gold", "red")
CHANNELS = (DAPI, *PROBE_CHANNELS)


@dataclass(frozen=True, slots=True)
class ChannelSource:
    """Where one channel of a frame is stored.

    Attributes:
        name: the canonical channel name, one of the assay's (``DAPI``, ``aqua``, ``green``, ``gold``, ``red``).
        found_as: the name the file (or file name) gave it.
        uri: the file that holds it.
        index: its position on the file's channel axis (0 where the file holds one channel).
        sha256: hex digest of the file ``uri`` at ingest.
        exposure_ms: exposure time in ms, None where unknown.
        pixels_sha256: digest by which equal pixels are found in any file, None where it was not computed.
        plane_sha256: digest of the middle plane as a plugin's reader gave it at ingest; None for cacapp's own readers, whose code is known.
    """

    name: str
    found_as: str
    uri: str
    index: int
    sha256: str
    exposure_ms: float | None = None
    pixels_sha256: str | None = None
    plane_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FrameSource:
    """What ingest learns of a frame (field of view) and the database keeps: enough to open it again and to refuse a changed file.

    Attributes:
        name: unique within the slide, a file stem, followed by the scene where a file holds several.
        uri: the file, folder (OME-Zarr) or naming pattern (one file per channel) it comes from.
        sha256: hex digest over the contents of all its files (the file's own digest where there is only one).
        scene: the scene or series inside the file, "" for the only one.
        projection: how a z-stack becomes a plane: "none", "max" or "focus".
        height_px, width_px: plane size.
        dtype: numpy dtype name of the pixels as they will be read: "uint8" or "uint16".
        pixel_size_um: edge length of a pixel in µm, None where the file does not say.
        channels: in canonical order, DAPI first.
        stage_x_um, stage_y_um: stage position of the frame, None where unknown.
        pixel_size_source: who stated the pixel size and what the file says, None where it is the file's.
        reader, reader_version: name of the reader that read the frame, and its distribution with version; None where it is not recorded.
    """

    name: str
    uri: str
    sha256: str
    scene: str
    projection: str
    height_px: int
    width_px: int
    dtype: str
    pixel_size_um: float | None
    channels: tuple[ChannelSource, ...]
    stage_x_um: float | None = None
    stage_y_um: float | None = None
    pixel_size_source: str | None = None
    reader: str | None = None
    reader_version: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One field of view whose channels are read when asked for.

    Attributes:
        source: what is known of it without reading pixels.
        read: (index into ``source.channels``) -> (Y, X) array, uint8 or uint16.
    """

    source: FrameSource
    read: Callable[[int], Array] = field(repr=False, compare=False)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.source.channels)

    @property
    def height_px(self) -> int:
        return self.source.height_px

    @property
    def width_px(self) -> int:
        return self.source.width_px

    @property
    def pixel_size_um(self) -> float | None:
        return self.source.pixel_size_um

    @property
    def sha256(self) -> str:
        return self.source.sha256

    def channel(self, name: str) -> Array:
        """Pixels of a channel by canonical name: (Y, X), uint8 or uint16. Raises KeyError with the names there are."""
        names = self.channel_names
        if name not in names:
            raise KeyError(f"frame {self.source.name} has no channel {name!r}; it has {', '.join(names)}")
        return self.read(names.index(name))


@dataclass(frozen=True, slots=True)
class Instance:
    """One segmented object. Instances may overlap; a label image is only an export.

    Attributes:
        bbox_xywh: tuple of four int, px: left, top, width, height. The box lies inside the frame.
        mask: (height, width) bool, the crop of the frame at the box; at least one pixel is True.
        score: confidence in [0, 1], 1.0 by default.
    """

    bbox_xywh: tuple[int, int, int, int]
    mask: Array
    score: float = 1.0


UNSEGMENTED = -2
"""In place of a neighbour's index: stained matter that belongs to no segmented nucleus."""


@dataclass(frozen=True, slots=True)
class OverlapZone:
    """A zone where a nucleus may lie under or over its neighbour: signals there could belong to either.

    Attributes:
        owner: index of the nucleus whose mask has the zone.
        other: index of the neighbour, or ``UNSEGMENTED``.
        zone: part of the owner's mask, and what lies beside that part just off the mask; its box may reach beyond the frame.
    """

    owner: int
    other: int
    zone: Instance


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts for a promptable segmenter: N objects with P points each.

    Attributes:
        points_xy: (N, P, 2) float32, px, (x, y).
        point_labels: (N, P) int8: 1 object, 0 background, -1 padding.
        boxes_xyxy: (N, 4) float32, px, (left, top, right, bottom), or None.
        regions: the coarse Instances the prompts came from, N of them or none.
    """

    points_xy: Array
    point_labels: Array
    boxes_xyxy: Array | None = None
    regions: tuple[Instance, ...] = ()

    def __len__(self) -> int:
        return len(self.points_xy)

    @classmethod
    def empty(cls) -> Prompts:
        return cls(np.zeros((0, 1, 2), np.float32), np.zeros((0, 1), np.int8))


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shape features of N instances: arrays of shape (N,) float64, in the order of the instances.

    Attributes:
        area_px: number of pixels.
        length_px, width_px: long and short side of the minimum-area rectangle around the outline.
        roundness: 4πA/P² (Cox 1927), 1 for a disk.
        solidity: area over the area of the convex hull.
        on_edge: (N,) bool, the instance touches the frame's edge.
        pixel_size_um: edge length of a pixel in µm, None where unknown.
    """

    area_px: Array
    length_px: Array
    width_px: Array
    roundness: Array
    solidity: Array
    on_edge: Array
    pixel_size_um: float | None = None

    def __len__(self) -> int:
        return len(self.area_px)

    @property
    def area_um2(self) -> Array | None:
        return None if self.pixel_size_um is None else self.area_px * self.pixel_size_um**2

    @property
    def length_um(self) -> Array | None:
        return None if self.pixel_size_um is None else self.length_px * self.pixel_size_um

    @property
    def width_um(self) -> Array | None:
        return None if self.pixel_size_um is None else self.width_px * self.pixel_size_um


@dataclass(frozen=True, slots=True)
class Signals:
    """N dots of one channel, in any order; row n of each array is dot n.

    Attributes:
        yx: (N, 2) float32, px, sub-pixel, (y, x) in the frame's coordinates.
        snr: (N,) float32, amplitude over the noise of a matched filter's response there.
        amplitude: (N,) float32, height above the local background in grey values.
        sigma_px: (N,) float32, standard deviation of the dot in px.
    """

    yx: Array
    snr: Array
    amplitude: Array
    sigma_px: Array

    def __len__(self) -> int:
        return len(self.yx)

    @classmethod
    def empty(cls) -> Signals:
        none = np.zeros(0, np.float32)
        return cls(np.zeros((0, 2), np.float32), none, none.copy(), none.copy())

    def take(self, index: Array) -> Signals:
        """The signals at ``index`` (integer or bool array over N)."""
        return Signals(self.yx[index], self.snr[index], self.amplitude[index], self.sigma_px[index])


@dataclass(frozen=True, slots=True)
class DotPairs:
    """K pairs of close dots of one channel, each fitted by one Gaussian and by two.

    Attributes:
        index: (K, 2) int, the dots.
        separation_px: (K,) float64, between the centres of the two Gaussians.
        amplitude: (K, 2) float64, theirs.
        two: (K,) bool, two Gaussians are the better model; False: one dot, whatever its width.
    """

    index: Array
    separation_px: Array
    amplitude: Array
    two: Array

    @classmethod
    def empty(cls) -> DotPairs:
        return cls(np.zeros((0, 2), np.int64), np.zeros(0), np.zeros((0, 2)), np.zeros(0, bool))


UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """An image to learn from, with its labels.

    Attributes:
        dapi: (Y, X) uint8 or uint16.
        labels: (Y, X) int32: 0 background, 1 and up one nucleus each, UNKNOWN (-1) for pixels that training must ignore.
        pixel_size_um: edge length of a pixel in µm, None where unknown.
    """

    dapi: Array
    labels: Array
    pixel_size_um: float | None = None


def label_image(instances: Sequence[Instance], height_px: int, width_px: int, labels: Sequence[int] | None = None) -> Array:
    """Instances painted into a (height_px, width_px) int32 image; where they overlap, the smaller one stays on top.

    Args:
        labels: value of each instance, 1..N by default.
    """
    image = np.zeros((height_px, width_px), np.int32)
    values = range(1, len(instances) + 1) if labels is None else labels
    for instance, value in sorted(zip(instances, values, strict=True), key=lambda pair: -int(pair[0].mask.sum())):
        x, y, w, h = instance.bbox_xywh
        image[y : y + h, x : x + w][instance.mask] = value
    return image
