"""What is asked for and is not there."""

from __future__ import annotations

from cacapp.exceptions import CacappError


class NotFound(CacappError):  # noqa: N818 - it names what happened
    """There is nothing under this address."""
