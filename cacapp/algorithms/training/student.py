"""Base of cacapp's trainable segmenters: common parameters of use and of training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from cacapp.api import Field, TrainableSegmenter

if TYPE_CHECKING:
    from cacapp.algorithms.training.recipe import Recipe


class Student(TrainableSegmenter):
    """Network that needs no prompts and is trained on pseudo-labels.

    ``beginnings``: weights for ``start="auto"``, in order; the first that is on this machine is used.
    """

    needs_prompts: ClassVar[bool] = False
    beginnings: ClassVar[tuple[str, ...]] = ()
    loads: ClassVar[tuple[str, ...]] = ("torch",)

    weights: str
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device for the network; auto takes a GPU if there is one")
    diameter_px: float = Field(0.0, ge=0, le=2000, description="diameter of a typical nucleus, px; 0: measured on the frame")
    start: str = Field("auto", description="training: initial weights, or none; auto: the shipped ones if installed")
    epochs: int = Field(30, ge=1, le=10_000, description="training: passes over the images")
    crops: int = Field(0, ge=0, description="training: crops per epoch; 0: as many as cover the images, at least 160")
    crop_px: int = Field(256, ge=64, le=2048, multiple_of=32, description="training: side of a crop at the network's scale, px")
    batch: int = Field(8, ge=1, le=512, description="training: crops per step")
    learning_rate: float = Field(8e-4, gt=0, le=1, description="training: peak learning rate of AdamW")
    patience: int = Field(8, ge=0, description="training: epochs without a better AP@0.5 before it ends; 0: never")

    def weights_sha256(self) -> str | None:
        from cacapp.weights.cache import choose

        return choose(self.weights)[1]

    def _recipe(self, network: str, start: tuple[Path | None, str]) -> Recipe:
        from cacapp.algorithms.training.recipe import Recipe

        return Recipe(network, *start, self.epochs, self.crops, self.crop_px, self.batch, self.learning_rate, self.patience)

    def _beginning(self) -> tuple[Path | None, str]:
        """Return the file of initial weights and its digest; (None, "") for random weights."""
        from cacapp.weights.cache import choose, where
        from cacapp.weights.registry import entries

        if self.start == "none":
            return None, ""
        if self.start != "auto":
            return choose(self.start)
        known = entries()
        here = [name for name in self.beginnings if name in known and where(known[name]) in ("embedded", "here")]
        return choose(here[0]) if here else (None, "")
