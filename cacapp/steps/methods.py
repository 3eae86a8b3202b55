"""The rows of the benchmark's table: the method paper's, the coarse algorithms alone, and whatever else is installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cacapp.host import Host, Registered

HUMAN = "human labels"
DEFAULT_PROMPTER = "watershed"


@dataclass(frozen=True, slots=True)
class Row:
    """A method of the table.

    Attributes:
        key: its name on the command line and of its result file.
        params: of the segmenter, what makes the row.
        learns: what it is trained on first; None where it is used as it comes.
        get: how to get a segmenter that is not installed.
        paper: Dice in [0, 1] and seconds a frame in Table 1, None where it is not there.
    """

    key: str
    method: str
    segmenter: str
    prompter: str = DEFAULT_PROMPTER
    params: Mapping[str, Any] = field(default_factory=dict)
    learns: str | None = None
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
    Row("maskrcnn", "Mask R-CNN on pseudo-labels", "maskrcnn", paper=(0.8765, 4.19)),
    Row("maskrcnn-human", "Mask R-CNN on human labels", "maskrcnn", learns=HUMAN, paper=(0.9351, 4.19)),
)


def rows_of(host: Host) -> list[Row]:
    """The table's rows, and one for every other prompter (alone) and segmenter that the host has found."""
    prompters = {r.name: r for r in host.algorithms("prompter")}
    segmenters = {r.name: r for r in host.algorithms("segmenter")}
    known_prompters, known_segmenters = {row.prompter for row in ROWS}, {row.segmenter for row in ROWS}
    others = {name: found for name, found in prompters.items() if name not in known_prompters}
    more = [Row(f"prompter-{name}", f"{name} alone ({_from(found)})", "coarse", name) for name, found in others.items()]
    for name, found in segmenters.items():
        if name not in known_segmenters:
            prompted = f", prompted by {DEFAULT_PROMPTER}" if getattr(found.cls, "needs_prompts", True) else ""
            more.append(Row(f"segmenter-{name}", f"{name}{prompted} ({_from(found)})", name))
    return [*ROWS, *more]


def _from(found: Registered) -> str:
    return f"{found.distribution} {found.version}"
