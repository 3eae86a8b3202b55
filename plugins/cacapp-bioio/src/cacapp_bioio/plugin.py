"""The hook that cacapp finds through the entry point."""

from __future__ import annotations

from cacapp import Reader, hookimpl


@hookimpl
def cacapp_readers() -> list[type[Reader]]:
    from cacapp_bioio.reader import Bioio

    return [Bioio]
