"""The rows of the benchmark: those of the paper's table, the prompt algorithms alone, and every other installed algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from cacapp import defaults
from cacapp.api import TrainableSegmenter
from cacapp.host import Host, Registered
from cacapp.weights.cache import where
from cacapp.weights.registry import entries

LabelOrigin = Literal["human labels", "pseudo-labels"]
HUMAN: LabelOrigin = "human labels"
PSEUDO: LabelOrigin = "pseudo-labels"

ABLATED = "sam-watershed"
"""The row whose negative points are varied."""

WEIGHTS_FIELDS = ("weights", "model")
"""Parameters that name weights."""


@dataclass(frozen=True, slots=True)
class Row:
    """A method of the table.

    Attributes:
        key: its name on the command line and of its result file.
        params, prompter_params: parameters of the segmenter and of the prompter that define the row.
        learns: labels that the segmenter is trained on first; None: it is not trained.
        get: how to install a segmenter that is missing.
        paper: Dice in [0, 1] and seconds per frame in the paper's Table 1; None: not in the table.
    """

    key: str
    method: str
    segmenter: str
    prompter: str = defaults.PROMPTER
    params: Mapping[str, Any] = field(default_factory=dict)
    prompter_params: Mapping[str, Any] = field(default_factory=dict)
    learns: LabelOrigin | None = None
    get: str = "update cacapp, of which it is part"
    paper: tuple[float, float] | None = None


_VIT_B = {"model": "vit_b"}
_CELLPOSE = "pip install cacapp-cellpose"

ROWS: tuple[Row, ...] = (
    Row("watershed", "watershed alone", "coarse", "watershed"),
    Row("region-growing", "region growing alone", "coarse", "region-growing"),
    Row("split-merge", "split and merge alone", "coarse", "split-merge"),
    Row("vit-b-auto", "SAM ViT-B, automatic", "sam-auto", params=_VIT_B, paper=(0.5248, 37.33)),
    Row("vit-b-watershed", "SAM ViT-B, prompted by watershed", "sam", "watershed", _VIT_B, paper=(0.6003, 10.93)),
    Row("vit-b-region-growing", "SAM ViT-B, prompted by region growing", "sam", "region-growing", _VIT_B),
    Row("vit-b-split-merge", "SAM ViT-B, prompted by split and merge", "sam", "split-merge", _VIT_B),
    Row("sam-auto", "SAM, default model, automatic", "sam-auto"),
    Row("sam-watershed", "SAM, default model, prompted by watershed", "sam", "watershed"),
    Row("sam-region-growing", "SAM, default model, prompted by region growing", "sam", "region-growing"),
    Row("sam-split-merge", "SAM, default model, prompted by split and merge", "sam", "split-merge"),
    Row("sam-samaug", "SAM, default model, prompted by watershed with SAMAug's points", "sam", "samaug"),
    Row("cellpose", "Cellpose, default", "cellpose", get=_CELLPOSE, paper=(0.7471, 21.64)),
    Row("cellpose-tuned", "Cellpose, fine-tuned", "cellpose", learns=HUMAN, get=_CELLPOSE, paper=(0.8022, 27.43)),
    Row("cellpose-pseudo", "Cellpose, fine-tuned on pseudo-labels", "cellpose", learns=PSEUDO, get=_CELLPOSE),
    Row("cellpose-scratch", "Cellpose from scratch on pseudo-labels", "cellpose", params={"start": "none"}, learns=PSEUDO, get=_CELLPOSE),
    Row("maskrcnn", "Mask R-CNN on pseudo-labels", "maskrcnn", learns=PSEUDO, paper=(0.8765, 4.19)),
    Row("maskrcnn-human", "Mask R-CNN on human labels", "maskrcnn", learns=HUMAN, paper=(0.9351, 4.19)),
    Row("maskrcnn-shipped", "Mask R-CNN as it comes with cacapp", "maskrcnn", params={"weights": "maskrcnn-nuclei"}),
    Row("dense", "per-pixel student on pseudo-labels", "dense", learns=PSEUDO),
    Row("dense-shipped", "per-pixel student as it comes with cacapp", "dense", params={"weights": "dense-nuclei"}),
    Row("consensus", "majority of dense, maskrcnn and sam as they come", "consensus"),
)

NEGATIVES = {
    "darkest": "darkest pixel of the image",
    "neighbour": "nearest other region",
    "local": "darkest pixel around the region",
    "none": "none",
}


def negatives(host: Host, settings: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the kinds of negative point of the ABLATED row's prompter, with the row of each; first the kind that ABLATED uses.

    Args:
        settings: the user's parameters of that prompter.
    """
    prompter = next((r for r in host.algorithms("prompter") if r.name == defaults.PROMPTER), None)
    parameter = prompter.cls.model_fields.get("negative") if prompter else None
    if parameter is None:
        return {}
    default = str((settings or {}).get("negative", parameter.default))
    return {default: ABLATED} | {kind: f"sam-{kind}" for kind in get_args(parameter.annotation) if kind != default}


def rows_of(host: Host, settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[Row]:
    """Return the table's rows, those with other negative points, and one for every other installed prompter (alone) and segmenter.

    A trainable segmenter has a second row, trained on pseudo-labels.

    Args:
        settings: the user's parameters by algorithm.
    """
    prompters = {r.name: r for r in host.algorithms("prompter")}
    segmenters = {r.name: r for r in host.algorithms("segmenter")}
    known_prompters, known_segmenters = {row.prompter for row in ROWS}, {row.segmenter for row in ROWS}
    others = {name: found for name, found in prompters.items() if name not in known_prompters}
    more = [Row(f"prompter-{name}", f"{name} alone ({_from(found)})", "coarse", name) for name, found in others.items()]
    for name, found in segmenters.items():
        if name not in known_segmenters:
            prompted = f", prompted by {defaults.PROMPTER}" if getattr(found.cls, "needs_prompts", True) else ""
            more.append(Row(f"segmenter-{name}", f"{name}{prompted} ({_from(found)})", name))
            if issubclass(found.cls, TrainableSegmenter):
                more.append(Row(f"{name}-pseudo", f"{name} on pseudo-labels ({_from(found)})", name, learns=PSEUDO))
    rows = list(ROWS)
    at = next(n for n, row in enumerate(rows, 1) if row.key == ABLATED)
    rows[at:at] = [
        Row(key, f"SAM, default model, watershed, negative point: {NEGATIVES.get(kind, kind)}", "sam", prompter_params={"negative": kind})
        for kind, key in negatives(host, (settings or {}).get(defaults.PROMPTER)).items()
        if key != ABLATED
    ]
    return rows + more


def requirements(host: Host, row: Row) -> list[str]:
    """Return what a row needs beyond images with labels, and how to get what is missing; empty where it runs as it is."""
    found = next((r for r in host.algorithms("segmenter") if r.name == row.segmenter), None)
    if found is None:
        return [f"segmenter {row.segmenter}, which is not installed: {row.get}"]
    if row.learns == HUMAN:
        return ["--train DIR with labels/ drawn by a person", "time to train"]
    if row.learns == PSEUDO:
        return ["time to train, on the images of --train DIR or, without it, on those measured"]
    name = next((f for f in WEIGHTS_FIELDS if f in found.cls.model_fields), None)
    if name is None:
        return []
    weights = str(row.params.get(name, found.cls.model_fields[name].default))
    entry = entries().get(weights)
    if entry is None:  # a plugin names its weights itself
        return [f"weights {weights}, which are not here: {row.get}"] if found.distribution == "cacapp" else []
    if where(entry) in ("embedded", "here"):
        return [] if entry.embedded else [f"weights {weights}"]
    return [f"weights {weights}, which are not here: {row.get if entry.embedded else f'cacapp weights pull {weights}'}"]


def _from(found: Registered) -> str:
    return f"{found.distribution} {found.version}"
