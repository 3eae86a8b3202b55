"""Pseudo-labelled tiles of real images for training/dense.py and training/maskrcnn.py: no human label is read.

    python training/pseudo_tiles.py IMAGES OUT --dense WEIGHTS     writes OUT/<stem>.npz (image uint8 at working scale, labels int16)

Five methods propose masks: watershed's regions, SAM (nuclei_t) prompted by them, and the dense network (trained on simulation, or on
earlier pseudo-labels) on the image, on its mirror image, and on an enlarged one. A nucleus is accepted where AGREEING methods agree (IoU of
AGREE) and the single-cell filter passes it; its outline is where half of them put it. What any of them proposed and was not accepted is
unknown (-1), and so is what the dense network half believes; the rest is background.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from dense import weights_in

from cacapp.algorithms.dense.network import DenseNetwork
from cacapp.algorithms.dense.scale import find_scale
from cacapp.algorithms.dense.segmenter import Dense
from cacapp.algorithms.sam.nuclei_t import NUCLEUS_PX
from cacapp.algorithms.sam.segmenter import PromptedSam
from cacapp.algorithms.sam.tiled import scaled_frame
from cacapp.algorithms.single_cell import SingleCell
from cacapp.algorithms.watershed import Watershed
from cacapp.arrays.overlap import intersections
from cacapp.arrays.shapes import shapes_of, typical_diameter
from cacapp.exchange.labelled_images import read_dapi
from cacapp.types import UNKNOWN, Array, Instance

AGREE, AGREEING = 0.6, 3
ENLARGED = 1.4
DOUBT = 0.2  # probability of nucleus from which a pixel is not background
FEWEST = 2  # accepted nuclei of an image that is used


def labels_of(dapi: Array, proposals: list[list[Instance]], doubt: Array) -> tuple[Array, list[int]]:
    """(Y, X) int16 labels from the instances of each method, and the accepted nuclei's areas, px."""
    height, width = dapi.shape
    everyone = [one for found in proposals for one in found]
    owner = np.repeat(np.arange(len(proposals)), [len(found) for found in proposals])
    area = np.array([np.count_nonzero(one.mask) for one in everyone])
    matches: list[set[int]] = [{i} for i in range(len(everyone))]
    for a, b, shared in intersections(everyone):
        if owner[a] != owner[b] and shared / (area[a] + area[b] - shared) >= AGREE:
            matches[a].add(b)
            matches[b].add(a)
    labels = np.where(doubt > DOUBT, UNKNOWN, 0).astype(np.int16)
    for one in everyone:
        x, y, w, h = one.bbox_xywh
        labels[y : y + h, x : x + w][one.mask] = UNKNOWN
    verdicts = SingleCell().judge(shapes_of(everyone, height, width, None))
    done: set[int] = set()
    areas: list[int] = []
    # the dense network's view first: it takes fewest aggregates for one
    for i in sorted(range(len(everyone)), key=lambda i: (-int(owner[i]), -everyone[i].score)):
        if i in done or verdicts[i] is not None:
            continue
        group = matches[i] - done
        if len(set(owner[list(group)])) < AGREEING:
            continue
        done |= group
        boxes = np.array([everyone[j].bbox_xywh for j in group])
        x, y = boxes[:, :2].min(axis=0)
        right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
        votes = np.zeros((bottom - y, right - x), int)
        for j in group:
            bx, by, bw, bh = everyone[j].bbox_xywh
            votes[by - y : by - y + bh, bx - x : bx - x + bw] += everyone[j].mask
        here = labels[y:bottom, x:right]
        mine = (2 * votes >= len(group)) & (here <= 0)
        if mine.sum() < 12:
            continue
        areas.append(int(mine.sum()))
        here[mine] = len(areas)
    return labels, areas


def mirrored(instances: list[Instance], width: int) -> list[Instance]:
    """Instances of an image, in its mirror image."""
    return [
        Instance((width - i.bbox_xywh[0] - i.bbox_xywh[2], *i.bbox_xywh[1:]), np.ascontiguousarray(i.mask[:, ::-1]), i.score)
        for i in instances
    ]


def doubts(dense: Dense, network: DenseNetwork, dapi: Array, diameter_px: float) -> Array:
    """Probability of nucleus of each pixel of the image, (Y, X) float32."""
    _, foreground, _, _ = dense._objects(dapi, diameter_px, network)
    return cv2.resize(foreground, dapi.shape[::-1], interpolation=cv2.INTER_LINEAR)


def write_tiles(images: Path, out: Path, weights: Path) -> None:
    network = DenseNetwork()
    network.load_state_dict(weights_in(weights))
    network.to(memory_format=torch.channels_last).eval()
    watershed, sam, dense = Watershed(), PromptedSam(keep_region=False), Dense()
    out.mkdir(parents=True, exist_ok=True)
    total = 0
    for path in sorted(images.iterdir()):
        target = out / f"{path.stem}.npz"
        if target.exists():
            continue
        dapi = read_dapi(path).dapi
        prompts = watershed.prompt(dapi, None)
        with torch.autocast("cpu", torch.bfloat16):  # half the time where the CPU has avx512_bf16
            diameter = find_scale(dapi, lambda part, size: dense._candidate(part, size, network))
            if not diameter:
                continue
            same, larger = (dense.model_copy(update={"diameter_px": diameter / zoom}) for zoom in (1, ENLARGED))
            mirror = mirrored(same._segment(np.ascontiguousarray(dapi[:, ::-1]), network), dapi.shape[1])
            proposals = [list(prompts.regions), sam.segment(dapi, prompts, None)]
            proposals += [larger._segment(dapi, network), mirror, same._segment(dapi, network)]
            doubt = doubts(same, network, dapi, diameter)
        labels, areas = labels_of(dapi, proposals, doubt)
        if len(areas) < FEWEST:
            continue
        frame = scaled_frame(dapi, typical_diameter(np.array(areas)), NUCLEUS_PX)
        small = cv2.resize(labels, frame.image.shape[::-1], interpolation=cv2.INTER_NEAREST)
        np.savez_compressed(target, image=np.round(frame.image).astype(np.uint8), labels=small)
        total += len(areas)
        print(path.stem[:12], *(len(one) for one in proposals), len(areas), flush=True)
    print(f"{total} nuclei accepted")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dense", type=Path, required=True, help="weights of training/dense.py: a checkpoint or what was exported")
    given = parser.parse_args()
    torch.set_num_threads(1)
    write_tiles(given.images, given.out, given.dense)
