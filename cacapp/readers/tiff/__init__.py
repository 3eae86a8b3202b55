"""TIFF and OME-TIFF: directories checked, planes read one at a time, metadata of the programs that wrote the file."""
