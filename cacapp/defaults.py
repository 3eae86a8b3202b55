"""The algorithms and the assay that are taken where none is named."""

PROMPTER = "watershed"
SEGMENTER = "coarse"
FILTERS = ("single-cell",)
DETECTOR = "log"
ASSAY = "katz-4color"
