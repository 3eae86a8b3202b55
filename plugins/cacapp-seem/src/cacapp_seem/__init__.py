"""Segmenter plugin for cacapp: the user's installation of SEEM (Zou et al. 2023)."""

from cacapp import Segmenter, hookimpl


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp_seem.segmenter import Seem

    return [Seem]
