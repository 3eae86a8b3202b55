"""cacapp-example: prompter, segmenter, filter, signal-detector, reader for cacapp."""
