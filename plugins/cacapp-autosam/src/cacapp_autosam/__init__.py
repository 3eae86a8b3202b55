"""Segmenter plugin for cacapp: AutoSAM (Shaharabany et al. 2023) for many nuclei."""

from cacapp import Segmenter, hookimpl


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp_autosam.segmenter import AutoSam

    return [AutoSam]
