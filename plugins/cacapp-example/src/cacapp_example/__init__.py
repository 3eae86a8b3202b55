"""cacapp-example: prompter, segmenter, filter, signal-detector for cacapp."""
