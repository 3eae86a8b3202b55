"""Trains the light network of segmenter ``maskrcnn``: on simulated scenes, and on pseudo-labels of real images.

    python training/maskrcnn.py train SHARDS OUT [--minutes 40] [--start cacapp/weights/nuclei_t.safetensors] [--real FOLDER]     resumes
    python training/maskrcnn.py validate OUT SHARDS      AP@0.5 on scenes that were not trained on
    python training/maskrcnn.py export OUT cacapp/weights/maskrcnn-nuclei.safetensors

SHARDS comes from training/tiles.py and may still be filled, FOLDER from training/pseudo_tiles.py. Network and losses are those of `cacapp
train`. Convolutions run in bfloat16, a third faster on a CPU that has it.
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
from dense import Real
from prompts import Pool
from tiles import degrade
from torch import Tensor, nn

from cacapp.algorithms.maskrcnn.network import build
from cacapp.algorithms.maskrcnn.targets import target_of
from cacapp.algorithms.training.crops import SMALL, small_frame
from cacapp.algorithms.training.start import take
from cacapp.weights.load import load_state

TILES, WARMUP_STEPS, LEARNING_RATE, WEIGHT_DECAY, EMA = 8, 60, 1.2e-3, 0.02, 0.995
CHECKPOINT_S = 120
LOG_STEPS = 25

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


def make_batch(rng: np.random.Generator, pool: Pool, real: Real | None, share: float, tiles: int) -> Batch:
    images, targets = [], []
    for _ in range(tiles):
        if real is not None and rng.random() < share:
            image, labels = real.draw(rng)
        else:
            light, labels = pool.draw(rng)
            image = degrade(rng, light)
        if rng.random() < SMALL:
            image, labels = small_frame(rng, image, labels)
        images.append(torch.from_numpy(np.ascontiguousarray(image))[None])
        targets.append(target_of(np.asarray(labels, np.int64)))
    return images, targets


def losses_of(network: nn.Module, batch: Batch, fast: bool) -> dict[str, Tensor]:
    images, targets = batch
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        losses: dict[str, Tensor] = network([image.float().div(255) for image in images], targets)
    return losses


def train(
    shards: Path, out: Path, minutes: float, seed: int, start: Path | None, folder: Path | None, share: float, peak: float, tiles: int
) -> None:
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    network = build("light").to(memory_format=torch.channels_last).train()
    if start is not None:
        state = torch.load(start, weights_only=True)["average"] if start.suffix == ".pt" else load_state(start)
        print(f"{take(network, state, str(start), 'maskrcnn')} tensors from {start}", flush=True)
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
    pool, real = Pool(shards), Real(folder) if folder else None
    queue: Queue[Batch] = Queue(4)

    def feed(number: int) -> None:
        while True:
            queue.put(make_batch(np.random.default_rng([seed, number]), pool, real, share, tiles))
            number += 1
            if number % 100 == 0:
                pool.refresh()

    threading.Thread(target=feed, args=(step,), daemon=True).start()
    log, saved_at = [], spent
    fast = torch.backends.mkldnn.is_available() and "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    while spent < 60 * minutes:
        started = time.monotonic()
        rate = peak * min(1, (step + 1) / WARMUP_STEPS) * (0.02 + 0.98 * (1 + math.cos(math.pi * spent / (60 * minutes))) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = queue.get()
        losses = losses_of(network, batch, fast)
        loss = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        keep = min(EMA, step / (step + 10))
        with torch.no_grad():
            for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                a.lerp_(b, 1 - keep) if a.dtype.is_floating_point else a.copy_(b)
        step += 1
        spent += min(15.0, time.monotonic() - started)  # a paused process loses nothing of its schedule
        log.append({k: float(v.detach()) for k, v in losses.items()} | {"loss": float(loss.detach())})
        if step % LOG_STEPS == 0:
            mean = {k: round(float(np.mean([s[k] for s in log])), 4) for k in log[0]}
            row = {"step": step, "minutes": round(spent / 60, 2), "lr": round(rate, 6), "scenes": 64 * len(pool.shards)}
            with (out / "log.jsonl").open("a") as file:
                file.write(json.dumps(row | mean) + "\n")
            log = []
        if spent - saved_at > CHECKPOINT_S or spent >= 60 * minutes:
            saved_at = spent
            modules = {n: m.state_dict() for n, m in (("network", network), ("average", average), ("optimiser", optimiser))}
            torch.save(modules | {"step": step, "spent": spent, "seed": seed}, out / "checkpoint.part")
            (out / "checkpoint.part").replace(out / "checkpoint.pt")


def validate(out: Path, shards: Path, tiles: int, seed: int, least: float) -> dict[str, float]:
    """Figures of the averaged weights on freshly degraded scenes, at the working scale."""
    from cacapp.algorithms.maskrcnn.detect import detect, instances_of
    from cacapp.algorithms.sam.tiled import ScaledFrame
    from cacapp.arrays.metrics import match, scores

    network = build("light")
    network.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["average"])
    network.eval()
    rng, pool, matches = np.random.default_rng(seed), Pool(shards), []
    for _ in range(tiles):
        light, labels = pool.draw(rng)
        frame = ScaledFrame(degrade(rng, light).astype(np.float32), 1.0, *labels.shape)
        matches.append(match(labels.astype(np.int32), instances_of(detect(network, frame.image, 256, least), frame)))
    return scores(matches)


def export(out: Path, target: Path) -> None:
    """Writes the averaged weights in half precision."""
    from safetensors.torch import save_file

    from cacapp import __version__

    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    state = {k: (v.half() if v.dtype.is_floating_point else v).contiguous() for k, v in saved["average"].items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    about = {"model": "maskrcnn", "architecture": "light", "steps": saved["step"], "seed": saved["seed"], "cacapp": __version__}
    save_file(state, str(target), metadata={key: str(value) for key, value in about.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train")
    one.add_argument("shards", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--minutes", type=float, default=40)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--start", type=Path, help="weights of maskrcnn, nuclei_t or dense: safetensors, or a checkpoint of their training")
    one.add_argument("--real", type=Path, help="folder of pseudo-labelled tiles")
    one.add_argument("--share", type=float, default=0.5, help="share of real tiles")
    one.add_argument("--rate", type=float, default=LEARNING_RATE)
    one.add_argument("--tiles", type=int, default=TILES, help="tiles a step")
    two = commands.add_parser("export")
    two.add_argument("out", type=Path)
    two.add_argument("target", type=Path)
    three = commands.add_parser("validate")
    three.add_argument("out", type=Path)
    three.add_argument("shards", type=Path)
    three.add_argument("--tiles", type=int, default=32)
    three.add_argument("--seed", type=int, default=99)
    three.add_argument("--min-score", type=float, default=0.5)
    for command in (one, two, three):
        command.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(given.threads)
    if given.command == "train":
        train(given.shards, given.out, given.minutes, given.seed, given.start, given.real, given.share, given.rate, given.tiles)
    elif given.command == "validate":
        print(json.dumps(validate(given.out, given.shards, given.tiles, given.seed, given.min_score), indent=1))
    else:
        export(given.out, given.target)
