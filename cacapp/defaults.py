"""Default algorithms and assay."""

PROMPTER = "watershed"
SEGMENTER = "sam"
FILTERS = ("single-cell",)
DETECTOR = "log"
ASSAY = "katz-4color"
