"""Prompter ``few-shot``: boxes around all objects similar to the examples."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np

from cacapp.api import Field, Prompter
from cacapp.exceptions import UsageError
from cacapp.types import Array, Prompts

if TYPE_CHECKING:
    from cacapp.algorithms.sam.models import LoadedSam, ModelName
    from cacapp_fewshot.locate import Likeness

OVERLAP = 3.0
"""Overlap between neighbouring tiles, nuclear diameters."""


class _ExampleNuclei(NamedTuple):
    """Features and size of the example nuclei; ``over_typical``: their diameter over that of a typical nucleus on their images."""

    like: Likeness
    diameter_px: float
    over_typical: float
    pixel_size_um: float | None


class FewShot(Prompter):
    """Few-shot localisation after MedLSAM (Lei et al. 2024) in two dimensions: boxes around all objects similar to one to five examples.

    Features of a SAM image encoder describe the centre of each example and the centres of its four sides. In a frame, objects are at
    places with features like those of an example's centre, and their boxes end at features like those of the sides. Segmenter ``sam``
    turns the boxes into masks (``--set sam.use=boxes``).
    """

    name: ClassVar[str] = "few-shot"
    api_version: ClassVar[int] = 1

    examples: str = Field("", description="CSV file with the columns image,left,top,right,bottom (px): boxes around one to five nuclei")
    model: Literal["nuclei_t", "vit_b", "vit_l", "vit_h", "medsam"] = Field(
        "nuclei_t", description="weights of the encoder: the embedded nuclei_t, or others (see: cacapp weights list)"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device for the network; auto takes a GPU if there is one")
    likeness: float = Field(0.7, gt=0, lt=1, description="least cosine similarity of an object's centre with an example")
    apart: float = Field(0.8, gt=0, le=4, description="least distance between two centres, half sides of the examples")
    scale: Literal["examples", "frame"] = Field(
        "examples",
        description="size of the objects: that of the examples (by pixel size if known), or in proportion to the frame's nuclei",
    )

    def weights_sha256(self) -> str | None:
        from cacapp.weights.cache import digest_of as weights_digest
        from cacapp_fewshot.examples import digest_of

        return hashlib.sha256(f"{weights_digest(self.model)} {digest_of(self._file())}".encode()).hexdigest()

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        from cacapp.algorithms.sam.models import NUCLEUS_PX
        from cacapp.algorithms.sam.segmenter import typical_diameter_px
        from cacapp.algorithms.sam.tiled import scaled_frame
        from cacapp_fewshot.examples import digest_of
        from cacapp_fewshot.features import feature_map
        from cacapp_fewshot.locate import locate

        path = self._file()
        sam = _load(self.model, self.device)
        examples = _example_nuclei(path, digest_of(path), self.model, self.device)
        if dapi.min() == dapi.max():
            return Prompts.empty()
        if self.scale == "frame":
            diameter_px = examples.over_typical * typical_diameter_px(dapi, Prompts.empty())
        else:
            known = pixel_size_um and examples.pixel_size_um
            diameter_px = examples.diameter_px * (examples.pixel_size_um / pixel_size_um if known else 1.0)  # type: ignore[operator]
        frame = scaled_frame(dapi, diameter_px, NUCLEUS_PX[self.model])
        found = feature_map(sam, frame, round(OVERLAP * NUCLEUS_PX[self.model]))
        boxes, _ = locate(found, examples.like, self.likeness, self.apart)
        return _prompts((boxes + 0.5) / frame.zoom - 0.5, dapi.shape)

    def _file(self) -> Path:
        if not self.examples:
            raise UsageError(
                "examples: boxes around one to five nuclei are needed; write them as CSV with the columns image,left,top,right,bottom (px) "
                "and give --set few-shot.examples=FILE"
            )
        return Path(self.examples).expanduser()


def _prompts(boxes: Array, shape_yx: tuple[int, ...]) -> Prompts:
    """Return prompts of boxes (N, 4) clipped to the frame, each with its centre as a point."""
    high = np.array([shape_yx[1], shape_yx[0]] * 2) - 1
    boxes = np.clip(boxes, 0, high)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)].astype(np.float32)
    middles = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return Prompts(middles.astype(np.float32), np.ones((len(boxes), 1), np.int8), boxes)


def _load(model: ModelName, device: Literal["auto", "cpu", "cuda", "mps"]) -> LoadedSam:
    from cacapp.algorithms.sam.models import device_of, load_sam
    from cacapp.weights.cache import locate

    return load_sam(model, locate(model), device_of(device))


@lru_cache(maxsize=4)
def _example_nuclei(path: Path, digest: str, model: ModelName, device: Literal["auto", "cpu", "cuda", "mps"]) -> _ExampleNuclei:
    """Compute the features of a file of examples; a file with another ``digest`` is read anew."""
    from cacapp.algorithms.sam.models import NUCLEUS_PX
    from cacapp.algorithms.sam.segmenter import typical_diameter_px
    from cacapp.algorithms.sam.tiled import scaled_frame
    from cacapp_fewshot.examples import read_examples, read_image
    from cacapp_fewshot.features import feature_map
    from cacapp_fewshot.locate import learn

    examples = read_examples(path)
    images = [read_image(one) for one in examples]
    sizes = {pixel_size_um for _, pixel_size_um in images}
    if len(sizes) > 1:
        raise UsageError(f"{path}: its images have different pixel sizes; draw all examples at one magnification")
    sides = np.concatenate([one.boxes_xyxy[:, 2:] - one.boxes_xyxy[:, :2] for one in examples])
    diameter_px = float(np.median(np.sqrt(sides.prod(axis=1))))
    typical_px = float(np.median([typical_diameter_px(dapi, Prompts.empty()) for dapi, _ in images]))
    maps = []
    for one, (dapi, _) in zip(examples, images, strict=True):
        frame = scaled_frame(dapi, diameter_px, NUCLEUS_PX[model])
        features = feature_map(_load(model, device), frame, round(OVERLAP * NUCLEUS_PX[model]))
        maps.append((features, one.boxes_xyxy * frame.zoom - 0.5))
    return _ExampleNuclei(learn(maps), diameter_px, diameter_px / typical_px, sizes.pop())
