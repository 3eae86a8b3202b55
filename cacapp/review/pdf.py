"""The report page on paper."""

from __future__ import annotations

from typing import Any, NoReturn

from cacapp.errors import CacappError


def pdf_of(html: str) -> bytes:
    """A self-contained HTML page as a PDF. It may fetch nothing: its pictures are data URIs.

    Raises CacappError where WeasyPrint cannot run.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import default_url_fetcher
    except (ImportError, OSError) as error:
        raise CacappError(f"a PDF needs WeasyPrint and its libraries (Debian: libpango-1.0-0 libpangoft2-1.0-0): {error}") from None

    def fetch(url: str, *args: Any, **more: Any) -> Any:
        if not url.startswith("data:"):
            _refuse(url)
        return default_url_fetcher(url, *args, **more)

    return bytes(HTML(string=html, url_fetcher=fetch).write_pdf())


def _refuse(url: str) -> NoReturn:
    raise ValueError(f"a report asks for {url[:80]}; it has to be whole by itself")
