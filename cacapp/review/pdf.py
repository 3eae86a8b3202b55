"""The report page on paper."""

from __future__ import annotations

from cacapp.exceptions import CacappError


def pdf_of(html: str) -> bytes:
    """A self-contained HTML page as a PDF. It may fetch nothing: its pictures are data URIs.

    Raises CacappError where WeasyPrint cannot run.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:
        raise CacappError(f"a PDF needs WeasyPrint and its libraries (Debian: libpango-1.0-0 libpangoft2-1.0-0): {error}") from None
    return bytes(HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=["data"])).write_pdf())
