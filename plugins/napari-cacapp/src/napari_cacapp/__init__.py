"""Slides of a cacapp record in napari. Research use only."""

__version__ = "0.1.0"
