"""Converter from any format that bioio reads to OME-TIFF frames for cacapp."""
