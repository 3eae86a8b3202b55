"""Segment Anything: networks and the segmenters that use them. Importing this package does not import torch."""
