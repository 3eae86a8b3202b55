"""Any format that bioio reads, as OME-TIFF frames that cacapp reads."""
