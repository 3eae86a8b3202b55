"""Trains the light network of segmenter ``maskrcnn``: on simulated scenes, and on pseudo-labels of real images.

    python training/maskrcnn.py train SHARDS OUT [--minutes 40] [--start cacapp/weights/nuclei_t.safetensors] [--real FOLDER]     resumes
    python training/maskrcnn.py validate OUT SHARDS      AP@0.5 on scenes that were not trained on
    python training/maskrcnn.py export OUT cacapp/weights/maskrcnn-nuclei.safetensors

SHARDS comes from training/tiles.py and may still be filled, FOLDER from training/pseudo_tiles.py. Network and losses are those of `cacapp
train`. Convolutions run in bfloat16, a third faster on a CPU that has it.
"""

from __future__ import annotations

import json
from pathlib import Path

import loop
import numpy as np
import torch
from dense import Real
from prompts import Pool
from tiles import degrade
from torch import Tensor, nn

from cacapp import __version__
from cacapp.algorithms.maskrcnn.network import build
from cacapp.algorithms.maskrcnn.targets import target_of
from cacapp.algorithms.training.crops import SMALL, small_frame
from cacapp.algorithms.training.start import take
from cacapp.weights.load import load_state

TILES, LEARNING_RATE = 8, 1.2e-3

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
    pool, real = Pool(shards), Real(folder) if folder else None
    fast = torch.backends.mkldnn.is_available() and "avx512_bf16" in Path("/proc/cpuinfo").read_text()

    def losses(batch: Batch, _: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        each = losses_of(network, batch, fast)
        return torch.stack(list(each.values())).sum(), {name: float(value.detach()) for name, value in each.items()}

    def draw(number: int) -> Batch:
        return make_batch(np.random.default_rng([seed, number]), pool, real, share, tiles)

    loop.train(out, seed, loop.Schedule(minutes, peak, clip=2.0), {"network": network}, pool, draw, losses)


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


if __name__ == "__main__":
    parser, commands, one = loop.parser_of(
        __doc__,
        ("shards", "out"),
        40,
        LEARNING_RATE,
        "weights of maskrcnn, nuclei_t or dense: safetensors, or a checkpoint of their training",
    )
    one.add_argument("--real", type=Path, help="folder of pseudo-labelled tiles")
    one.add_argument("--share", type=float, default=0.5, help="share of real tiles")
    one.add_argument("--tiles", type=int, default=TILES, help="tiles a step")
    three = commands.add_parser("validate")
    three.add_argument("out", type=Path)
    three.add_argument("shards", type=Path)
    three.add_argument("--tiles", type=int, default=32)
    three.add_argument("--seed", type=int, default=99)
    three.add_argument("--min-score", type=float, default=0.5)
    three.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    loop.use_threads(given.threads)
    if given.command == "train":
        train(given.shards, given.out, given.minutes, given.seed, given.start, given.real, given.share, given.rate, given.tiles)
    elif given.command == "validate":
        print(json.dumps(validate(given.out, given.shards, given.tiles, given.seed, given.min_score), indent=1))
    else:
        loop.export(given.out, given.target, model="maskrcnn", architecture="light", cacapp=__version__)
