"""SEEM (Zou et al. 2023), a user's own, behind a segmenter of cacapp."""

from cacapp import Segmenter, hookimpl


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp_seem.segmenter import Seem

    return [Seem]
