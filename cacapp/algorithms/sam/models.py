"""Common interface of Segment Anything models: encode a tile, decode prompts on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cacapp.exceptions import CacappError
from cacapp.types import Array
from cacapp.weights.load import check_state, load_state

ModelName = Literal["nuclei_t", "vit_b", "vit_l", "vit_h", "medsam"]
Device = Literal["auto", "cpu", "cuda", "mps"]

# best nuclear diameter of each model, px: that of the training of nuclei_t; a fourteenth of a ViT tile
NUCLEUS_PX = {"nuclei_t": 32.0, "vit_b": 72.0, "vit_l": 72.0, "vit_h": 72.0, "medsam": 72.0}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Decoded masks of one tile, N of them.

    Attributes:
        logits: (N, h, w) float32, > 0 inside.
        scores: (N,) float32, predicted IoU.
        origins_xy: (N, 2) float32, model px of the logits' top-left corner in the tile.
    """

    logits: Array
    scores: Array
    origins_xy: Array


class LoadedSam:
    """SAM model on a device. ``side_px``: tile size; ``mask_stride``: model px per logit."""

    def __init__(self, sam: Any, device: str, windowed: bool) -> None:
        self.sam, self.device, self.windowed = sam.to(device).eval(), device, windowed
        self.side_px = int(sam.image_encoder.img_size)
        self.mask_stride = 2.0 if windowed else 4.0
        if windowed:  # makes a convolutional encoder a third faster
            self.sam.image_encoder.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def encode(self, tile: Array) -> Tensor:
        """Encode a (side_px, side_px) tile in [0, 255] and return its embedding."""
        image = torch.from_numpy(np.ascontiguousarray(tile)).to(self.device)[None, None].expand(1, 3, -1, -1)
        features: Tensor = self.sam.image_encoder(self.sam.preprocess(image))
        return features

    @torch.no_grad()
    def decode(self, features: Tensor, points_xy: Array, point_labels: Array, boxes_xyxy: Array | None) -> Decoded:
        """Decode N prompts on an encoded tile: points (N, P, 2) px with labels (N, P), boxes (N, 4) px or None."""
        points = torch.from_numpy(points_xy).to(self.device)
        kinds = torch.from_numpy(point_labels.astype(np.float32)).to(self.device)
        boxes = None if boxes_xyxy is None else torch.from_numpy(boxes_xyxy).to(self.device)
        if self.windowed:
            from cacapp.algorithms.sam.nuclei_t import decode_windows

            tiles = torch.zeros(len(points), dtype=torch.long, device=self.device)
            logits, iou, origins = decode_windows(self.sam, features, tiles, points, kinds, boxes_xyxy=boxes)
            return Decoded(_numpy(logits[:, 0]), _numpy(iou[:, 0]), _numpy(origins.flip(-1)).astype(np.float32))
        sparse, dense = self.sam.prompt_encoder(points=(points, kinds), boxes=boxes, masks=None)
        logits, iou = self.sam.mask_decoder(
            image_embeddings=features,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=boxes is None,
        )
        best = iou.argmax(dim=1)
        rows = torch.arange(len(best), device=best.device)
        return Decoded(_numpy(logits[rows, best]), _numpy(iou[rows, best]), np.zeros((len(best), 2), np.float32))


def device_of(name: Device) -> str:
    """Return the device to use. Raises CacappError if this machine does not have it."""
    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if have[device])
    if not have[name]:
        raise CacappError(f"device {name!r} is not available here; use --set device=auto")
    return name


@lru_cache(maxsize=2)
def load_sam(model: ModelName, path: Path, device: str) -> LoadedSam:
    """Load the model with the weights of a file, once per process. Raises CacappError for weights that do not fit the model."""
    from segment_anything import sam_model_registry

    if model == "nuclei_t":
        from cacapp.algorithms.sam.nuclei_t import build_nuclei_t

        sam = build_nuclei_t()
    else:
        sam = sam_model_registry["vit_b" if model == "medsam" else model]()
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load_state(path).items()}
    check_state(state, sam)
    sam.load_state_dict(state)
    return LoadedSam(sam, device, windowed=model == "nuclei_t")


def _numpy(tensor: Tensor) -> Array:
    return np.asarray(tensor.float().cpu().numpy())
