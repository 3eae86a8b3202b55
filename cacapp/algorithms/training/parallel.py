"""Losses of a batch on all GPUs of the machine, with the functions that DataParallel of torch uses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import parallel_apply, replicate

Targets = list[dict[str, Tensor]]


def losses_on_gpus(network: nn.Module, images: list[Tensor], targets: Targets) -> dict[str, Tensor]:
    """Return the mean over GPUs of the losses of their shares of a batch. DataParallel cannot divide lists of images and targets.

    Args:
        network: on the first GPU.
        images, targets: N of each, on the CPU.
    """
    count = min(torch.cuda.device_count(), len(images))
    inputs: list[tuple[Any, ...]] = []
    for i in range(count):
        own = slice(i, None, count)
        there = [{k: v.to(i, non_blocking=True) for k, v in target.items()} for target in targets[own]]
        inputs.append(([image.to(i, non_blocking=True) for image in images[own]], there))
    devices = list(range(count))
    found = parallel_apply(replicate(network, devices), inputs, devices=devices)
    return {name: torch.stack([one[name].to(0) for one in found]).mean() for name in found[0]}
