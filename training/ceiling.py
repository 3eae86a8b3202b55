"""What nuclei_t reaches on real nuclei when every prompt is right, and with a prompter's own. Measures only; nothing is trained here.

    python training/ceiling.py OUT_OR_WEIGHTS DATA PRED [--prompts truth|watershed] [--every 5] [--negative darkest|none]

DATA holds images/*.png and labels/*.png; label images are written to PRED for score.py, with the labels of the same images in PRED/truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from cacapp.algorithms.sam.nuclei_t import IMAGE_PX, NUCLEUS_PX, build_nuclei_t, decode_windows
from cacapp.types import Array

OVERLAP_PX = 96


def load(path: Path) -> torch.nn.Module:
    sam = build_nuclei_t()
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        sam.load_state_dict({k: v.float() if v.dtype == torch.float16 else v for k, v in load_file(str(path)).items()})
    else:
        sam.load_state_dict(torch.load(path / "checkpoint.pt", weights_only=True)["average"])
    return sam.eval()


def scaled(image: Array) -> Array:
    """The whole image to 0..1 by its 0.5 and 99.8 percentiles, float32."""
    low, high = np.percentile(image, (0.5, 99.8))
    return np.clip((image - low) / max(high - low, 1), 0, 1).astype(np.float32)


@torch.no_grad()
def segment(sam: torch.nn.Module, image: Array, points_xy: Array, diameter_px: float, negative: str = "darkest") -> tuple[Array, Array]:
    """Label image and predicted IoU of each prompt. One mask a prompt; a pixel goes to the mask that is surest of it."""
    zoom = NUCLEUS_PX / diameter_px
    height, width = image.shape
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    size = max(IMAGE_PX, round(width * zoom)), max(IMAGE_PX, round(height * zoom))
    small = cv2.resize(scaled(image), (round(width * zoom), round(height * zoom)), interpolation=interpolation)
    small = cv2.copyMakeBorder(small, 0, size[1] - small.shape[0], 0, size[0] - small.shape[1], cv2.BORDER_REPLICATE)
    steps = [np.unique(np.linspace(0, n - IMAGE_PX, 1 + -(-(n - IMAGE_PX) // (IMAGE_PX - OVERLAP_PX))).astype(int)) for n in size]
    corners = np.array([(x, y) for y in steps[1] for x in steps[0]])
    tiles = torch.from_numpy(np.stack([small[y : y + IMAGE_PX, x : x + IMAGE_PX] for x, y in corners]))[:, None]
    points = points_xy * zoom
    owner = np.abs(points[:, None] - corners[None] - IMAGE_PX / 2).max(axis=2).argmin(axis=1)
    best, labels, sure = np.zeros((size[1], size[0]), np.float32), np.zeros((size[1], size[0]), np.int32), np.zeros(len(points))
    for t, corner in enumerate(corners):
        mine = np.flatnonzero(owner == t)
        if not len(mine):
            continue
        features = sam.image_encoder(tiles[t : t + 1])
        local = torch.from_numpy(np.repeat((points[mine] - corner)[:, None], 2, axis=1).astype(np.float32))
        kinds = torch.tensor([[1.0, -1.0]]).repeat(len(mine), 1)
        if negative == "darkest":
            y, x = np.unravel_index(int(cv2.GaussianBlur(tiles[t, 0].numpy(), (0, 0), 1.0).argmin()), (IMAGE_PX, IMAGE_PX))
            local[:, 1], kinds[:, 1] = torch.tensor([float(x), float(y)]), 0.0
        logits, iou, origins = decode_windows(sam, features, torch.zeros(len(mine), dtype=torch.long), local, kinds)
        full = torch.nn.functional.interpolate(logits[:, :1], scale_factor=2, mode="bilinear", align_corners=False)[:, 0].numpy()
        for i, mask, (y, x) in zip(mine, full, origins.numpy(), strict=True):
            sure[i] = float(iou[list(mine).index(i), 0])
            top, left = y + corner[1], x + corner[0]
            window = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
            wins = (mask > 0) & (mask > best[window])
            best[window][wins] = mask[wins]
            labels[window][wins] = i + 1
    labels = labels[: round(height * zoom), : round(width * zoom)]
    return cv2.resize(labels.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST).astype(np.int32), sure


def truth_prompts(labels: Array) -> tuple[Array, float]:
    """Deepest point of each true nucleus, xy, and the median diameter."""
    points, diameters = [], []
    for value in np.unique(labels[labels > 0]):
        mask = np.pad((labels == value).astype(np.uint8), 1)
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        points.append((x - 1, y - 1))
        diameters.append(np.sqrt(4 * mask.sum() / np.pi))
    return np.array(points, np.float32).reshape(-1, 2), float(np.median(diameters))


def watershed_prompts(image: Array) -> tuple[Array, float]:
    from cacapp.algorithms.watershed import Watershed

    prompts = Watershed().prompt(image, None)
    diameters = [np.sqrt(4 * r.mask.sum() / np.pi) for r in prompts.regions]
    return prompts.points_xy[:, 0], float(np.median(diameters)) if diameters else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("weights", "data", "pred"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--prompts", choices=("truth", "watershed"), default="truth")
    parser.add_argument("--negative", choices=("darkest", "none"), default="darkest")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--least-iou", type=float, default=0.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    (given.pred / "truth").mkdir(parents=True, exist_ok=True)
    model = load(given.weights)
    for path in sorted((given.data / "images").glob("*.png"))[:: given.every]:
        image, labels = (cv2.imread(str(given.data / kind / path.name), cv2.IMREAD_UNCHANGED) for kind in ("images", "labels"))
        points, diameter = truth_prompts(labels) if given.prompts == "truth" else watershed_prompts(image)
        found = np.zeros(image.shape, np.int32)
        if len(points):
            found, sure = segment(model, image, points, diameter, given.negative)
            found[np.isin(found, 1 + np.flatnonzero(sure < given.least_iou))] = 0
        cv2.imwrite(str(given.pred / path.name), found.astype(np.uint16))
        cv2.imwrite(str(given.pred / "truth" / path.name), labels)
