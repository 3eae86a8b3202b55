"""Trains the network of segmenter ``dense``: on simulated scenes, then on those and on pseudo-labels of real images.

    python training/dense.py train SHARDS OUT [--minutes 25] [--start cacapp/weights/nuclei_t.safetensors] [--real FOLDER]     resumes
    python training/dense.py export OUT cacapp/weights/dense-nuclei.safetensors

FOLDER has npz files (image uint8 at working scale, labels int16: 0 background, -1 unknown), see pseudo_tiles.py. Network and losses are
those of `cacapp train --model dense`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import threading
import time
from pathlib import Path
from queue import Queue

import cv2
import numpy as np
import torch
from prompts import Pool
from tiles import SIDE_PX, degrade
from torch import Tensor, nn

from cacapp.algorithms.dense.network import NUCLEUS_PX, DenseNetwork
from cacapp.algorithms.dense.targets import losses_of, targets_of
from cacapp.algorithms.sam.nuclei_t import NUCLEUS_PX as TILE_NUCLEUS_PX
from cacapp.algorithms.training.crops import other_camera
from cacapp.types import UNKNOWN, Array

TILES, WARMUP_STEPS, LEARNING_RATE, WEIGHT_DECAY, EMA = 8, 60, 1.0e-3, 0.02, 0.995
CHECKPOINT_S = 120
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
    average = copy.deepcopy(network)
    groups = [{"params": [p for p in network.parameters() if (p.ndim > 1) == decay]} for decay in (True, False)]
    optimiser = torch.optim.AdamW(groups, lr=peak, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    optimiser.param_groups[1]["weight_decay"] = 0.0
    step, spent = 0, 0.0
    if (out / "checkpoint.pt").exists():
        saved = torch.load(out / "checkpoint.pt", weights_only=True)
        for name, module in (("network", network), ("average", average), ("optimiser", optimiser)):
            module.load_state_dict(saved[name])
        step, spent = saved["step"], saved["spent"]
    pool, real = Pool(shards), Real(folder, NUCLEUS_PX / TILE_NUCLEUS_PX) if folder else None
    queue: Queue[tuple[Tensor, Tensor]] = Queue(4)

    def feed(number: int) -> None:
        while True:
            queue.put(make_batch(np.random.default_rng([seed, number]), pool, real, share))
            number += 1
            if number % 100 == 0:
                pool.refresh()

    threading.Thread(target=feed, args=(step,), daemon=True).start()
    log, saved_at = [], spent
    while spent < 60 * minutes:
        started = time.monotonic()
        rate = peak * min(1, (step + 1) / WARMUP_STEPS) * (0.02 + 0.98 * (1 + math.cos(math.pi * spent / (60 * minutes))) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, wanted = queue.get()
        with torch.autocast("cpu", torch.bfloat16):  # half the time where the CPU has avx512_bf16
            output = network(images.float().div(255).to(memory_format=torch.channels_last))
        losses = losses_of(output.float(), wanted)
        loss = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        keep = min(EMA, step / (step + 10))
        with torch.no_grad():
            for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                a.lerp_(b, 1 - keep) if a.dtype.is_floating_point else a.copy_(b)
        step += 1
        spent += min(15.0, time.monotonic() - started)  # a paused process loses nothing of its schedule
        log.append({name: float(value.detach()) for name, value in losses.items()} | {"loss": float(loss.detach())})
        if step % 25 == 0:
            mean = {k: round(float(np.mean([s[k] for s in log])), 4) for k in log[0]}
            row = {"step": step, "minutes": round(spent / 60, 2), "lr": round(rate, 6), "scenes": 64 * len(pool.shards)}
            with (out / "log.jsonl").open("a") as file:
                file.write(json.dumps(row | mean) + "\n")
            log = []
        if spent - saved_at > CHECKPOINT_S or spent >= 60 * minutes:
            saved_at = spent
            state = {n: m.state_dict() for n, m in (("network", network), ("average", average), ("optimiser", optimiser))}
            torch.save(state | {"step": step, "spent": spent}, out / "checkpoint.part")
            (out / "checkpoint.part").replace(out / "checkpoint.pt")


def export(out: Path, target: Path) -> None:
    """Writes the averaged weights in half precision."""
    from safetensors.torch import save_file

    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    state = {k: (v.half() if v.dtype.is_floating_point else v).contiguous() for k, v in saved["average"].items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, str(target), metadata={"model": "dense-nuclei", "steps": str(saved["step"])})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train")
    one.add_argument("shards", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--minutes", type=float, default=25)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--start", type=Path, help="a checkpoint of nuclei_t (its encoder) or of this script")
    one.add_argument("--real", type=Path, help="folder of pseudo-labelled tiles")
    one.add_argument("--share", type=float, default=0.5, help="share of real tiles")
    one.add_argument("--rate", type=float, default=LEARNING_RATE)
    one.add_argument("--threads", type=int, default=1)
    two = commands.add_parser("export")
    two.add_argument("out", type=Path)
    two.add_argument("target", type=Path)
    two.set_defaults(threads=1)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(given.threads)
    if given.command == "train":
        train(given.shards, given.out, given.minutes, given.seed, given.start, given.real, given.share, given.rate)
    else:
        export(given.out, given.target)
