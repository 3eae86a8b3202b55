"""Training of the auxiliary network: centres of nuclei, and tokens for the frozen decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cacapp.algorithms.sam.models import LoadedSam
from cacapp.algorithms.sam.nuclei_t import MASK_STRIDE, NUCLEUS_PX
from cacapp.algorithms.training.crop_training import TrainableNetwork, train_on_crops
from cacapp.algorithms.training.recipe import Recipe
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import UNKNOWN, Array, Instance
from cacapp.weights.cache import digest_of
from cacapp.weights.load import load_into
from cacapp_autosam.middles import target_of
from cacapp_autosam.network import STRIDE, WINDOW, PromptNetwork, decode

MASKS = 12
"""Number of nuclei per crop with a mask loss in a step."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Batch of B crops with N nuclei.

    Attributes:
        images: (B, 1, Y, X) float32, 0..255. summits, known: (B, Y/8, X/8), see ``target_of``.
        image: (N,) int64. cells_yx: (N, 2) int64.
        labels: (B, Y, X) int64. values: (N,) int64, the label of each nucleus.
    """

    images: Tensor
    summits: Tensor
    known: Tensor
    image: Tensor
    cells_yx: Tensor
    labels: Tensor
    values: Tensor

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def train(
    samples: TrainingSamples,
    out: Path,
    seed: int,
    progress: TrainingProgress,
    recipe: Recipe,
    sam: LoadedSam,
    segment: Callable[[Array, PromptNetwork], list[Instance]],
) -> Path:
    """Train and return the file of the best weights; see ``train_on_crops``. The SAM does not change.

    Args:
        segment: returns instances of a (Y, X) image at working scale, for validation.

    Raises CacappError if no image has an accepted label or a file cannot be written.
    """
    sam.sam.requires_grad_(False)

    def losses(learning: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return losses_of(sam, learning, batch.to(sam.device))

    about = {"sam": digest_of("nuclei_t")}
    trainable = TrainableNetwork("autosam", NUCLEUS_PX, PromptNetwork, load_into, batch_of, losses, segment, about)
    return train_on_crops(trainable, samples, out, seed, progress, recipe, sam.device)


def batch_of(drawn: Sequence[tuple[Array, Array]], rng: np.random.Generator) -> Batch:
    """Make a batch of crops, (Y, X) uint8 and int16 labels; of each up to MASKS nuclei, each at its centre or a neighbouring cell."""
    images, summits, known, image, cells, values = [], [], [], [], [], []
    for n, (grey, labels) in enumerate(drawn):
        tops, sure, own, middles = target_of(labels)
        chosen = rng.permutation(len(own))[:MASKS]
        near = middles[chosen] + rng.integers(-1, 2, (len(chosen), 2)) * (rng.random((len(chosen), 1)) < 0.5)
        near = np.clip(near, 0, np.array(tops.shape) - 1)
        centre = np.minimum(near * STRIDE + STRIDE // 2, np.array(labels.shape) - 1)
        stray = labels[centre[:, 0], centre[:, 1]] != own[chosen]
        near[stray] = middles[chosen][stray]
        images.append(grey.astype(np.float32))
        summits.append(tops)
        known.append(sure)
        image.append(np.full(len(chosen), n))
        cells.append(near)
        values.append(own[chosen])
    return Batch(
        torch.from_numpy(np.stack(images)[:, None]),
        torch.from_numpy(np.stack(summits)),
        torch.from_numpy(np.stack(known)),
        torch.from_numpy(np.concatenate(image).astype(np.int64)),
        torch.from_numpy(np.concatenate(cells).astype(np.int64)),
        torch.from_numpy(np.stack([labels for _, labels in drawn]).astype(np.int64)),
        torch.from_numpy(np.concatenate(values).astype(np.int64)),
    )


def losses_of(sam: LoadedSam, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return cross entropy of the centres over known cells, and cross entropy and Dice of the masks over known pixels, as in AutoSAM."""
    with torch.no_grad():
        features = sam.sam.image_encoder(sam.sam.preprocess(batch.images.expand(-1, 3, -1, -1)))
    middle, tokens = network(features)
    surprise = functional.binary_cross_entropy_with_logits(middle.float(), batch.summits, reduction="none")
    weight = batch.known * (1 + 4 * batch.summits)
    losses = {"loss_middle": 4 * (surprise * weight).sum() / weight.sum().clamp(min=1)}
    if not len(batch.image):
        return losses | {"loss_mask": middle.sum() * 0.0, "loss_dice": middle.sum() * 0.0}
    logits, _, origins = decode(sam.sam, features, tokens.to(features.dtype), batch.image, batch.cells_yx)
    true, sure = _windows(batch, origins)
    logits = logits.float()
    pixels = functional.binary_cross_entropy_with_logits(logits, true, reduction="none")
    share = torch.sigmoid(logits) * sure
    dice = 1 - (2 * (share * true).sum((1, 2)) + 1) / (share.sum((1, 2)) + (true * sure).sum((1, 2)) + 1)
    return losses | {"loss_mask": (pixels * sure).sum() / sure.sum().clamp(min=1), "loss_dice": dice.mean()}


def _windows(batch: Batch, origins_yx: Tensor) -> tuple[Tensor, Tensor]:
    """Return (N, 64, 64) floats: pixels of the decoded window in the nucleus, and known pixels."""
    steps = MASK_STRIDE * torch.arange(STRIDE // MASK_STRIDE * WINDOW, device=origins_yx.device)
    rows, columns = origins_yx[:, 0, None] + steps, origins_yx[:, 1, None] + steps
    seen = batch.labels[batch.image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return (seen == batch.values[:, None, None]).float(), (seen != UNKNOWN).float()
