"""Messages for locations that cannot be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacapp.db.engine.session import open_database
from cacapp.exceptions import CacappError


def refused(target: Path | str, *, create: bool = True) -> str:
    with pytest.raises(CacappError) as caught:
        open_database(target, create=create)
    assert "\n" not in str(caught.value)
    return str(caught.value)
