"""Auxiliary prompt encoder: learned prompts for a frozen Segment Anything, instead of points."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from segment_anything.modeling import Sam
from torch import Tensor, nn

from cacapp.algorithms.sam.nuclei_t import EMBED, FINE2, FINE4, crop_windows, window_origins
from cacapp.exceptions import CacappError
from cacapp.weights.load import load_into

TOKENS = 2
"""Prompt tokens per nucleus, as many as for a point and its padding."""

STRIDE, WINDOW = 8, 16
"""Side of a cell in px of a tile; side of the decoding window of a nucleus, cells."""

_CHANNELS, _WIDTH = EMBED + 4 * FINE4 + 16 * FINE2, 96


class PromptNetwork(nn.Module):
    """Network: (B, 320, h, w) of the frozen encoder of ``nuclei_t`` -> logits of a nucleus' centre (B, h, w), tokens (B, 2 x 128, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(_CHANNELS, _WIDTH), _conv(_WIDTH, _WIDTH), _conv(_WIDTH, _WIDTH))
        self.middle = nn.Conv2d(_WIDTH, 1, 1)
        self.tokens = nn.Conv2d(_WIDTH, TOKENS * EMBED, 1)
        self.middle.bias = nn.Parameter(torch.full((1,), -2.0))  # most cells are not a centre

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(features)
        return self.middle(x)[:, 0], self.tokens(x)


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def decode(sam: Sam, features: Tensor, tokens: Tensor, image: Tensor, cells_yx: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Decode the tokens at N cells with the frozen decoder. SAM's positional encoding is added to each token.

    Args:
        features: (B, 320, 32, 32), the encoder's output for B tiles. tokens: (B, TOKENS x EMBED, 32, 32).
        image: (N,) int64, the tile of each nucleus. cells_yx: (N, 2) int64.

    Returns:
        Logits (N, 64, 64) at 2 px a cell, predicted IoU (N,), and each window's top-left (N, 2) (y, x) px.
    """
    centres_xy = (cells_yx.flip(-1) + 0.5) * STRIDE
    origins = window_origins(centres_xy, WINDOW)
    crops = crop_windows(features, image, origins, WINDOW)
    places = sam.prompt_encoder.get_dense_pe()
    positions = crop_windows(places, torch.zeros_like(image), origins, WINDOW)
    y, x = cells_yx.unbind(-1)
    sparse = tokens[image, :, y, x].reshape(-1, TOKENS, EMBED) + places[0, :, y, x].T[:, None]
    dense = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(len(crops), -1, WINDOW, WINDOW)
    logits, iou = sam.mask_decoder.predict_masks(crops, positions, sparse, dense)
    return logits[:, 0], iou[:, 0], origins * STRIDE


@lru_cache(maxsize=2)
def load_network(path: Path, sha256: str, sam_sha256: str, device: str) -> PromptNetwork:
    """Load the network with the weights of a file, once per process; a file with another ``sha256`` is loaded anew.

    Raises CacappError for a damaged file, weights of another network, or weights trained with another SAM.
    """
    network = PromptNetwork()
    load_into(network, path)
    taught_with = taught_sam(path)
    if taught_with != sam_sha256:
        raise CacappError(f"{path} was trained to prompt nuclei_t {taught_with[:12]}..., here it is {sam_sha256[:12]}...; train it again")
    return network.to(device).eval()


def taught_sam(path: Path) -> str:
    """Return the SHA-256 of the SAM weights that a file was trained with; empty if unknown."""
    try:
        with safe_open(path, "pt") as file:
            return str((file.metadata() or {}).get("sam", ""))
    except (SafetensorError, OSError):
        return ""
