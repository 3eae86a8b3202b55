"""The loop of all three trainings: a schedule by time, averaged weights, and checkpoints from which the same command resumes."""

from __future__ import annotations

import argparse
import copy
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from prompts import Pool
from torch import Tensor, nn

Drawn = TypeVar("Drawn")
LOG_STEPS = 25


@dataclass(frozen=True)
class Schedule:
    """``peak`` of the learning rate after ``warmup_steps``, then a cosine over ``minutes`` to ``floor`` of it; ``ema`` of the average."""

    minutes: float
    peak: float
    warmup_steps: int = 60
    floor: float = 0.02
    weight_decay: float = 0.02
    ema: float = 0.995
    clip: float = 1.0
    checkpoint_s: float = 120

    def rate(self, step: int, spent_s: float) -> float:
        cosine = (1 + math.cos(math.pi * spent_s / (60 * self.minutes))) / 2
        return self.peak * min(1, (step + 1) / self.warmup_steps) * (self.floor + (1 - self.floor) * cosine)


def train(
    out: Path,
    seed: int,
    schedule: Schedule,
    modules: dict[str, nn.Module],
    pool: Pool,
    draw: Callable[[int], Drawn],
    losses: Callable[[Drawn, np.random.Generator], tuple[Tensor, dict[str, float]]],
    validate: Callable[[nn.Module, int, bool], dict[str, float]] | None = None,
) -> None:
    """Train ``modules``, the first of which is averaged; write OUT/log.jsonl and OUT/checkpoint.pt, from which it resumes.

    Args:
        draw: returns the batch of a number; runs in a thread beside the training.
        losses: returns the loss of a batch and what to log of it.
        validate: called with the average, the step and whether it is the last one; returns figures to log, or none.
    """
    network = next(iter(modules.values()))
    average = copy.deepcopy(network)
    parameters = [p for module in modules.values() for p in module.parameters()]
    groups = [{"params": [p for p in parameters if (p.ndim > 1) == decay]} for decay in (True, False)]
    optimiser = torch.optim.AdamW(groups, lr=schedule.peak, weight_decay=schedule.weight_decay, betas=(0.9, 0.98))
    optimiser.param_groups[1]["weight_decay"] = 0.0
    stored = modules | {"average": average, "optimiser": optimiser}
    step, spent = 0, 0.0
    if (out / "checkpoint.pt").exists():
        saved = torch.load(out / "checkpoint.pt", weights_only=True)
        for name, module in stored.items():
            module.load_state_dict(saved[name])
        step, spent = saved["step"], saved["spent"]
    queue = _fed(draw, pool, step)
    rng, log, saved_at = np.random.default_rng([seed, step, 1]), [], spent
    while spent < 60 * schedule.minutes:
        started, rate = time.monotonic(), schedule.rate(step, spent)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, seen = losses(queue.get(), rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, schedule.clip)
        optimiser.step()
        _update(average, network, min(schedule.ema, step / (step + 10)))
        step += 1
        spent += min(15.0, time.monotonic() - started)  # a paused process loses nothing of its schedule
        log.append(seen | {"loss": float(loss.detach())})
        now = {"step": step, "minutes": round(spent / 60, 2)}
        if step % LOG_STEPS == 0:
            mean = {k: round(float(np.mean([s[k] for s in log if k in s])), 4) for k in dict.fromkeys(k for s in log for k in s)}
            _write(out, now | {"lr": round(rate, 6), "scenes": 64 * len(pool.shards)} | mean)
            log = []
        over = spent >= 60 * schedule.minutes
        if validate is not None and (figures := validate(average, step, over)):
            _write(out, now | figures)
        if over or spent - saved_at > schedule.checkpoint_s:
            saved_at = spent
            state = {name: module.state_dict() for name, module in stored.items()}
            torch.save(state | {"step": step, "spent": spent, "seed": seed}, out / "checkpoint.part")
            (out / "checkpoint.part").replace(out / "checkpoint.pt")


def export(out: Path, target: Path, **about: object) -> None:
    """Write the averaged weights in half precision, with what ``about`` says and the number of steps."""
    from safetensors.torch import save_file

    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    state = {k: (v.half() if v.dtype.is_floating_point else v).contiguous() for k, v in saved["average"].items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    metadata = about | {"steps": saved["step"]} | ({"seed": saved["seed"]} if "seed" in saved else {})
    save_file(state, str(target), metadata={key: str(value) for key, value in metadata.items()})


def parser_of(doc: str | None, folders: tuple[str, ...], minutes: float, rate: float, start: str) -> tuple[Any, Any, Any]:
    """Return the parser with the commands ``train`` and ``export``, what further commands are added to, and the parser of ``train``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one, two = commands.add_parser("train"), commands.add_parser("export")
    for name in folders:
        one.add_argument(name, type=Path)
    one.add_argument("--minutes", type=float, default=minutes)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--start", type=Path, help=start)
    one.add_argument("--rate", type=float, default=rate, help="peak of the learning rate")
    one.add_argument("--threads", type=int, default=1)
    two.add_argument("out", type=Path)
    two.add_argument("target", type=Path)
    two.set_defaults(threads=1)
    return parser, commands, one


def use_threads(threads: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(threads)


def _fed(draw: Callable[[int], Drawn], pool: Pool, number: int) -> Queue[Drawn]:
    queue: Queue[Drawn] = Queue(4)

    def feed() -> None:
        now = number
        while True:
            queue.put(draw(now))
            now += 1
            if now % 100 == 0:
                pool.refresh()

    threading.Thread(target=feed, daemon=True).start()
    return queue


def _update(average: nn.Module, network: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            a.lerp_(b, 1 - keep) if a.dtype.is_floating_point else a.copy_(b)


def _write(out: Path, row: dict[str, float]) -> None:
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
