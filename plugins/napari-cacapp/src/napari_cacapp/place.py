"""Database, slide and reviewer of a napari session."""

from __future__ import annotations

import getpass
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cacapp.db.engine.session import Database, Session, open_database
from cacapp.db.queries import latest_run_ids, slides
from cacapp.db.review.accounts import account_named, accounts
from cacapp.exceptions import CacappError, UsageError
from cacapp.steps.review.roles import DECIDE, PERMISSIONS

REVIEWER = "CACAPP_REVIEWER"


@dataclass(frozen=True, slots=True)
class Place:
    """Database ``db`` (a SQLite file or a URL), ``slide`` (a barcode, None for the only one) and ``reviewer`` (a name or None)."""

    db: str
    slide: str | None = None
    reviewer: str | None = None

    @classmethod
    def of_file(cls, path: str | Path) -> Place:
        """Return the place of a database file, or of a bookmark ``NAME.cacapp.toml`` with ``db``, ``slide`` and optionally ``reviewer``.

        A relative path in a bookmark is relative to its folder.

        Raises:
            CacappError: the file is not a bookmark.
        """
        path = Path(path)
        if path.suffix != ".toml":
            return cls(str(path))
        try:
            content = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CacappError(f"{path}: no bookmark that can be read ({error})") from None
        unknown = set(content) - {"db", "slide", "reviewer"}
        if unknown or "db" not in content or not all(isinstance(value, str) for value in content.values()):
            raise CacappError(f"{path}: a bookmark has the texts db and slide, perhaps reviewer; nothing else")
        db = content["db"] if "://" in content["db"] else str(path.parent / content["db"])
        return cls(db, content.get("slide"), content.get("reviewer"))

    def open(self) -> Database:
        """Open the database. Raises CacappError if there is none."""
        return open_database(self.db, create=False)


def who(given: str | None) -> str:
    """Return the reviewer's name: ``given``, else ``CACAPP_REVIEWER``, else the login name as `cacapp review --single-user` writes it."""
    name = given or os.environ.get(REVIEWER)
    if name:
        return name
    try:
        login = getpass.getuser()
    except OSError:
        login = ""
    return re.sub(r"[^a-z0-9._-]", "", login.lower()).lstrip("._-")[:40] or "owner"


def require_reviewer(session: Session, name: str) -> None:
    """Raise UsageError unless the account may decide on cells; a database without accounts has a single user."""
    account = account_named(session, name)
    if account is None and not accounts(session):
        return
    if account is None or not account.active or DECIDE not in PERMISSIONS[account.role]:
        have = "there is no such account" if account is None else f"it is a {account.role}'s{'' if account.active else ' and disabled'}"
        raise UsageError(f"reviewer {name}: {have}; name one that may decide on cells with {REVIEWER} or in the Save reviews panel")


def chosen(session: Session, barcode: str | None) -> tuple[int, str, int]:
    """Return (slide id, barcode, count run) of a counted slide; ``barcode`` None: of the only one.

    Raises:
        CacappError: there is none, or there are several and none is named.
    """
    found = slides(session, [barcode] if barcode is not None else None)
    counted = latest_run_ids(session, "count", [s.slide.id for s in found if s.slide.id is not None])
    ready = [s for s in found if s.slide.id in counted]
    if not ready:
        raise CacappError(f"{barcode or 'no slide'} is not counted yet" if barcode else "no slide is counted yet; run: cacapp count")
    if len(ready) > 1:
        names = ", ".join(s.slide.barcode for s in ready[:10])
        raise UsageError(f"the record has several slides ({names}); choose one in Plugins > cacapp > Open a slide, or open a bookmark")
    slide_id = ready[0].slide.id
    assert slide_id is not None
    return slide_id, ready[0].slide.barcode, counted[slide_id]
