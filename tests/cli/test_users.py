"""Accounts on the command line, and how `cacapp review` starts or says why not."""

from __future__ import annotations

import importlib.util
import io
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from cacapp.cli import review as command
from cacapp.db.engine.session import Database, open_database
from cacapp.db.review.accounts import account_of_token, require_account, sha256
from cacapp.db.review.readings import events
from cacapp.db.tables import now
from cacapp.exceptions import CacappError
from cacapp.steps.review.accounts import add_account, verify_password

Cacapp = Callable[..., Any]
LONG = "four words and more"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What comes on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_an_account_is_added_listed_disabled_enabled_and_gets_a_new_password(cacapp: Cacapp, typed: Callable[[str], None]) -> None:
    typed(f"{LONG}\n")
    assert cacapp("users", "add", "rita", "--role", "reviewer").out == "account rita, reviewer\n"
    assert [(u["name"], u["role"], u["active"]) for u in cacapp("users", "list", "--json").json] == [("rita", "reviewer", True)]
    db = open_database("cacapp.db")
    assert verify_password(db, "rita", LONG, "here") is not None
    assert cacapp("users", "disable", "rita").code == 0
    assert verify_password(db, "rita", LONG, "here") is None
    assert "disabled" in cacapp("users", "list").out
    assert cacapp("users", "enable", "rita").code == 0
    typed("another four words\n")
    assert cacapp("users", "passwd", "rita").code == 0
    assert verify_password(db, "rita", LONG, "here") is None
    assert verify_password(db, "rita", "another four words", "here") is not None
    assert cacapp("users", "role", "rita", "--role", "pathologist").out == "account rita, pathologist; its sessions and tokens are ended\n"
    assert cacapp("users", "role", "rita", "--role", "king").code == 2
    assert [u["role"] for u in cacapp("users", "list", "--json").json] == ["pathologist"]
    with db.reading() as session:
        kept = require_account(session, "rita").password_hash
    assert kept is not None
    assert kept.startswith("$argon2id$")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("name", "role", "password", "words"),
    [
        ("rita", "king", LONG, "choose one of viewer"),
        ("Rita Levi", "viewer", LONG, "small letters"),
        ("rita", "viewer", "short", "10 to 200 characters"),
        ("rita-montalcini", "viewer", "rita-montalcini", "too easy"),
        ("rita", "owner", LONG, "choose one of viewer"),
    ],
)
def test_a_bad_name_role_or_password_is_refused_in_one_line(
    cacapp: Cacapp, typed: Callable[[str], None], name: str, role: str, password: str, words: str
) -> None:
    typed(f"{password}\n")
    ended = cacapp("users", "add", name, "--role", role)
    assert ended.code == 2
    assert len(ended.lines("error")) == 1
    assert words in ended.err


@pytest.mark.sqlite_only
def test_a_name_is_taken_once_and_an_unknown_one_is_named(cacapp: Cacapp, typed: Callable[[str], None]) -> None:
    typed(f"{LONG}\n{LONG}\n")
    cacapp("users", "add", "rita", "--role", "viewer")
    assert "already" in cacapp("users", "add", "rita", "--role", "viewer").err
    assert "there is no account nobody" in cacapp("users", "disable", "nobody").err


@pytest.mark.sqlite_only
def test_without_accounts_the_server_says_what_to_do(counted: Cacapp) -> None:
    ended = counted("review", "--port", "1")
    assert (ended.code, "cacapp users add" in ended.err, "--single-user" in ended.err) == (1, True, True)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--single-user", "--host", "0.0.0.0"), "open to others"),
        (("--user", "olga"), "goes with --single-user"),
        (("--single-user", "--user", "rita"), "is a reviewer's"),
    ],
)
def test_single_user_mode_stays_on_this_computer_and_takes_nobodys_account(counted: Cacapp, options: tuple[str, ...], words: str) -> None:
    add_account(open_database("cacapp.db"), "rita", "reviewer", LONG)
    ended = counted("review", *options)
    assert ended.code == 2
    assert words in ended.err


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_port_in_use_is_one_line(counted: Cacapp, monkeypatch: pytest.MonkeyPatch) -> None:
    add_account(open_database("cacapp.db"), "rita", "reviewer", LONG)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = subprocess.run(
            [sys.executable, "-m", "cacapp", "review", "--port", str(taken.getsockname()[1]), "--cache", "pictures"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    assert "choose another with --port" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.sqlite_only
def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "fastapi" else real(name, *a))
    with pytest.raises(CacappError, match=r"pip install 'cacapp\[review\]'"):
        command.require_extra()


@pytest.fixture
def rita(record_url: str, cacapp: Cacapp) -> Database:
    """A database with a reviewer named rita and an auditor named adam."""
    db = open_database(record_url)
    add_account(db, "rita", "reviewer", LONG)
    add_account(db, "adam", "admin", LONG)
    return db


def owner_of(db: Database, secret: str) -> str | None:
    with db.reading() as session:
        found = account_of_token(session, sha256(secret))
        return None if found is None else found[1].name


@pytest.mark.slow
def test_a_token_is_printed_alone_and_once_and_ends_when_it_is_revoked(cacapp: Cacapp, rita: Database) -> None:
    ended = cacapp("users", "token", "rita", "--label", "notebook", "--write")
    secret = ended.out.removesuffix("\n")
    assert (ended.code, len(secret.split()), owner_of(rita, secret)) == (0, 1, "rita")
    assert "reads and decides on cells" in ended.err
    (listed,) = cacapp("users", "tokens", "rita", "--json").json
    assert (listed["label"], listed["can_write"], listed["state"]) == ("notebook", True, "active")
    assert secret not in cacapp("users", "tokens", "rita").out + str(listed)
    assert "has no token" in cacapp("users", "token", "adam", "--revoke", listed["token"]).err
    assert owner_of(rita, secret) == "rita"
    revoked = cacapp("users", "token", "rita", "--revoke", listed["token"])
    assert (revoked.code, revoked.out, owner_of(rita, secret)) == (0, "", None)
    assert "revoked" in cacapp("users", "tokens", "rita").out
    with rita.reading() as session:
        trail = [(e.action, e.account.endswith("at the command line")) for e in events(session, limit=10)]
    assert trail[:2] == [("token revoked", True), ("token made", True)]


def test_a_token_lasts_as_long_as_asked_and_the_page_allows(cacapp: Cacapp, rita: Database) -> None:
    for days in ((), ("--days", "2")):
        assert cacapp("users", "token", "rita", *days).code == 0
    short, usual = (datetime.fromisoformat(t["expires_at"]) for t in cacapp("users", "tokens", "rita", "--json").json)
    assert [round((at - now()).total_seconds() / 86400) for at in (short, usual)] == [2, 90]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nobody",), "there is no account nobody"),
        (("adam", "--write"), "may not decide on cells"),
        (("rita", "--days", "367"), "1 to 366 days"),
        (("rita", "--days", "0"), "1 to 366 days"),
        (("rita", "--label", " "), "1 to 100 printable characters"),
        (("rita", "--label", "x" * 101), "1 to 100 printable characters"),
        (("rita", "--revoke", "5"), "has no token 5"),
    ],
)
def test_a_token_that_may_not_be_is_refused_in_one_line(cacapp: Cacapp, rita: Database, options: tuple[str, ...], words: str) -> None:
    ended = cacapp("users", "token", *options)
    assert (ended.code, ended.out, len(ended.lines("error"))) == (2, "", 1)
    assert words in ended.err


def test_a_disabled_account_gets_no_token(cacapp: Cacapp, rita: Database) -> None:
    secret = cacapp("users", "token", "rita").out.strip()
    assert cacapp("users", "disable", "rita").code == 0
    assert owner_of(rita, secret) is None
    assert "is disabled" in cacapp("users", "token", "rita").err


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("options", "words"),
    [(("--proxy", "127.0.0.1"), "goes with --behind-tls"), (("--behind-tls", "--proxy", "proxy.example"), "give an IP address")],
)
def test_a_proxy_is_an_address_and_needs_tls(cacapp: Cacapp, typed: Callable[[str], None], options: tuple[str, ...], words: str) -> None:
    typed(f"{LONG}\n")
    cacapp("users", "add", "rita", "--role", "reviewer")
    ended = cacapp("review", *options)
    assert (ended.code, words in ended.err) == (2, True)
