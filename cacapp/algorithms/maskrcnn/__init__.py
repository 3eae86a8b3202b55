"""Segmenter ``maskrcnn``: torchvision's Mask R-CNN, taught by pseudo-labels."""
