"""Per-pixel segmentation: every pixel of a nucleus votes for its centre."""
