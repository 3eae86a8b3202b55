"""The loop of a training, on a network of two numbers that learns a straight line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from cacapp.algorithms.training.loop import CHECKPOINT, LOG, WEIGHTS, Schedule, TrainingTask, fit
from cacapp.exceptions import CacappError

SCHEDULE = Schedule(epochs=4, steps=25, learning_rate=0.1, patience=0, seed=3)


class Heard:
    """Keeps what it is told; stops the training at a step, as Ctrl-C does."""

    def __init__(self, stop_at: int = 0) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.steps, self.stop_at = 0, stop_at

    def start(self, what: str, total: int) -> None:
        self.what, self.total = what, total

    def advance(self, note: str = "", by: int = 1) -> None:
        self.notes.append(note)
        self.steps += by
        if self.steps == self.stop_at:
            raise KeyboardInterrupt

    def warn(self, line: str) -> None:
        self.warnings.append(line)


def draw(rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.uniform(-1, 1, (16, 1)).astype(np.float32))


def losses(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    noise = 0.01 * torch.randn_like(x)  # the network's own chance, as in sampling proposals
    return {"loss_line": (network(x).float() - (2 * x + 1) + noise).square().mean()}


def closeness(network: nn.Module) -> float:
    x = torch.linspace(-1, 1, 9)[:, None]
    return float(1 / (1 + (network(x) - (2 * x + 1)).square().mean()))


@pytest.fixture
def task() -> Callable[..., TrainingTask]:
    def make(**changes: Any) -> TrainingTask:
        network = nn.Linear(1, 1)
        nn.init.zeros_(network.weight)
        nn.init.zeros_(network.bias)
        whole = TrainingTask(network, draw, losses, closeness, "closeness", {"model": "line", "architecture": "linear"}, "key")
        return replace(whole, **changes)

    return make


def rows(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / LOG).read_text().splitlines()]


def tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def test_it_learns_and_writes_what_it_learnt(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    heard = Heard()
    path = fit(task(), SCHEDULE, "cpu", tmp_path, heard)
    found = tensors(path)
    assert path == tmp_path / WEIGHTS
    assert (found["weight"].item(), found["bias"].item()) == pytest.approx((2, 1), abs=0.05)
    assert found["weight"].dtype == torch.float16
    log = rows(tmp_path)
    assert [row["epoch"] for row in log] == [1, 2, 3, 4]
    assert log[-1]["loss"] < 0.1 * log[0]["loss"]
    assert log[-1]["closeness"] > 0.99
    assert heard.steps == heard.total == 100
    assert heard.notes[-1].startswith("epoch 4/4, loss ")
    assert heard.notes[-1].endswith(" left")


def test_the_file_says_what_it_is(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    with safe_open(str(fit(task(), SCHEDULE, "cpu", tmp_path, Heard())), "pt") as file:
        about = file.metadata()
    assert about["model"] == "line"
    assert about["architecture"] == "linear"
    assert set(about) == {"model", "architecture", "epoch", "steps", "closeness", "cacapp"}


@pytest.mark.parametrize("stop_at", [25, 40, 99])
def test_a_stopped_training_resumes_to_the_same_result_as_an_uninterrupted_one(
    task: Callable[..., TrainingTask], tmp_path: Path, stop_at: int
) -> None:
    whole = fit(task(), SCHEDULE, "cpu", tmp_path / "whole", Heard())
    with pytest.raises(KeyboardInterrupt):
        fit(task(), SCHEDULE, "cpu", tmp_path / "broken", Heard(stop_at))
    heard = Heard()
    broken = fit(task(), SCHEDULE, "cpu", tmp_path / "broken", heard)
    assert whole.read_bytes() == broken.read_bytes()
    assert [row["loss"] for row in rows(tmp_path / "whole")] == [row["loss"] for row in rows(tmp_path / "broken")]
    assert stop_at < 50 or heard.notes[0].startswith("goes on at step ")


def test_a_finished_training_is_not_repeated(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    fit(task(), SCHEDULE, "cpu", tmp_path, Heard())
    heard = Heard()
    assert fit(task(), SCHEDULE, "cpu", tmp_path, heard) == tmp_path / WEIGHTS
    assert heard.steps == 0


def test_another_training_in_the_same_folder_begins_anew(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    fit(task(), SCHEDULE, "cpu", tmp_path, Heard())
    heard = Heard()
    fit(task(key="other"), SCHEDULE, "cpu", tmp_path, heard)
    assert "is of another training" in heard.warnings[0]
    assert heard.steps == 100


def test_it_ends_early_when_nothing_gets_better_and_keeps_the_best(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    scores = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    path = fit(task(score=lambda network: next(scores)), replace(SCHEDULE, epochs=5, patience=2), "cpu", tmp_path, Heard())
    assert [row["closeness"] for row in rows(tmp_path)] == [0.5, 0.7, 0.6, 0.7]
    with safe_open(str(path), "pt") as file:
        assert file.metadata()["epoch"] == "2"


@pytest.mark.parametrize("name", [CHECKPOINT, WEIGHTS, LOG])
def test_a_full_disk_is_named_and_the_last_checkpoint_stays(task: Callable[..., TrainingTask], tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(task(), SCHEDULE, "cpu", tmp_path, Heard(30))
    before = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / f"{name}.part").symlink_to("/dev/full")
    with pytest.raises(CacappError, match=f"{name} cannot be written: the disk is full; make room.*the same command goes on"):
        fit(task(), SCHEDULE, "cpu", tmp_path, Heard())
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert fit(task(), SCHEDULE, "cpu", tmp_path, Heard()).is_file()


def test_a_damaged_checkpoint_is_named(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"nothing of the kind")
    with pytest.raises(CacappError, match=r"checkpoint\.pt cannot be read .*remove it to train anew"):
        fit(task(), SCHEDULE, "cpu", tmp_path, Heard())


def test_a_loss_that_is_no_number_stops_the_training(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    wrong = task(losses=lambda network, x: {"loss_line": network(x).sum() * float("nan")})
    with pytest.raises(CacappError, match=r"loss became nan at step 0.*learning_rate"):
        fit(wrong, SCHEDULE, "cpu", tmp_path, Heard())


def test_the_generator_of_the_caller_is_left_alone(task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    made = task()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fit(made, SCHEDULE, "cpu", tmp_path, Heard())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_rate_rises_then_falls() -> None:
    rates = [SCHEDULE.rate(step) for step in range(SCHEDULE.total)]
    peak = int(np.argmax(rates))
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)
    assert rates[-1] < 0.03 * SCHEDULE.learning_rate
