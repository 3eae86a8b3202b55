"""The same examples each time."""

from __future__ import annotations

from hypothesis import settings

# no deadline: tests share their machine; the same examples each time: a tolerance is no lottery
settings.register_profile("cacapp", deadline=None, derandomize=True)
settings.load_profile("cacapp")
