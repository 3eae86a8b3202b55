"""The error behind a 404 response."""

from __future__ import annotations

from cacapp.exceptions import CacappError


class NotFound(CacappError):  # noqa: N818 - an answer to a request, not a failure
    """There is nothing with this address or id."""
