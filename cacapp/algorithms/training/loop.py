"""Training loop: epochs, checkpoints, resume, early stop, and the best weights as a file."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cacapp.algorithms.training.amp import Amp
from cacapp.algorithms.training.files import write_whole
from cacapp.algorithms.training.prefetch import feed
from cacapp.algorithms.training.weights import write_half
from cacapp.api import TrainingProgress
from cacapp.exceptions import CacappError

CHECKPOINT, LOG, WEIGHTS = "checkpoint.pt", "log.jsonl", "model.safetensors"

CHECKPOINT_S = 60.0
WARMUP_STEPS = 50
EMA = 0.99
CLIP = 2.0
WEIGHT_DECAY = 0.02

Batch = Any
Losses = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Length and learning rate of a training. ``patience``: epochs without a better score before it ends; 0: never."""

    epochs: int
    steps: int
    learning_rate: float
    patience: int
    seed: int

    @property
    def total(self) -> int:
        return self.epochs * self.steps

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: a linear start, then a half cosine down to 2 %."""
        warm = min(1.0, (step + 1) / max(1, min(WARMUP_STEPS, self.total // 5)))
        return self.learning_rate * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * step / self.total)) / 2)


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """Task of a training: network, batches, losses and score.

    Attributes:
        network: on its device.
        draw: makes the batch of a step with its own random generator, so that a resumed training gets the same batches; on the CPU.
        losses: returns the losses of the network for a batch, by name; their sum is minimised.
        score: returns the score of a network in eval mode; larger is better.
        score_name: name of the score.
        about: metadata of the weights.
        key: digest of all that determines the result; a checkpoint with another key is not resumed.
    """

    network: nn.Module
    draw: Callable[[np.random.Generator], Batch]
    losses: Callable[[nn.Module, Batch], Losses]
    score: Callable[[nn.Module], float]
    score_name: str
    about: Mapping[str, str]
    key: str


@dataclass(slots=True)
class _State:
    """State of a training, as a checkpoint stores it."""

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)


def fit(task: TrainingTask, schedule: Schedule, device: str, out: Path, progress: TrainingProgress) -> Path:
    """Train to the end of the schedule, or until the score no longer improves; return the file of the best weights.

    ``out`` gets checkpoint.pt (every minute), log.jsonl (one line per epoch) and model.safetensors (the best averaged weights so far, half
    precision). A later call with the same ``out`` continues from the checkpoint, with the same result as an uninterrupted training.

    Raises:
        CacappError: a file cannot be written, or the loss is no longer a number.
    """
    run = _Run(task, schedule, device, out, progress)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device == "cuda" else []):
        return run.go()


class _Run:
    def __init__(self, task: TrainingTask, schedule: Schedule, device: str, out: Path, progress: TrainingProgress) -> None:
        self.task, self.schedule, self.out, self.progress, self.device = task, schedule, out, progress, device
        self.network = task.network.train()
        self.average = copy.deepcopy(self.network).eval()
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in self.network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))
        self.amp = Amp(device)
        self.state = _State()

    def go(self) -> Path:
        self._resume()
        state, steps = self.state, self.schedule.steps
        weights = self.out / WEIGHTS
        if state.best_epoch and not weights.is_file():
            raise CacappError(f"{weights} is gone although the training wrote it; remove {self.out / CHECKPOINT} to train anew")
        if self._over():
            return weights
        self.progress.start(f"train {self.task.about.get('model', 'a model')}", self.schedule.total)
        if state.step:
            self.progress.advance(f"goes on at step {state.step} of {self.schedule.total}", by=state.step)
        saved, began, before = time.monotonic(), time.monotonic(), state.seconds
        batches = feed(self._batch, range(state.step, self.schedule.total), workers=2 if self.device == "cuda" else 1)
        try:
            for batch in batches:
                self._step(batch)
                state.seconds = before + time.monotonic() - began
                self.progress.advance(self._note())
                ends = state.step % steps == 0
                if ends:
                    self._close_epoch()
                if ends or time.monotonic() - saved > CHECKPOINT_S:
                    self._save()
                    saved = time.monotonic()
                if self._over():
                    break
        finally:
            batches.close()
        return weights

    def _over(self) -> bool:
        state, patience = self.state, self.schedule.patience
        epoch = state.step // self.schedule.steps
        stale = bool(patience) and state.step % self.schedule.steps == 0 and epoch - state.best_epoch >= patience
        return state.step >= self.schedule.total or (stale and epoch > 0)

    def _batch(self, step: int) -> Batch:
        return self.task.draw(np.random.default_rng([abs(self.schedule.seed), 2, step]))

    def _step(self, batch: Batch) -> None:
        state = self.state
        torch.manual_seed((self.schedule.seed * 1_000_003 + state.step) % 2**63)  # the network's random numbers depend on the step
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(state.step)
        with self.amp.cast():
            losses = self.task.losses(self.network, batch)
        loss = torch.stack([value.float() for value in losses.values()]).sum()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise CacappError(f"the loss became {value} at step {state.step}; train again with a smaller --set learning_rate")
        self.optimiser.zero_grad(set_to_none=True)
        self.amp.descend(loss, self.optimiser, self.network, CLIP)
        keep = min(EMA, state.step / (state.step + 10))
        with torch.no_grad():
            for a, b in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                a.lerp_(b, 1 - keep) if a.dtype.is_floating_point else a.copy_(b)
        for name, one in {**losses, "loss": loss}.items():
            state.sums[name] = state.sums.get(name, 0.0) + float(one.detach())
        state.step += 1

    def _close_epoch(self) -> None:
        state, steps = self.state, self.schedule.steps
        epoch = state.step // steps
        with torch.no_grad():
            score = self.task.score(self.average.eval())
        row = {"epoch": epoch, "step": state.step, "learning_rate": self.schedule.rate(state.step - 1), "seconds": round(state.seconds, 1)}
        state.history.append(row | {k: round(v / steps, 5) for k, v in state.sums.items()} | {self.task.score_name: round(score, 5)})
        state.sums = {}
        if score > state.best:
            state.best, state.best_epoch = score, epoch
            about = {"epoch": str(epoch), "steps": str(state.step), self.task.score_name: f"{score:.4f}"}
            write_half(self.average, self.out / WEIGHTS, {**self.task.about, **about})
        write_whole(self.out / LOG, "".join(json.dumps(row) + "\n" for row in state.history).encode())

    def _note(self) -> str:
        state, steps = self.state, self.schedule.steps
        done = state.step % steps or steps
        left = state.seconds / state.step * (self.schedule.total - state.step)
        score = f", {self.task.score_name} {state.history[-1][self.task.score_name]:.3f}" if state.history else ""
        epoch = -(-state.step // steps)
        loss = state.sums.get("loss", 0.0) / done
        return f"epoch {epoch}/{self.schedule.epochs}, loss {loss:.3f}{score}, {_clock(left)} left"

    def _parts(self) -> dict[str, Any]:
        return {"network": self.network, "average": self.average, "optimiser": self.optimiser, "amp": self.amp}

    def _save(self) -> None:
        saved: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        saved |= {"key": self.task.key, "state": {name: getattr(self.state, name) for name in _State.__slots__}}
        write_whole(self.out / CHECKPOINT, lambda file: torch.save(saved, file))

    def _resume(self) -> None:
        path = self.out / CHECKPOINT
        if not path.is_file():
            return
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            if saved["key"] != self.task.key:
                self.progress.warn(f"{path} is of another training (other images, parameters or seed); this one begins anew")
                return
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            self.state = _State(**saved["state"])
        except Exception as error:  # torch raises various exceptions on damaged files
            raise CacappError(f"{path} cannot be read ({type(error).__name__}); remove it to train anew") from error


def _clock(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.0f} min" if minutes >= 1.5 else f"{seconds:.0f} s"
