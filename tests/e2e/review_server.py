"""`cacapp review` in a process of its own, and a browser that walks through it."""

from __future__ import annotations

import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cacapp.db.engine.session import Database, open_database

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (apt-get install chromium)")
SCREENS = ((1440, "dark"), (1024, "light"), (380, "dark"))
"""Widths in px with a theme: each page is looked at in all of them."""
PROGRAM = (sys.executable, "-m", "cacapp")
PASSWORD = "four words and more"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A running server on a record of its own."""

    db: Database
    path: Path
    url: str
    process: subprocess.Popen[str]


def started(folder: Path, db: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """`cacapp review` in a process of its own, and the address it printed, once it answers."""
    command = [*PROGRAM, "review", "--db", str(db), "--port", str(free_port()), "--cache", str(folder / "pictures"), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found is not None, line + process.stdout.read()
    home = re.sub(r"(:\d+)/.*", r"\1", found[0])
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{home}/healthz", timeout=2)
            return process, found[0]
        except OSError:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def copied(source: Path, path: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(path)) as copy:
        old.backup(copy)


@contextmanager
def serving(record: Path, folder: Path, *options: str) -> Iterator[Server]:
    path = folder / "cacapp.db"
    copied(record, path)
    process, url = started(folder, path, *options)
    db = open_database(path)
    try:
        yield Server(db, path, url, process)
    finally:
        process.terminate()
        process.wait(20)
        db.dispose()


class Walk:
    """A page that remembers every error its console showed."""

    def __init__(self, browser: Any, url: str, width: int = 1440, theme: str = "dark", *, tested: bool = False) -> None:
        # axe is a script of the test's, which our own policy would not let in
        context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=tested)
        if theme != "dark":
            context.add_init_script(f"localStorage.setItem('theme', '\"{theme}\"')")
        self.page = context.new_page()
        self.url = url
        self.errors: list[str] = []
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.errors.append(m.text))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        self.open("/")
        self.page.fill("[name=name]", name)
        self.page.fill("[name=password]", password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#worklist")
        self.page.wait_for_load_state("load")  # its keys are heard from then on

    def key(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def faults(self) -> list[tuple[str, str]]:
        """What axe-core finds serious on the page: the rule and the element."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]

    def fits(self) -> bool:
        """Whether nothing has to be scrolled sideways."""
        wide = "e => e.scrollWidth <= e.clientWidth + 1"
        return all(self.page.locator(part).evaluate(wide) for part in ("html", "main"))

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))
