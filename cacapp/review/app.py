"""The web application: routes, middleware and error responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from cacapp import __version__
from cacapp.db.engine.session import Database
from cacapp.exceptions import CacappError, UsageError
from cacapp.review import api
from cacapp.review.authorisation import Forbidden, NotLoggedIn
from cacapp.review.context import ReviewContext
from cacapp.review.lanes import Busy, all_lanes
from cacapp.review.live import Live
from cacapp.review.not_found import NotFound
from cacapp.review.pages import account, assets, cell, frame, gallery, login, patient, readings, report, worklist
from cacapp.review.prefetch import Prefetcher
from cacapp.review.render import page
from cacapp.review.reports import Reports
from cacapp.review.security import SecurityMiddleware
from cacapp.review.settings import Settings
from cacapp.steps.review.accounts import Throttled
from cacapp.steps.review.decide import ConflictError

PAGES = (login, worklist, gallery, cell, frame, patient, report, readings, account, assets)
API = "/api/v1"
READ_WAIT_S = 0.5
"""Longest wait of a page for a program that locks readers out too; then it says so."""

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotLoggedIn, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (ConflictError, 409),
    (Throttled, 429),
    (Busy, 429),
    (UsageError, 422),
    (CacappError, 503),
)
TITLES = {
    400: "The request was not understood",
    401: "Log in",
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed",
    409: "Changed in the meantime",
    422: "Not possible",
    429: "Too many requests",
    503: "Not available",
}


def create_app(db: Database, settings: Settings, once: str | None = None) -> FastAPI:
    """Create the application. ``once``: the secret of the one-time link in single-user mode."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.ended = asyncio.Event()
        prefetcher = Prefetcher(app.state.context, settings.prefetch_threads)
        prefetcher.start()
        yield
        app.state.ended.set()
        prefetcher.stop()
        app.state.reports.stop()
        app.state.later.flush()

    app = FastAPI(
        title="cacapp review",
        version=__version__,
        description="Patients, slides, cells and reviews of a cacapp record. Research use only.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    db.limit_read_wait(READ_WAIT_S)
    app.state.db = db
    app.state.lanes = all_lanes()
    app.state.reports = Reports(db, settings)
    app.state.settings = settings
    app.state.context = ReviewContext(db, settings)
    app.state.later = app.state.context.later
    app.state.live = Live(db)
    app.state.once = once
    app.state.ended = asyncio.Event()
    for module in PAGES:
        app.include_router(module.router)
    app.include_router(api.router, prefix=API)
    app.add_middleware(SecurityMiddleware, hosts=settings.hosts, https=settings.https)
    app.add_exception_handler(CacappError, _cacapp_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


def _cacapp_error(request: Request, error: Exception) -> Response:
    status = next(code for kind, code in STATUS if isinstance(error, kind))
    return _problem(request, status, str(error))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {404: "there is nothing under this address", 405: "this address does not accept this method"}.get(
        error.status_code, str(error.detail)
    )
    return _problem(request, error.status_code, message)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return _problem(request, 422, f"{where}: {first['msg']}" if where else str(first["msg"]))


def _problem(request: Request, status: int, message: str) -> Response:
    """Return the error as JSON to scripts, as a page to browsers."""
    if request.url.path.startswith(API):
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return JSONResponse({"detail": message}, status, headers)
    scripted = request.headers.get("hx-request") == "true" or "text/html" not in request.headers.get("accept", "")
    if status == 401:
        if scripted:
            return JSONResponse({"detail": message}, 401, {"HX-Redirect": "/login"})
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='')}" if target != "/" else "/login", 303)
    if scripted:
        return JSONResponse({"detail": message}, status)
    return page(request, "error.html.j2", None, status=status, code=status, title=TITLES.get(status, "Error"), message=message)
