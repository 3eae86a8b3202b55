"""Readers of the formats that cacapp knows itself: TIFF and OME-TIFF, OME-Zarr, pictures."""
