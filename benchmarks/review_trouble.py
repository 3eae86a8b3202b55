"""Trouble in the middle of the load test of `cacapp review`: a locked database, and PDFs that are asked for at that moment."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path

LONGEST_S = 1.0
"""Longest answer: the PDF, or its place in the queue."""


class Trouble(threading.Thread):
    """Locks the database for some seconds in the middle of the test, and asks for PDFs when the lock begins, as two people in turn."""

    def __init__(self, db: Path, url: str, seconds: int, locked: int, pdfs: int, names: list[str], password: str) -> None:
        super().__init__(daemon=True)
        self.password = password
        self.db, self.url, self.wait_s, self.locked, self.pdfs = db, url, (seconds - locked) / 2, locked, pdfs
        self.came: list[float] = []
        self.answered: list[float] = []
        self.failed: list[str] = []
        self.browsers = [self._browser(names[n % len(names)]) for n in range(pdfs)]

    def run(self) -> None:
        if not (self.locked or self.pdfs):
            return
        time.sleep(self.wait_s)
        with closing(sqlite3.connect(self.db, isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            print(f"{time.strftime('%H:%M:%S')} the database is locked for {self.locked} s, and {self.pdfs} PDFs are asked for", flush=True)
            printing = [threading.Thread(target=self._print, args=(browser,)) for browser in self.browsers]
            for one in printing:
                one.start()
            time.sleep(self.locked)
            other.execute("ROLLBACK")
        for one in printing:
            one.join()

    def _browser(self, name: str) -> urllib.request.OpenerDirector:
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        page = browser.open(f"{self.url}/login", timeout=60).read().decode()
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        form = {"name": name, "password": self.password, "csrf_token": token[1] if token else ""}
        browser.open(f"{self.url}/login", urllib.parse.urlencode(form).encode(), timeout=60).read()
        return browser

    def _print(self, browser: urllib.request.OpenerDirector) -> None:
        started = time.monotonic()
        while time.monotonic() - started < 1200:
            asked = time.monotonic()
            try:
                answer = browser.open(f"{self.url}/patients/1/report.pdf", timeout=120)
                body = answer.read()
            except OSError as error:
                self.failed.append(repr(error))
                return
            self.answered.append(time.monotonic() - asked)
            if answer.status == 200:
                self.came.append(time.monotonic() - started)
                if not body.startswith(b"%PDF-"):
                    self.failed.append(f"no PDF: {body[:80]!r}")
                return
            time.sleep(1)
        self.failed.append("no PDF within 20 minutes")

    def report(self) -> int:
        """Print the PDFs' times and what the audit trail says; return 1 if one failed, is missing or was written down twice."""
        if not self.pdfs:
            return 0
        with closing(sqlite3.connect(self.db)) as raw:
            (written,) = raw.execute("SELECT count(*) FROM audit_event WHERE action = 'report taken as PDF'").fetchone()
        print(
            f"{len(self.came)} of {self.pdfs} PDFs came, the first after {min(self.came, default=0):.0f} s, the last after "
            f"{max(self.came, default=0):.0f} s; {written} in the audit trail; longest answer {1000 * max(self.answered, default=0):.0f} ms"
        )
        for line in self.failed:
            print(f"failed: {line}")
        slow = max(self.answered, default=0) > LONGEST_S
        return 1 if self.failed or slow or not len(self.came) == self.pdfs == written else 0
