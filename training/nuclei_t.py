"""Trains nuclei_t on simulated nuclei alone. CPU, about 80 minutes on two cores.

    python training/tiles.py SHARDS --tiles 9600 &                     # simulates while this trains
    python training/nuclei_t.py train SHARDS VAL OUT [--minutes 80] [--start WEIGHTS]    # resumes from OUT/checkpoint.pt
    python training/nuclei_t.py export OUT cacapp/weights/nuclei_t.safetensors

Loss: focal + Dice on the mask, squared error of the predicted IoU, and for the encoder a dense task beside it (foreground, borders,
offset to the nucleus' centre: thrown away afterwards), because a dozen prompts a tile alone teach an encoder slowly.
"""

from __future__ import annotations

import os
from pathlib import Path

import loop
import numpy as np
import torch
from prompts import Batch, Pool, make_batch
from torch import Tensor, nn
from torch.nn import functional

from cacapp.algorithms.sam.nuclei_t import EMBED, FINE2, FINE4, build_nuclei_t, crop_windows, decode_windows, unfold_maps

TILES, LEARNING_RATE, VALIDATE_STEPS = 8, 1.2e-3, 150


class DenseHead(nn.Module):
    """Foreground, border and offsets to the centre from the encoder's three maps, at stride 2. Training only."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Conv2d(EMBED, 4 * 24, 1)
        self.mix4 = nn.Sequential(nn.Conv2d(24 + FINE4, 24, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(24, 4 * 8, 1))
        self.mix2 = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(8 + FINE2, 4, 3, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        embedding, fine4, fine2 = unfold_maps(features)
        x = self.mix4(torch.cat([functional.pixel_shuffle(self.widen(embedding), 2), fine4], 1))
        return self.mix2(torch.cat([functional.pixel_shuffle(x, 2), fine2], 1))


def dense_loss(output: Tensor, labels: Tensor) -> Tensor:
    """``output`` (B, 4, 128, 128): foreground and border logits, offset (y, x) to the centre in units of 16 px."""
    small = labels[:, ::2, ::2].float()
    high = functional.max_pool2d(small[:, None], 3, 1, 1)[:, 0]
    low = -functional.max_pool2d(-small[:, None], 3, 1, 1)[:, 0]
    inside = (small > 0).float()
    border = ((high != low) & (high > 0)).float()
    loss = functional.binary_cross_entropy_with_logits(output[:, 0], inside)
    loss = loss + 2 * functional.binary_cross_entropy_with_logits(output[:, 1], border)
    offsets = torch.zeros_like(output[:, 2:])
    axis = torch.arange(small.shape[-1], dtype=torch.float32)
    for b, tile in enumerate(small.long()):
        count = torch.bincount(tile.flatten()).clamp(min=1)
        for k, place in enumerate((axis[:, None].expand_as(tile), axis[None].expand_as(tile))):
            centre = torch.bincount(tile.flatten(), place.flatten()) / count
            offsets[b, k] = (centre[tile] - place) / 8
    miss = functional.smooth_l1_loss(output[:, 2:], offsets, reduction="none", beta=0.2).sum(1)
    return loss + (miss * inside).sum() / inside.sum().clamp(min=1)


def targets_of(batch: Batch, origins_px: Tensor, window: int) -> Tensor:
    """What each prompt asks for in its window, averaged over 2 x 2 px: (N, 4 window, 4 window) in 0..1."""
    crops = crop_windows(batch.labels[:, None], batch.image, origins_px, 8 * window)
    wanted = (crops == batch.target[:, None, None, None]) & (batch.target > 0)[:, None, None, None]
    return functional.avg_pool2d(wanted.float(), 2)[:, 0]


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Focal (gamma 2) per pixel of the nucleus' size + Dice, for each of (N, K) masks. A prompt on nothing has no Dice term."""
    target = target[:, None].expand_as(logits)
    size = target.sum((2, 3))
    p = torch.sigmoid(logits)
    cross = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (cross * (0.1 + (target - p) ** 2)).sum((2, 3)) / (size + 100)
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + size + 1)
    return 2 * focal + dice * (size > 0)


def iou_of(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of (N, K) thresholded masks with their target; 0 where nothing was to be found."""
    mine, true = logits > 0, (target > 0.5)[:, None]
    both = (mine & true).sum((2, 3)).float()
    return both / (mine | true).sum((2, 3)).clamp(min=1)


def correction(rng: np.random.Generator, logits: Tensor, target: Tensor, origins_px: Tensor) -> tuple[Tensor, Tensor]:
    """A random wrong pixel of each mask as the next prompt: points (N, 1, 2) xy px, kinds (N, 1)."""
    wrong = ((logits > 0) != (target > 0.5)).flatten(1).float() + 1e-6
    place = torch.multinomial(wrong, 1)[:, 0]
    side = target.shape[-1]
    y, x = place // side, place % side
    kinds = (target.flatten(1).gather(1, place[:, None]) > 0.5).float()
    kinds = torch.where((wrong.sum(1) < 1)[:, None], torch.full_like(kinds, -1.0), kinds)
    xy = torch.stack([x, y], 1).float() * 2 + 0.5 + origins_px.flip(-1).float()
    return xy[:, None], kinds


def step_loss(sam: nn.Module, head: DenseHead, batch: Batch, rng: np.random.Generator, window: int) -> tuple[Tensor, dict[str, float]]:
    with torch.autocast("cpu", torch.bfloat16):  # half the time where the CPU has avx512_bf16
        features = sam.image_encoder((batch.images.float() / 255).to(memory_format=torch.channels_last))
        dense_output = head(features)
    features = features.float()
    dense = dense_loss(dense_output.float(), batch.labels)
    boxes = batch.boxes_xyxy if rng.random() < 0.15 else None
    points, kinds, masks = batch.points_xy, batch.point_labels, None
    total, seen = 0.5 * dense, {"dense": float(dense.detach())}
    for turn in range(1 + int(rng.random() < 0.5)):
        with torch.autocast("cpu", torch.bfloat16):
            logits, iou, origins = decode_windows(sam, features, batch.image, points, kinds, boxes_xyxy=boxes, masks=masks, window=window)
        logits, iou = logits.float(), iou.float()
        target = targets_of(batch, origins, window)
        each = mask_loss(logits if turn == 0 else logits[:, :1], target)
        real = iou_of(logits.detach(), target)
        loss = each[:, 0].mean() + functional.mse_loss(iou, real) + (0.3 * each[:, 1:].min(1).values.mean() if turn == 0 else 0)
        total = total + loss
        asked = batch.target > 0
        seen[f"mask{turn}"] = float(each[:, 0].detach().mean())
        seen[f"iou{turn}"] = float(real[asked, 0].mean())
        seen[f"iou_error{turn}"] = float((iou.detach() - real)[:, 0].abs().mean())
        xy, kind = correction(rng, logits.detach()[:, 0], target, origins)
        points, kinds = torch.cat([points, xy], 1), torch.cat([kinds, kind], 1)
        masks = logits.detach()[:, :1].clamp(-15, 15) if rng.random() < 0.5 else None
    return total, seen


@torch.no_grad()
def validate(sam: nn.Module, pool: Pool, tiles: int = 64) -> dict[str, float]:
    """IoU on simulated tiles never trained on: near-centre point and darkest pixel, whole tile and window."""
    sam.eval()
    rng, result = np.random.default_rng(5), {"window": [], "tile": []}
    for _ in range(tiles // 8):
        batch = make_batch(rng, pool, 8, 6, plain=True)
        features = sam.image_encoder(batch.images.float() / 255)
        for name, window in (("window", 16), ("tile", 32)):
            logits, _, origins = decode_windows(sam, features, batch.image, batch.points_xy, batch.point_labels, window=window)
            result[name] += iou_of(logits[:, :1], targets_of(batch, origins, window))[:, 0].tolist()
    sam.train()
    scores = {f"val_iou_{k}": float(np.mean(v)) for k, v in result.items()}
    return scores | {"val_above_half": float(np.mean(np.array(result["window"]) > 0.5))}


def train(shards: Path, val: Path, out: Path, minutes: float, seed: int, start: Path | None, peak: float) -> None:
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "pid").write_text(str(os.getpid()))
    sam, head = build_nuclei_t().to(memory_format=torch.channels_last).train(), DenseHead()
    if start is not None:
        from safetensors.torch import load_file

        sam.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(str(start)).items()})
    pool, val_pool = Pool(shards), Pool(val)

    def draw(number: int) -> tuple[Batch, int]:
        rng = np.random.default_rng([seed, number, 0])
        whole = rng.random() < 0.2
        return make_batch(rng, pool, TILES, 3 if whole else 12), 32 if whole else 16

    def losses(drawn: tuple[Batch, int], rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        return step_loss(sam, head, drawn[0], rng, drawn[1])

    def figures(average: nn.Module, step: int, last: bool) -> dict[str, float]:
        if last:
            return validate(average, val_pool, 160) | {"final": True}
        return validate(average, val_pool) if step % VALIDATE_STEPS == 0 else {}

    schedule = loop.Schedule(minutes, peak, warmup_steps=150, floor=0.01, weight_decay=0.03, ema=0.997, checkpoint_s=150)
    loop.train(out, seed, schedule, {"sam": sam, "head": head}, pool, draw, losses, figures)


if __name__ == "__main__":
    parser, _, _ = loop.parser_of(__doc__, ("shards", "val", "out"), 80, LEARNING_RATE, "exported weights to go on from")
    given = parser.parse_args()
    loop.use_threads(given.threads)
    if given.command == "train":
        train(given.shards, given.val, given.out, given.minutes, given.seed, given.start, given.rate)
    else:
        loop.export(given.out, given.target, model="nuclei_t")
