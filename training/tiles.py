"""Training tiles for nuclei_t: simulated DAPI scenes, far wider than a real slide, and the cameras that look at them.

    python training/tiles.py OUT [--tiles 8000] [--seed 1]      writes shards of 64 scenes: OUT/<seed>_<n>.npz (light float16, labels int16)

A scene is clean light with instance labels; `degrade` makes an 8-bit image of it, differently each time it is used.
Nuclei come from cacapp's simulator (outline, fill, chromatin); everything is drawn around a diameter of 32 px.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cacapp.simulation.model import SlideModel
from cacapp.simulation.optics import add_crop, add_spot
from cacapp.simulation.outline import draw_outline, fill
from cacapp.simulation.texture import chromatin, smooth_noise
from cacapp.types import Array

SIDE_PX = 256
MARGIN_PX = 36  # drawn around the tile and cut off, so that nuclei cross its edges
DIAMETER_PX = 32.0
SHARD = 64
VISIBLE = 0.33  # a nucleus is labelled as far as its own light, blurred, reaches this share of its median: what an eye calls its outline
STYLES = ("sparse", "culture", "clumps", "sheet")
STYLE_WEIGHTS = (0.18, 0.34, 0.30, 0.18)


@dataclass
class Scene:
    """One scene's settings, drawn once a tile. Lengths in px of the tile."""

    style: str
    model: SlideModel
    count: int
    clustered: float
    hidden_max: float
    gap_px: int
    behind: float  # share of a hidden part's light that shines through
    brightness_sd: float
    defocus: float
    defocus_px: float
    chromocentres: float
    rings: float
    fragments: float
    aligned: float


def draw_setting(rng: np.random.Generator) -> Scene:
    style = str(rng.choice(STYLES, p=STYLE_WEIGHTS))
    diameter = float(np.clip(DIAMETER_PX * rng.lognormal(0, 0.22), 17, 54))
    um = 8.6 / diameter  # µm a pixel: the simulator's own sizes at this scale
    kinds = rng.dirichlet((2.2, 1.8, 0.7, 0.3))
    model = SlideModel(
        pixel_size_um=um,
        diameter_sd_um=float(8.6 * rng.uniform(0.04, 0.32)),
        round_weight=float(kinds[0]),
        oval_weight=float(kinds[1]),
        kidney_weight=float(kinds[2]),
        lobed_weight=float(kinds[3] * 0.6),
        elongation_max=float(rng.uniform(1.2, 2.8)),
        irregularity=float(rng.choice((0.015, 0.035, 0.06, 0.1), p=(0.25, 0.4, 0.25, 0.1))),
        texture_contrast=float(rng.choice((0.05, 0.15, 0.3, 0.5), p=(0.25, 0.4, 0.25, 0.1))),
        texture_um=(float(rng.uniform(0.3, 0.8)), float(rng.uniform(1.5, 4.5))),
        dome=float(rng.uniform(0, 0.9)),
        rim_sd=float(rng.choice((0.05, 0.15, 0.35))),
        nucleoli=float(rng.choice((0.0, 1.0, 3.0))),
        nucleolus_um=(0.7, 2.2),
        touch_gap=0.9,
    )
    room = (SIDE_PX + 2 * MARGIN_PX) ** 2 / (np.pi / 4 * diameter**2)
    fill_share = {"sparse": (0.02, 0.15), "culture": (0.15, 0.45), "clumps": (0.12, 0.5), "sheet": (0.75, 1.1)}[style]
    return Scene(
        style=style,
        model=model,
        count=max(1, int(room * rng.uniform(*fill_share))),
        clustered={"sparse": 0.4, "culture": 0.35, "clumps": 0.9, "sheet": 0.0}[style] * rng.uniform(0.4, 1.1),
        hidden_max=float(rng.choice((0.02, 0.1, 0.2, 0.4))),
        gap_px=int(rng.choice((0, 0, 1, 2))),
        behind=float(rng.choice((0.0, 0.5, 1.0))),
        brightness_sd=float(rng.choice((0.08, 0.25, 0.5, 0.9), p=(0.25, 0.35, 0.25, 0.15))),
        defocus=float(rng.choice((0.0, 0.1, 0.5, 1.0), p=(0.45, 0.25, 0.2, 0.1))),
        defocus_px=float(rng.uniform(1.0, 4.5)),
        chromocentres=float(rng.choice((0.0, 4.0, 9.0), p=(0.65, 0.2, 0.15))),
        rings=float(rng.choice((0.0, 0.1, 0.6), p=(0.8, 0.15, 0.05))),
        fragments=float(rng.choice((0.0, 0.05, 0.2), p=(0.5, 0.35, 0.15))),
        aligned=float(rng.choice((0.0, 1.0), p=(0.7, 0.3))),
    )


def draw_scene(rng: np.random.Generator) -> tuple[Array, Array]:
    """Clean light (256, 256) float32, nuclei around 1, background near 0, and labels (256, 256) int16."""
    scene = draw_setting(rng)
    side = SIDE_PX + 2 * MARGIN_PX
    light, labels = np.zeros((side, side), np.float32), np.zeros((side, side), np.int32)
    seen = np.stack([light, light])
    sharpness_px = float(rng.choice((0.4, 0.8, 1.3, 2.2), p=(0.35, 0.35, 0.2, 0.1)))
    centres = _place_all(rng, scene, light, labels, seen, sharpness_px)
    labels = np.where(labels > 0, labels, seen[1].astype(np.int32))
    diameter = scene.model.px(scene.model.diameter_um)
    _add_surroundings(rng, light, centres, diameter)
    if rng.random() < 0.7:
        light += rng.uniform(0, 0.5) * rng.random() * cv2.GaussianBlur(light, (0, 0), rng.uniform(0.15, 0.9) * diameter)
    light = cv2.GaussianBlur(light, (0, 0), sharpness_px)
    cut = slice(MARGIN_PX, MARGIN_PX + SIDE_PX)
    return np.ascontiguousarray(light[cut, cut]), _renumbered(labels[cut, cut])


def _place_all(
    rng: np.random.Generator, scene: Scene, light: Array, labels: Array, seen: Array, sharpness_px: float
) -> list[tuple[float, float, float]]:
    side, centres = len(labels), []
    grid = _sheet_points(rng, scene, side) if scene.style == "sheet" else []
    hidden_max = max(scene.hidden_max, 0.3) if scene.style == "sheet" else scene.hidden_max
    turn = rng.uniform(0, np.pi)
    label = 0
    for attempt in range(len(grid) or 4 * scene.count):
        if label >= scene.count and not grid:
            break
        small = rng.random() < scene.fragments
        diameter = max(0.45 * scene.model.diameter_um, rng.normal(scene.model.diameter_um, scene.model.diameter_sd_um))
        diameter *= rng.uniform(0.3, 0.6) if small else 1.0
        outline = draw_outline(rng, scene.model, scene.model.px(diameter))
        if scene.aligned:
            outline = _aligned(outline, turn + rng.normal(0, 0.25))
        mask = fill(outline)
        h, w = mask.shape
        if grid:
            cy, cx = grid[attempt]
        elif centres and rng.random() < scene.clustered:
            y, x, other = centres[rng.integers(len(centres))]
            angle, reach = rng.uniform(0, 2 * np.pi), (other + np.sqrt(h * w)) / 2 * rng.uniform(0.72, 1.1)
            cy, cx = y + reach * np.sin(angle), x + reach * np.cos(angle)
        else:
            cy, cx = rng.uniform(0, side, 2)
        top, left = int(cy - h / 2), int(cx - w / 2)
        if top < 0 or left < 0 or top + h > side or left + w > side:
            continue
        window = labels[top : top + h, left : left + w]
        taken = window > 0
        if scene.gap_px:
            taken = cv2.dilate(taken.astype(np.uint8), np.ones((2 * scene.gap_px + 1,) * 2)).astype(bool)
        free = mask & ~taken
        if free.sum() < (1 - hidden_max) * mask.sum() or free.sum() < 12:
            continue
        count, pieces = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
        if count > 2:
            free = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
        label += 1
        window[free] = label
        centres.append((cy, cx, float(np.sqrt(h * w))))
        brightness = rng.lognormal(0, scene.brightness_sd) * (rng.uniform(1.0, 2.5) if small else 1.0)
        own = _paint(rng, scene, light, free, mask, (top, left), brightness)
        _extend(
            seen,
            own,
            np.pad(free, (own.shape[0] - h) // 2),
            label,
            (top - (own.shape[0] - h) // 2, left - (own.shape[1] - w) // 2),
            sharpness_px,
        )
    return centres


def _sheet_points(rng: np.random.Generator, scene: Scene, side: int) -> list[tuple[float, float]]:
    pitch = scene.model.px(scene.model.diameter_um) * rng.uniform(0.82, 1.15)
    jitter = pitch * rng.uniform(0.05, 0.28)
    rows = np.arange(0, side, pitch * 0.87)
    points = [
        (y + rng.normal(0, jitter), x + (pitch / 2) * (i % 2) + rng.normal(0, jitter))
        for i, y in enumerate(rows)
        for x in np.arange(0, side, pitch)
        if rng.random() > 0.06
    ]
    return [points[i] for i in rng.permutation(len(points))]


def _aligned(outline: Array, turn: float) -> Array:
    centred = outline - outline.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes.T
    return np.asarray(flat @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]))


def _paint(
    rng: np.random.Generator, scene: Scene, light: Array, free: Array, whole: Array, at_px: tuple[int, int], brightness: float
) -> Array:
    sigma = scene.defocus_px * rng.uniform(0.3, 1.0) if rng.random() < scene.defocus else 0.0
    pad = int(np.ceil(3 * sigma)) + 1
    mask = np.pad(whole, pad)
    crop = chromatin(rng, scene.model, mask)
    if scene.chromocentres:
        inside = np.argwhere(mask)
        radius = np.sqrt(mask.sum() / np.pi)
        for _ in range(rng.poisson(scene.chromocentres)):
            y, x = inside[rng.integers(len(inside))]
            add_spot(crop, float(y), float(x), rng.uniform(0.3, 2.0), float(max(0.6, radius * rng.uniform(0.07, 0.2))))
        crop *= mask
    if rng.random() < scene.rings:
        depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
        crop *= 1 - rng.uniform(0.4, 0.9) * np.clip(depth / max(1.0, float(depth.max())), 0, 1) ** rng.uniform(0.6, 1.5)
    crop *= np.where(np.pad(free, pad), 1.0, scene.behind)
    crop = (crop * brightness).astype(np.float32)
    if sigma:
        crop = cv2.GaussianBlur(crop, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    add_crop(light, crop, at_px[0] - pad, at_px[1] - pad)
    return crop


def _extend(seen: Array, own: Array, free: Array, label: int, at_px: tuple[int, int], sharpness_px: float) -> None:
    """Claims the pixels around a nucleus where its own light shows; ``seen``: (2, Y, X), the strongest light so far and whose it is."""
    pad = int(np.ceil(2 * sharpness_px)) + 1
    blurred = cv2.GaussianBlur(np.pad(own, pad), (0, 0), sharpness_px)
    free = np.pad(free, pad)
    claimed = np.where(blurred > VISIBLE * np.median(blurred[free]), blurred, 0)
    top, left = at_px[0] - pad, at_px[1] - pad
    y0, x0, side = max(0, -top), max(0, -left), seen.shape[1]
    claimed = claimed[y0 : y0 + side - max(top, 0), x0 : x0 + side - max(left, 0)]
    here = seen[:, max(top, 0) : max(top, 0) + claimed.shape[0], max(left, 0) : max(left, 0) + claimed.shape[1]]
    wins = claimed > here[0]
    here[0][wins], here[1][wins] = claimed[wins], label


def _add_surroundings(rng: np.random.Generator, light: Array, centres: list[tuple[float, float, float]], diameter: float) -> None:
    """Cytoplasm, fibres, ghosts out of focus, specks, slow background: all that a prompt must not be drawn to."""
    side = len(light)
    if rng.random() < 0.35:
        body, level = np.zeros_like(light), rng.uniform(0.02, 0.25)
        for y, x, size in centres:
            if rng.random() < 0.7:
                axes = (int(size * rng.uniform(0.5, 2.2)), int(size * rng.uniform(0.4, 0.9)))
                at = (int(x + rng.normal(0, size / 4)), int(y + rng.normal(0, size / 4)))
                layer = np.zeros_like(light)
                cv2.ellipse(layer, at, axes, float(rng.uniform(0, 180)), 0, 360, float(level * rng.lognormal(0, 0.4)), -1)
                body = np.maximum(body, layer)
        light += cv2.GaussianBlur(body, (0, 0), rng.uniform(1, 7)) * np.maximum(1 + 0.3 * smooth_noise(rng, side, side, 6), 0)
    if rng.random() < 0.3:
        fibres = np.zeros_like(light)
        heading = rng.uniform(0, np.pi)
        for _ in range(rng.integers(3, 25)):
            steps = np.cumsum(rng.normal(0, 0.12, 24)) + heading + rng.normal(0, 0.3)
            path = np.stack([np.cos(steps), np.sin(steps)], 1).cumsum(0) * 9 + rng.uniform(-40, side, 2)
            cv2.polylines(fibres, [path.astype(np.int32)], False, float(rng.uniform(0.02, 0.3)), int(rng.integers(1, 7)), cv2.LINE_AA)
        light += cv2.GaussianBlur(fibres, (0, 0), rng.uniform(0.7, 2.5))
    for _ in range(rng.poisson(1.5) if rng.random() < 0.5 else 0):
        add_spot(light, *rng.uniform(0, side, 2), rng.uniform(0.03, 0.4), diameter * rng.uniform(0.35, 1.2))
    if rng.random() < 0.08:  # a bead or a clump far out of focus
        add_spot(light, *rng.uniform(0, side, 2), rng.uniform(0.15, 1.0), diameter * rng.uniform(1.5, 4.0))
    for _ in range(int(rng.choice((0, 3, 15)))):
        add_spot(light, *rng.uniform(0, side, 2), rng.lognormal(-1, 0.8), rng.uniform(0.5, 2.2))
    light += rng.uniform(0, 0.12) * np.maximum(1 + smooth_noise(rng, side, side, rng.uniform(30, 120)), 0)


def _renumbered(labels: Array) -> Array:
    values, inverse = np.unique(labels, return_inverse=True)
    start = 0 if values[0] == 0 else 1
    return (inverse.reshape(labels.shape) + start).astype(np.int16)


def degrade(rng: np.random.Generator, light: Array) -> Array:
    """What some camera and some file format make of a scene: (Y, X) uint8, scaled as the segmenter scales a frame, give or take."""
    side = light.shape[0]
    image = light.astype(np.float32)
    yy, xx = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = yy * np.sin(angle) + xx * np.cos(angle)
    if rng.random() < 0.5:
        image = image * (1 + rng.uniform(0, 0.45) * slope)
    image = image + rng.choice((0.02, 0.1, 0.4)) * rng.uniform(0.3, 1.5) * (1 + rng.uniform(0, 0.5) * slope * (rng.random() < 0.4))
    zoom = rng.uniform(0.35, 1.0) if rng.random() < 0.5 else 1.0  # a smaller original, enlarged to the working scale
    if zoom < 1:
        image = cv2.resize(image, (round(side * zoom),) * 2, interpolation=cv2.INTER_AREA)
    photons = np.exp(rng.uniform(np.log(12), np.log(5000)))
    image = np.maximum(image, 0)
    image = image + np.sqrt(image / photons) * rng.standard_normal(image.shape, dtype=np.float32)
    image += rng.choice((0.0, 0.01, 0.05)) * rng.random() * rng.standard_normal(image.shape, dtype=np.float32)
    if rng.random() < 0.08:
        image[rng.random(image.shape) < rng.uniform(0.005, 0.12)] += rng.uniform(0.05, 0.5)
    low, high = np.percentile(image, (rng.uniform(0.1, 5), rng.uniform(99, 99.95)))
    image = np.clip((image - low) / max(high - low, 1e-3), 0, 1.2)
    if rng.random() < 0.5:
        levels = 2 ** rng.uniform(4, 8)
        image = np.round(image * levels) / levels
    if rng.random() < 0.2:
        quality = int(rng.integers(30, 96))
        _, packed = cv2.imencode(".jpg", (np.clip(image, 0, 1) * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    if zoom < 1:
        image = cv2.resize(image, (side, side), interpolation=int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC))))
    image = np.clip(image, 0, None) ** (np.exp(rng.uniform(-0.6, 0.5)) if rng.random() < 0.5 else 1.0)
    image = image * np.exp(rng.uniform(-1.4, 0.35)) + (rng.uniform(0, 0.15) if rng.random() < 0.3 else 0.0)
    return np.asarray(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8))


def write_shards(out: Path, tiles: int, seed: int) -> None:
    """Writes shards of SHARD scenes; those that exist stay."""
    out.mkdir(parents=True, exist_ok=True)
    for n in range(-(-tiles // SHARD)):
        path = out / f"{seed:03d}_{n:05d}.npz"
        if path.exists():
            continue
        scenes = [draw_scene(np.random.default_rng([seed, n, i])) for i in range(SHARD)]
        part = path.with_suffix(".part")
        with part.open("wb") as f:
            np.savez(f, light=np.stack([s[0] for s in scenes]).astype(np.float16), labels=np.stack([s[1] for s in scenes]))
        part.replace(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiles", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    write_shards(arguments.out, arguments.tiles, arguments.seed)
