"""Trains the network of segmenter ``dense``: on simulated scenes, then on those and on pseudo-labels of real images.

    python training/dense.py train SHARDS OUT [--minutes 25] [--start cacapp/weights/nuclei_t.safetensors] [--real FOLDER]     resumes
    python training/dense.py export OUT cacapp/weights/dense-nuclei.safetensors

FOLDER has npz files (image uint8 at working scale, labels int16: 0 background, -1 unknown), see pseudo_tiles.py. Network and losses are
those of `cacapp train --model dense`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import loop
import numpy as np
import torch
from prompts import Pool
from tiles import SIDE_PX, degrade
from torch import Tensor

from cacapp.algorithms.dense.network import NUCLEUS_PX, DenseNetwork
from cacapp.algorithms.dense.targets import losses_of, targets_of
from cacapp.algorithms.sam.nuclei_t import NUCLEUS_PX as TILE_NUCLEUS_PX
from cacapp.algorithms.training.crops import other_camera
from cacapp.types import UNKNOWN, Array

TILES, LEARNING_RATE = 8, 1.0e-3
EMPTY_SHARE = 0.04  # tiles of noise and haze alone


class Real:
    """Pseudo-labelled real images at the scale of nuclei_t; crops at random places, turns and scales around ``zoom``."""

    def __init__(self, folder: Path, zoom: float = 1.0) -> None:
        self.images, self.zoom = [], zoom
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as data:
                self.images.append((data["image"], data["labels"]))
        areas = np.array([min(i.size, 1_500_000) for i, _ in self.images], float)
        self.share = np.sqrt(areas) / np.sqrt(areas).sum()

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        while True:
            image, labels = self.images[int(rng.choice(len(self.images), p=self.share))]
            scale = self.zoom * float(np.exp(rng.normal(0, 0.2)))
            side = round(SIDE_PX / scale)
            if min(image.shape) < side:
                below, right = max(0, side - image.shape[0]), max(0, side - image.shape[1])
                image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT)
                labels = cv2.copyMakeBorder(labels, 0, below, 0, right, cv2.BORDER_CONSTANT, value=UNKNOWN)
            y, x = (int(rng.integers(0, n - side + 1)) for n in image.shape)
            image, labels = image[y : y + side, x : x + side], labels[y : y + side, x : x + side]
            if (labels > 0).mean() < 0.01 and rng.random() < 0.8:
                continue
            image = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
            labels = cv2.resize(labels, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST)
            turns = int(rng.integers(4))
            image, labels = np.rot90(image, turns), np.rot90(labels, turns)
            if rng.random() < 0.5:
                image, labels = image[:, ::-1], labels[:, ::-1]
            return other_camera(rng, np.ascontiguousarray(image, np.float32)), np.ascontiguousarray(labels).astype(np.int64)


def closer(rng: np.random.Generator, light: Array, labels: Array) -> tuple[Array, Array]:
    """Half of the scenes as they are, of the others a part, enlarged: this network looks at larger nuclei than nuclei_t."""
    if rng.random() < 0.5:
        return light, labels
    side = round(SIDE_PX / rng.uniform(1.1, 1.6))
    y, x = rng.integers(0, SIDE_PX - side + 1, 2)
    part = slice(y, y + side), slice(x, x + side)
    size = (SIDE_PX, SIDE_PX)
    return cv2.resize(light[part], size, interpolation=cv2.INTER_LINEAR), cv2.resize(labels[part], size, interpolation=cv2.INTER_NEAREST)


def make_batch(rng: np.random.Generator, pool: Pool, real: Real | None, share: float) -> tuple[Tensor, Tensor]:
    images, wanted = [], []
    for _ in range(TILES):
        if rng.random() < EMPTY_SHARE:
            haze = cv2.GaussianBlur(rng.random((SIDE_PX, SIDE_PX), dtype=np.float32), (0, 0), float(rng.uniform(4, 40)))
            image, labels = degrade(rng, haze * rng.uniform(0, 0.5)), np.zeros((SIDE_PX, SIDE_PX), np.int64)
        elif real is not None and rng.random() < share:
            image, labels = real.draw(rng)
        else:
            light, labels = closer(rng, *pool.draw(rng))
            image = degrade(rng, light)
        images.append(image)
        wanted.append(targets_of(np.asarray(labels, np.int64)))
    return torch.from_numpy(np.stack(images)[:, None]), torch.from_numpy(np.stack(wanted))


def weights_in(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint, or a file that was exported, float32."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return {k: v.float() if v.is_floating_point() else v for k, v in load_file(str(path)).items()}
    averaged: dict[str, Tensor] = torch.load(path, weights_only=True)["average"]
    return averaged


def train(shards: Path, out: Path, minutes: float, seed: int, start: Path | None, folder: Path | None, share: float, peak: float) -> None:
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    network = DenseNetwork().to(memory_format=torch.channels_last).train()
    if start is not None:
        saved = weights_in(start)
        own = {k: v for k, v in saved.items() if k in network.state_dict()}
        encoder = {f"encoder.{k.removeprefix('image_encoder.')}": v for k, v in saved.items() if k.startswith("image_encoder.")}
        network.load_state_dict(own or encoder, strict=False)
    pool, real = Pool(shards), Real(folder, NUCLEUS_PX / TILE_NUCLEUS_PX) if folder else None

    def losses(batch: tuple[Tensor, Tensor], _: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        images, wanted = batch
        with torch.autocast("cpu", torch.bfloat16):  # half the time where the CPU has avx512_bf16
            output = network(images.float().div(255).to(memory_format=torch.channels_last))
        each = losses_of(output.float(), wanted)
        return torch.stack(list(each.values())).sum(), {name: float(value.detach()) for name, value in each.items()}

    def draw(number: int) -> tuple[Tensor, Tensor]:
        return make_batch(np.random.default_rng([seed, number]), pool, real, share)

    loop.train(out, seed, loop.Schedule(minutes, peak), {"network": network}, pool, draw, losses)


if __name__ == "__main__":
    parser, _, one = loop.parser_of(
        __doc__, ("shards", "out"), 25, LEARNING_RATE, "a checkpoint of nuclei_t (its encoder) or of this script"
    )
    one.add_argument("--real", type=Path, help="folder of pseudo-labelled tiles")
    one.add_argument("--share", type=float, default=0.5, help="share of real tiles")
    given = parser.parse_args()
    loop.use_threads(given.threads)
    if given.command == "train":
        train(given.shards, given.out, given.minutes, given.seed, given.start, given.real, given.share, given.rate)
    else:
        loop.export(given.out, given.target, model="dense-nuclei")
