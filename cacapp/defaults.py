"""Default algorithms and assay."""

PROMPTER = "watershed"
SEGMENTER = "dense"
FILTERS = ("single-cell",)
DETECTOR = "log"
ASSAY = "katz-4color"
