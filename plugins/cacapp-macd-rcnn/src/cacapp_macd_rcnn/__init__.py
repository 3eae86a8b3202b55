"""Segmenter plugin for cacapp: MACD R-CNN (Ma et al. 2020)."""

from cacapp import Segmenter, hookimpl


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp_macd_rcnn.segmenter import MacdRcnn

    return [MacdRcnn]
