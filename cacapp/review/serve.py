"""Start of the review server: picture cache, account of the single user, uvicorn."""

from __future__ import annotations

import getpass
import hashlib
import re
from contextlib import suppress
from pathlib import Path

from cacapp.db.engine.session import Database
from cacapp.db.review.accounts import account_named, new_secret
from cacapp.exceptions import CacappError, UsageError
from cacapp.review.settings import Settings
from cacapp.steps.review.accounts import add_account
from cacapp.steps.review.roles import OWNER

STOP_S = 3
KEEP_ALIVE_S = 75
"""Longer than browsers and proxies keep an idle connection, so that they close it: a request sent while we close it would be lost."""


def cache_folder(db: Database, given: Path | None) -> Path:
    """Create the folder for this database's pictures, readable by the user alone. Raises CacappError if that fails."""
    from platformdirs import user_cache_path

    name = hashlib.sha256(f"{Path(str(db)).resolve() if '://' not in str(db) else db}".encode()).hexdigest()[:16]
    folder = (given or user_cache_path("cacapp") / "review") / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise CacappError(f"{folder} cannot be created: {error.strerror or error}; name another folder with --cache") from None
    return folder


def owner_account(db: Database, given: str | None) -> tuple[str, str]:
    """Return the single user's account, created if missing, and the secret of the one-time link.

    Raises UsageError for an account that is disabled or has another role.
    """
    name = given or re.sub(r"[^a-z0-9._-]", "", _login_name().lower()).lstrip("._-")[:40] or OWNER
    with db.reading() as session:
        account = account_named(session, name)
    if account is None:
        add_account(db, name, OWNER, None)
    elif account.role != OWNER or not account.active:
        raise UsageError(f"account {name} is a {account.role}'s{'' if account.active else ' and disabled'}; name another with --user")
    return name, new_secret()


def serve(db: Database, settings: Settings, host: str, port: int, once: str | None) -> None:
    """Serve until SIGINT or SIGTERM. Raises CacappError if the address is in use or not allowed."""
    import uvicorn

    from cacapp.review.app import create_app

    config = uvicorn.Config(
        create_app(db, settings, once),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        timeout_graceful_shutdown=STOP_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    try:
        with suppress(KeyboardInterrupt):  # uvicorn has shut down by then and raises the signal again
            server.run()
    except SystemExit:
        raise CacappError(f"port {port} of {host} is not available, another program may use it; choose another with --port") from None
    finally:
        db.dispose()


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return OWNER
