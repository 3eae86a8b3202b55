"""The report as a PDF."""

from __future__ import annotations

from cacapp.exceptions import CacappError


def pdf_of(html: str) -> bytes:
    """Convert a self-contained HTML page; only data URIs are loaded. Raises CacappError if WeasyPrint cannot run."""
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:
        raise CacappError(f"a PDF needs WeasyPrint and its libraries (Debian: libpango-1.0-0 libpangoft2-1.0-0): {error}") from None
    return bytes(HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=["data"])).write_pdf())
