"""What trainable segmenters share: samples at working scale, crops of them, and the loop."""
