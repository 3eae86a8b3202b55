"""Who is asking, whether they may, and whether it is really them: sessions, tokens, roles, CSRF, origin."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from cacapp.db.engine.session import Database
from cacapp.db.review.accounts import account_of_token, close_session, session_of, touch_session
from cacapp.db.review.tables import Account
from cacapp.db.tables import now
from cacapp.exceptions import CacappError
from cacapp.review.settings import Settings
from cacapp.steps.review.accounts import OWNER

SESSION_COOKIE, FORM_COOKIE = "cacapp_session", "cacapp_form"
SAFE = ("GET", "HEAD", "OPTIONS")
TOUCH_EVERY = timedelta(seconds=60)

READ, DECIDE, SIGN, AUDIT = "read", "decide", "sign", "audit"
MAY = {
    "viewer": {READ},
    "reviewer": {READ, DECIDE},
    "pathologist": {READ, DECIDE, SIGN},
    "admin": {READ, AUDIT},
    "owner": {READ, DECIDE, SIGN, AUDIT},
}
"""What a role may do. An admin looks after accounts and reads the audit trail; deciding on cells is not theirs."""


class NotLoggedIn(CacappError):  # noqa: N818 - they name what happened
    """Nobody is logged in, or the session is over."""


class Forbidden(CacappError):  # noqa: N818
    """The account's role may not do this, or the request did not come from our own page."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. ``csrf``: what a form of theirs has to carry; "" for a token, which no browser sends by itself."""

    account_id: int
    name: str
    role: str
    csrf: str
    address: str
    can_write: bool = True

    def may(self, what: str) -> bool:
        """Whether the role allows it."""
        return what in MAY[self.role] and (self.can_write or what in (READ, AUDIT))


class Needs:
    """A dependency: lets a request pass whose account may do ``permission``. ``token``: by bearer token instead of a cookie."""

    def __init__(self, permission: str, *, token: bool = False, keeps_awake: bool = True) -> None:
        self.permission = permission
        self.token = token
        self.keeps_awake = keeps_awake

    async def __call__(self, request: Request) -> Visitor:
        if self.token:
            visitor = await run_in_threadpool(_by_token, request)
        else:
            visitor = await run_in_threadpool(_by_cookie, request, self.keeps_awake)
            if request.method not in SAFE:
                require_same_origin(request)
                given = request.headers.get("x-csrf-token") or str((await request.form()).get("csrf_token", ""))
                if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
                    raise Forbidden("this page is out of date; load it again")
        if not visitor.may(self.permission):
            raise Forbidden(f"your role, {visitor.role}, may not do this")
        return visitor


Viewer = Annotated[Visitor, Depends(Needs(READ))]
Reviewer = Annotated[Visitor, Depends(Needs(DECIDE))]
Signer = Annotated[Visitor, Depends(Needs(SIGN))]
Auditor = Annotated[Visitor, Depends(Needs(AUDIT))]
Watcher = Annotated[Visitor, Depends(Needs(READ, keeps_awake=False))]
ApiViewer = Annotated[Visitor, Depends(Needs(READ, token=True))]
ApiReviewer = Annotated[Visitor, Depends(Needs(DECIDE, token=True))]


def csrf_of(secret: str) -> str:
    """The token of a session's forms: follows from the secret and does not betray it."""
    return hmac.new(secret.encode(), b"cacapp csrf", hashlib.sha256).hexdigest()


def require_same_origin(request: Request) -> None:
    """Raises Forbidden for a write that another site's page started."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden("a write from another site is refused")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("a write from another site is refused")


def admitted(settings: Settings, account: Account) -> bool:
    """Whether this server knows the account: an owner, who may do everything, only in the single-user mode that is theirs."""
    return account.active and (account.role != OWNER or account.name == settings.owner)


def address_of(request: Request) -> str:
    """The client's address, for the audit trail and throttling."""
    return request.client.host if request.client else ""


def _by_cookie(request: Request, keeps_awake: bool) -> Visitor:
    db: Database = request.app.state.db
    settings: Settings = request.app.state.settings
    secret = request.cookies.get(SESSION_COOKIE)
    if not secret or len(secret) > 100:
        raise NotLoggedIn("log in first")
    with db.reading() as session:
        found = session_of(session, secret)
    if found is None or not admitted(settings, found[1]):
        raise NotLoggedIn("log in first")
    kept, account = found
    moment = now()
    if moment - kept.last_seen_at > settings.idle or moment - kept.created_at > settings.longest:
        with db.session() as session:
            close_session(session, secret)
        raise NotLoggedIn(f"you were logged out after {int(settings.idle.total_seconds() // 60)} minutes without use")
    if keeps_awake and moment - kept.last_seen_at > min(TOUCH_EVERY, settings.idle / 4):
        with db.session() as session:
            touch_session(session, secret)
    return Visitor(kept.account_id, account.name, account.role, csrf_of(secret), address_of(request))


def _by_token(request: Request) -> Visitor:
    db: Database = request.app.state.db
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret or len(secret) > 100:
        raise NotLoggedIn("send a token: Authorization: Bearer TOKEN; your account page makes one")
    with db.reading() as session:
        found = account_of_token(session, secret)
    if found is None or not admitted(request.app.state.settings, found[1]):
        raise NotLoggedIn("this token is unknown, revoked or too old")
    token, account = found
    return Visitor(token.account_id, account.name, account.role, "", address_of(request), token.can_write)
