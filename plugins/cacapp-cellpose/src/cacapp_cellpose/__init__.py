"""Segmenter plugin for cacapp: Cellpose 3 (Stringer et al. 2021, Stringer and Pachitariu 2025)."""

from cacapp import Segmenter, hookimpl


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp_cellpose.segmenter import Cellpose

    return [Cellpose]
