"""Nuclei in the formats of other programs: OME-Zarr labels, GeoJSON, COCO and ImageJ ROIs, written and read."""
