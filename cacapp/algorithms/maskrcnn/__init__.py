"""Segmenter ``maskrcnn``: torchvision's Mask R-CNN, trained on pseudo-labels."""
