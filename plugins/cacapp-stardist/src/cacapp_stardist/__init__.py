"""Segmenter plugin for cacapp: StarDist 2D (Schmidt et al. 2018)."""

from cacapp import Segmenter, hookimpl


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp_stardist.segmenter import StarDist

    return [StarDist]
