"""A plugin written for version 1 of the plugin API, with all that version had. Frozen: see docs/plugin-api.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from cacapp import (
    Array,
    Field,
    Frame,
    Instance,
    InstanceFilter,
    Prompter,
    Prompts,
    Segmenter,
    Shapes,
    SignalDetector,
    Signals,
    TrainableSegmenter,
    TrainingSample,
    hookimpl,
)

assert Frame
assert TrainingSample


class OneSeeds(Prompter):
    """A prompt for each bright run of columns and rows."""

    name: ClassVar[str] = "one-seeds"
    api_version: ClassVar[int] = 1
    level: float = Field(0.5, gt=0, lt=1, description="threshold, share of the way from darkest to brightest")
    boxes: bool = Field(True, description="boxes beside points")

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        regions = blobs(dapi, self.level)
        if not regions:
            return Prompts.empty()
        boxes = np.array([r.bbox_xywh for r in regions], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        points = np.array([inner(r) for r in regions], np.float32)[:, None]
        return Prompts(points, np.ones((len(regions), 1), np.int8), boxes if self.boxes else None, tuple(regions))


class OneNuclei(Segmenter):
    """The regions of the prompts, unchanged."""

    name: ClassVar[str] = "one-nuclei"
    api_version: ClassVar[int] = 1

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return list(prompts.regions)


class OneLearner(TrainableSegmenter):
    """Learns the threshold between nuclei and background."""

    name: ClassVar[str] = "one-learner"
    api_version: ClassVar[int] = 1
    needs_prompts: ClassVar[bool] = False
    weights: str = Field("", description="file that train() wrote; none: a level of one half")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return blobs(dapi, float(Path(self.weights).read_text()) if self.weights else 0.5)

    def train(self, samples, out, seed, progress):
        progress.start("train", len(samples))
        shares = []
        for n in range(len(samples)):
            sample = samples[n]
            low, high = float(sample.dapi.min()), float(sample.dapi.max())
            shares.append((float(sample.dapi[sample.labels > 0].mean()) / 2 - low / 2) / max(high - low, 1.0))
            progress.advance()
        out.mkdir(parents=True, exist_ok=True)
        (out / "level.txt").write_text(str(float(np.clip(np.mean(shares), 0.1, 0.9))))
        return out / "level.txt"


class OneShape(InstanceFilter):
    """Rejects what is small."""

    name: ClassVar[str] = "one-shape"
    api_version: ClassVar[int] = 1
    min_area_um2: float = Field(5.0, ge=0, description="smallest area, µm²")
    unknown: Literal["keep", "reject"] = Field("keep", description="what becomes of nuclei where the pixel size is unknown")

    def judge(self, shapes: Shapes) -> list[str | None]:
        if shapes.area_um2 is None:
            return [None if self.unknown == "keep" else "size unknown" for _ in range(len(shapes))]
        return ["small" if area < self.min_area_um2 else None for area in shapes.area_um2]

    def limits(self, shapes: Shapes) -> dict[str, float]:
        return {"min_area_um2": self.min_area_um2}


class OneDots(SignalDetector):
    """Pixels that are brighter than all around them and than their nucleus."""

    name: ClassVar[str] = "one-dots"
    api_version: ClassVar[int] = 1
    min_snr: float = Field(8.0, gt=0, le=1000, description="weakest dot, height over noise")

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        yx, snr, height = [], [], []
        taken = np.zeros(plane.shape, bool)
        padded = np.pad(plane.astype(np.float32), 2, mode="edge")
        around = np.stack([padded[2 + dy : 2 + dy + plane.shape[0], 2 + dx : 2 + dx + plane.shape[1]] for dy, dx in NEAR])
        top = (plane >= around.max(0)) & (around.mean(0) < plane)
        for nucleus in nuclei:
            x, y, w, h = nucleus.bbox_xywh
            window = plane[y : y + h, x : x + w].astype(np.float32)
            values = window[nucleus.mask]
            middle = float(np.median(values))
            noise = 1.4826 * float(np.median(np.abs(values - middle))) or 1.0
            peaks = top[y : y + h, x : x + w] & nucleus.mask & ~taken[y : y + h, x : x + w] & (window > middle + self.min_snr * noise)
            for row, column in np.argwhere(peaks):
                yx.append((y + row, x + column))
                height.append(float(window[row, column]) - middle)
                snr.append(height[-1] / noise)
                taken[max(0, y + row - 2) : y + row + 3, max(0, x + column - 2) : x + column + 3] = True
        if not yx:
            return Signals.empty()
        return Signals(np.float32(yx), np.float32(snr), np.float32(height), np.full(len(yx), 1.4, np.float32))


NEAR = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)]


def blobs(dapi: Array, level: float) -> list[Instance]:
    """Connected bright pixels, found by spreading the smallest number over each."""
    import cv2

    smooth = cv2.GaussianBlur(dapi, (0, 0), 2.0).astype(np.float32)
    low, high = float(np.percentile(smooth, 5)), float(np.percentile(smooth, 99.5))
    if high < 2 * low + 20:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats((smooth > low + level * (high - low)).astype(np.uint8))
    found = []
    for label in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[label])
        if area >= 60:
            found.append(Instance((x, y, w, h), labels[y : y + h, x : x + w] == label, 0.8))
    return found


def inner(region: Instance) -> tuple[float, float]:
    """(x, y) of the mask's pixel nearest to its centre of mass."""
    rows, columns = np.nonzero(region.mask)
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return region.bbox_xywh[0] + float(columns[nearest]), region.bbox_xywh[1] + float(rows[nearest])


@hookimpl
def cacapp_prompters():
    return [OneSeeds]


@hookimpl
def cacapp_segmenters():
    return [OneNuclei, OneLearner]


@hookimpl
def cacapp_filters():
    return [OneShape]


@hookimpl
def cacapp_signal_detectors():
    return [OneDots]
