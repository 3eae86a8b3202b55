"""Segment Anything: networks and the segmenters that use them. Importing this package imports no torch."""
