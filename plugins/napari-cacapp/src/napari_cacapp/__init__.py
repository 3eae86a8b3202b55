"""Plugin for napari: slides of a cacapp database. Research use only."""

__version__ = "0.1.0"
