"""Segmenter ``seem``: the user's SEEM, in a process of another Python, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from cacapp.api import Field, Segmenter
from cacapp.exceptions import CacappError, UsageError
from cacapp.types import Array, Instance, Prompts

if TYPE_CHECKING:
    from cacapp.isolation import ChildProcess

MARGIN_BYTES = 2**20
AT_ONCE = 16
"""Prompts per request: an answer has as many masks of the tile's size."""


class Seem(Segmenter):
    """Segment Everything Everywhere All at Once (Zou et al. 2023), installed by the user, prompted with points, boxes or a text.

    SEEM is in no package registry. It runs in its own environment (``python``) behind a server file of the user (``server``), which
    answers requests over cacapp's wire protocol; the plugin contains a template of this file.
    """

    name: ClassVar[str] = "seem"
    api_version: ClassVar[int] = 1

    python: str = Field("", description="Python interpreter of the environment with SEEM")
    server: str = Field("", description="server file of SEEM; begin with the plugin's template, see its README")
    use: Literal["points", "boxes", "text"] = Field("points", description="prompts for SEEM: points or boxes of the prompter, or text")
    text: str = Field("cell nucleus", description="text prompt with use=text")
    min_score: float = Field(0.5, ge=0, le=1, description="a mask with a lower score is discarded")
    tile_px: int = Field(1024, ge=128, le=8192, description="side of a tile, px")
    overlap_px: int = Field(192, ge=0, le=2048, multiple_of=2, description="overlap between neighbouring tiles, px: three nuclei")
    timeout_s: float = Field(300.0, gt=0, description="time limit of a request, s")

    def weights_sha256(self) -> str | None:
        found = self._child().ask("weights")[0].get("sha256")
        return found if isinstance(found, str) else None

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.arrays.overlap import divide_overlaps, resolve

        child = self._child()
        if dapi.min() == dapi.max() or (self.use != "text" and not len(prompts)):
            return []
        found = list(self._found(child, dapi, prompts))
        kept = [found[i] for i in resolve(found)]
        parted = divide_overlaps(kept, [np.full(one.mask.shape, one.score, np.float32) for one in kept])
        return [one for one in parted if one is not None]

    def _child(self) -> ChildProcess:
        for name in ("python", "server"):
            path = Path(str(getattr(self, name))).expanduser()
            if not getattr(self, name) or not path.is_file():
                what = "the interpreter of the environment that has SEEM" if name == "python" else "the file that serves it"
                raise UsageError(f"{name} {getattr(self, name) or 'is empty'}: no such file; give {what}: --set seem.{name}=FILE")
        return _child(str(Path(self.python).expanduser()), str(Path(self.server).expanduser().resolve()), self.timeout_s)

    def _found(self, child: ChildProcess, dapi: Array, prompts: Prompts) -> Iterator[Instance]:
        """Return the masks of the frame: of each prompt from the tile that owns it, of a text from the tiles that own their centres."""
        from cacapp.arrays.background import sample
        from cacapp.arrays.tiles import TileGrid

        if self.overlap_px >= self.tile_px:
            raise UsageError(f"overlap_px {self.overlap_px}: must be less than tile_px {self.tile_px}")
        low, high = np.percentile(sample(dapi), (0.5, 99.8))
        grey = np.clip((dapi.astype(np.float32) - low) * (255 / max(float(high - low), 1.0)), 0, 255).astype(np.uint8)
        grid = TileGrid(dapi.shape[0], dapi.shape[1], self.tile_px, self.overlap_px)
        boxes = _boxes(prompts) if self.use == "boxes" else None
        anchors = (boxes[:, :2] + boxes[:, 2:]) / 2 if boxes is not None else prompts.points_xy[:, 0]
        owner = grid.owners(anchors) if self.use != "text" else np.zeros(0, int)
        for tile, origin_yx in enumerate(grid.origins_yx):
            mine = np.flatnonzero(owner == tile)
            if self.use != "text" and not len(mine):
                continue
            image = np.repeat(grid.cut(grey, tile, 0)[..., None], 3, axis=2)
            corner = origin_yx[::-1].astype(np.float32)
            for start in range(0, max(1, len(mine)), AT_ONCE):
                some = mine[start : start + AT_ONCE]
                given = {"image": image}
                if self.use == "points":
                    given |= {"points_xy": prompts.points_xy[some] - corner, "point_labels": prompts.point_labels[some]}
                elif boxes is not None:
                    given["boxes_xyxy"] = boxes[some] - np.tile(corner, 2)
                masks, scores = self._ask(child, given, len(some))
                for mask, score in zip(masks, scores.tolist(), strict=True):
                    one = _in_frame(mask, float(score), origin_yx, dapi.shape) if score >= self.min_score else None
                    if one is not None and (self.use != "text" or int(grid.owners(_middle(one))[0]) == tile):
                        yield one

    def _ask(self, child: ChildProcess, given: dict[str, Array], count: int) -> tuple[Array, Array]:
        """Request masks (N, h, w) bool and scores (N,) of a tile, and check them."""
        height, width = given["image"].shape[:2]
        at_most = MARGIN_BYTES + (count or 1000) * height * width
        _, answer = child.ask("segment", {"use": self.use, "text": self.text}, given, at_most)
        masks, scores = answer.get("masks"), answer.get("scores")
        if masks is None or masks.ndim != 3 or masks.shape[1:] != (height, width) or masks.dtype != np.bool_:
            raise CacappError(f"server {self.server}: masks must be (N, {height}, {width}) bool")
        if scores is None or scores.shape != (len(masks),) or not np.isfinite(scores).all():
            raise CacappError(f"server {self.server}: scores must be {len(masks)} finite numbers, one a mask")
        if self.use != "text" and len(masks) != count:
            raise CacappError(f"server {self.server}: {count} prompts, {len(masks)} masks; answer one a prompt, score 0 for none")
        return masks, scores


@lru_cache(maxsize=4)
def _child(python: str, server: str, timeout_s: float) -> ChildProcess:
    """Return the SEEM process, one per calling process; it ends with the caller."""
    from cacapp.isolation import ChildProcess, Limits

    return ChildProcess(server, limits=Limits(python, timeout_s))


def _boxes(prompts: Prompts) -> Array:
    if prompts.boxes_xyxy is not None:
        return prompts.boxes_xyxy
    if not prompts.regions:
        raise UsageError("use=boxes: the prompter gives neither boxes nor regions; use points")
    boxes = np.array([region.bbox_xywh for region in prompts.regions], np.float32)
    boxes[:, 2:] += boxes[:, :2] - 1
    return boxes


def _in_frame(mask: Array, score: float, origin_yx: Array, shape_yx: tuple[int, ...]) -> Instance | None:
    """Return a tile's mask in the frame; None if it lies outside."""
    top, left = (int(v) for v in origin_yx)
    inside = mask[max(0, -top) : shape_yx[0] - top, max(0, -left) : shape_yx[1] - left]
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    crop = np.ascontiguousarray(inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    corner = (max(0, left) + int(columns[0]), max(0, top) + int(rows[0]))
    return Instance((*corner, crop.shape[1], crop.shape[0]), crop, min(1.0, max(0.0, score)))


def _middle(one: Instance) -> Array:
    x, y, w, h = one.bbox_xywh
    return np.array([[x + w / 2, y + h / 2]])
