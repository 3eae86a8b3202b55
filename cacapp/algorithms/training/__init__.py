"""Training of segmenters: samples at working scale, crops of them, and the training loop."""
