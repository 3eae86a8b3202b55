"""Login, logout, and the one-time link of single-user mode."""

from __future__ import annotations

import hmac
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cacapp.db.engine.session import Database
from cacapp.db.review.accounts import account_named, close_session, delete_old_sessions, new_secret, open_session, sha256, unchanged
from cacapp.db.review.readings import write_event
from cacapp.db.review.tables import Account
from cacapp.db.tables import now
from cacapp.review.authorisation import (
    FORM_COOKIE,
    SESSION_COOKIE,
    Forbidden,
    NotLoggedIn,
    Viewer,
    address_of,
    admitted,
    require_same_origin,
)
from cacapp.review.forms import Word
from cacapp.review.render import page
from cacapp.review.routing import Route, writes
from cacapp.review.settings import Settings
from cacapp.steps.review.accounts import Throttled, verify_password

router = APIRouter(include_in_schema=False, route_class=Route)
Password = Annotated[str, Form(max_length=1000)]


@router.get("/login")
async def show(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> HTMLResponse:
    """Show the form. Its token is also in a cookie: another site can set neither."""
    token = new_secret()
    answer = page(request, "login.html.j2", None, form_token=token, next=local_path(next), problem=None, name="")
    _set_cookie(request, answer, FORM_COOKIE, token)
    return answer


@router.post("/login")
def log_in(
    request: Request,
    name: Annotated[Word, Form()],
    password: Password,
    csrf_token: Annotated[str, Form(max_length=100)] = "",
    next: Annotated[str, Form(max_length=500)] = "/",
) -> Response:
    """Check name and password and start a session with a new secret, whatever cookie came with the request."""
    require_same_origin(request)
    expected = request.cookies.get(FORM_COOKIE, "")
    if not expected or not hmac.compare_digest(expected.encode("utf-8", "replace"), csrf_token.encode("utf-8", "replace")):
        raise Forbidden("this page is out of date; load it again")
    db: Database = request.app.state.db
    status, problem = 401, "Name or password is wrong."
    try:
        account = verify_password(db, name, password, address_of(request))
    except Throttled as error:
        account, status, problem = None, 429, f"{str(error).capitalize()}."
    if account is not None and not admitted(request.app.state.settings, account):
        account = None
    if account is not None:
        try:
            return enter(request, account, local_path(next))
        except NotLoggedIn as error:
            problem = f"{str(error).capitalize()}."
    return page(request, "login.html.j2", None, status=status, form_token=expected, next=local_path(next), problem=problem, name=name)


@router.post("/logout")
def log_out(request: Request, visitor: Viewer) -> Response:
    """End the session in the browser and on the server."""
    db: Database = request.app.state.db
    with db.session() as session:
        close_session(session, visitor.digest)
        write_event(session, visitor.name, "logged out", address=visitor.address)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(SESSION_COOKIE, path="/")
    return answer


@router.get("/once/{token}")
@writes
def once(request: Request, token: str) -> Response:
    """Log the owner in by the link on the terminal, in single-user mode; it works once."""
    settings: Settings = request.app.state.settings
    link: str | None = request.app.state.once
    if settings.owner is None or link is None or not hmac.compare_digest(link.encode(), token.encode("utf-8", "replace")):
        raise Forbidden("this link was used already or is not this server's; start cacapp review again for a new one")
    request.app.state.once = None
    db: Database = request.app.state.db
    with db.reading() as session:
        account = account_named(session, settings.owner)
    assert account is not None, "made when the server started"
    return enter(request, account, "/")


def enter(request: Request, account: Account, target: str) -> Response:
    """Start a session and redirect to ``target``. Raises NotLoggedIn if the account has changed since its password was checked."""
    db: Database = request.app.state.db
    settings: Settings = request.app.state.settings
    with db.session() as session:
        if not unchanged(session, account):
            raise NotLoggedIn("the account was changed while you logged in; log in again")
        close_session(session, sha256(request.cookies.get(SESSION_COOKIE, "")))
        delete_old_sessions(session, now() - settings.longest)
        secret = open_session(session, account.id)
        write_event(session, account.name, "logged in", address=address_of(request))
    answer = RedirectResponse(target, 303)
    _set_cookie(request, answer, SESSION_COOKIE, secret)
    answer.delete_cookie(FORM_COOKIE, path="/")
    return answer


def local_path(target: str) -> str:
    """Return ``target`` if it is a path of this server, else "/": a login must not redirect to another site."""
    parts = urlsplit(target)
    is_path = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return target if is_path and target.isprintable() and "\\" not in target else "/"


def _set_cookie(request: Request, answer: Response, name: str, value: str) -> None:
    settings: Settings = request.app.state.settings
    answer.set_cookie(name, value, httponly=True, samesite="strict", secure=settings.https, path="/")
