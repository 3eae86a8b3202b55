"""The algorithms and the assay that are taken where none is named."""

PROMPTER = "watershed"
SEGMENTER = "sam"
FILTERS = ("single-cell",)
DETECTOR = "log"
ASSAY = "katz-4color"
