"""Frames in an object store or on a web server: check addresses, list folders and download files, through fsspec."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames.file import IMAGES
from cacapp.frames.scene import first_line
from cacapp.readers.quiet_libraries import quiet_libraries
from cacapp.readers.zarr_folder import MARKERS

# fsspec's other protocols open archives, run remote shells or read from memory: frames are stored in none of them. Where
# aicsimageio can be installed, fsspec is the old one that it takes, and a driver has to be of the same time.
_OF_FSSPEC = "<2023.9" if sys.version_info < (3, 13) else ""
DRIVERS: Mapping[str, str] = {
    **dict.fromkeys(("s3", "s3a"), f"'s3fs{_OF_FSSPEC}'"),
    **dict.fromkeys(("gs", "gcs"), f"'gcsfs{_OF_FSSPEC}'"),
    **dict.fromkeys(("az", "abfs", "abfss"), f"'adlfs{_OF_FSSPEC}'"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    "ftp": "fsspec",
    "sftp": "paramiko",
}
"""Supported protocols, and the package to install for each."""

CONNECT_S = 30.0
READ_S = 60.0
"""A web server that sends nothing for this long has failed; a slow one has not."""

_WEB = ("http", "https")
_NAMES_A_USER = ("ftp", "sftp", "az", "abfs", "abfss")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]*)://(.*)", re.DOTALL)
_MAX_DEPTH = 32


def is_remote(place: str) -> bool:
    """Return whether text is an address (``s3://bucket/slide``) and not a path."""
    return _ADDRESS.match(place) is not None


def check_address(uri: str) -> str:
    """Return the address in its plain form: no slash at its end, and for web servers percent signs only where they are needed.

    Raises:
        UsageError: a protocol that is not read, or an address with a password, a signature or steps out of its folder. The line shows
            no secret.
    """
    match = _ADDRESS.match(uri)
    if match is None:
        raise UsageError(f"{uri}: no address; it needs ://")
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        raise UsageError(f"{uri}: write the path itself, without file://")
    if scheme not in DRIVERS:
        raise UsageError(f"{scheme}:// is not read; read are {', '.join(f'{s}://' for s in DRIVERS)} and paths")
    place, _, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if ":" in user or (at and scheme not in _NAMES_A_USER) or not re.fullmatch(r"[^:\s]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?", host):
        raise UsageError(
            f"{scheme}://...: an address with a password or without a host; the record would keep the password: leave it out, "
            "and give it where the driver looks for it (environment, ~/.aws, ~/.netrc, ~/.config/fsspec)"
        )
    if "?" in rest or "#" in rest:
        raise UsageError(
            f"{scheme}://{rest.split('?')[0].split('#')[0]}: a ? or # in the address; a signed link holds a secret that the record would "
            "keep: name the file plainly, and give the credentials where the driver looks for them"
        )
    parts = [unquote(p) if scheme in _WEB else p for p in path.rstrip("/").split("/")] if path.rstrip("/") else []
    if any(p in ("", ".", "..") or any(c in "/\\" or ord(c) < 32 for c in p) for p in parts):
        raise UsageError(
            f"{f'{scheme}://{place}/{path}'!r}: no part of an address may be empty, . or .., nor hold \\ or control characters"
        )
    return as_uri(Path(f"{scheme}:", place, *parts))


def as_path(uri: str) -> Path:
    """Convert a checked address to a path, for the names of files and folders. ``as_uri`` converts it back."""
    scheme, _, rest = uri.partition("://")
    return Path(f"{scheme}:", unquote(rest) if scheme in _WEB else rest)


def as_uri(path: Path) -> str:
    """Convert a path of ``as_path`` back to an address; an absolute path to its text."""
    if path.is_absolute():
        return str(path)
    scheme, *parts = path.parts
    if scheme[:-1] in _WEB:
        parts = [parts[0], *(quote(p, safe="!$&'()*+,;=:@{}") for p in parts[1:])]
    return f"{scheme}//{'/'.join(parts)}"


def images_below(uri: str) -> list[str]:
    """Return the addresses of the images and OME-Zarr folders below an address, sorted, without hidden ones.

    Raises:
        UsageError: the protocol's driver is not installed.
        CacappError: the folder or one below it cannot be listed; the line follows the address.
    """
    with _access():
        store, root = _store(uri)
        store.invalidate_cache()
        return [uri + name for name in _images(store, root.rstrip("/"), "", 0)]


def is_image(uri: str) -> bool:
    """Return whether an address names an image file by its suffix; others are folders."""
    return uri.lower().endswith(IMAGES)


def fetch(uri: str, target: Path) -> None:
    """Copy a file, or an OME-Zarr folder, to a path that does not exist yet.

    Raises:
        UsageError: the protocol's driver is not installed.
        CacappError: it is not there or cannot be read; the line follows the address.
        OSError: the copy cannot be written.
    """
    with _access():
        store, root = _store(uri)
        if is_image(uri):
            store.get_file(root, str(target))
            return
        root, empty = root.rstrip("/"), True
        for name in _files(store, root, "", 0):
            file = target / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(root + name, str(file))
            empty = False
        if empty:
            raise FileNotFoundError


def _store(uri: str) -> tuple[Any, str]:
    """Return fsspec's file system for a checked address, and the path in it."""
    import fsspec

    scheme = uri.partition("://")[0]
    options: dict[str, Any] = {}
    if scheme in _WEB:
        try:
            import aiohttp
        except ImportError as error:
            raise _no_driver(scheme) from error
        # the driver's own limit is five minutes a file, however steadily it comes
        options["client_kwargs"] = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)}
    try:
        store, root = fsspec.core.url_to_fs(uri, **options)
    except ImportError as error:
        raise _no_driver(scheme) from error
    return store, str(root)


def _no_driver(scheme: str) -> UsageError:
    return UsageError(f"{scheme}:// needs a driver that is not installed: pip install {DRIVERS[scheme]}")


def _entries(store: Any, folder: str) -> Iterator[tuple[str, bool]]:
    """Yield (name, whether a folder) of the entries of a folder, sorted, without a web page's links to elsewhere."""
    found: dict[str, bool] = {}
    for entry in store.ls(folder, detail=True):
        path = str(entry["name"])
        name = path.rstrip("/").removeprefix(folder + "/").removeprefix("./")
        inside = path.startswith(folder + "/") and name and not re.search(r"[/\\?#\x00-\x1f]", unquote(name)) and name not in (".", "..")
        if inside:
            found[name] = entry["type"] == "directory"
    yield from sorted(found.items())


def _images(store: Any, root: str, below: str, depth: int) -> Iterator[str]:
    entries = dict(_entries(store, root + below))
    if any(marker in entries for marker in MARKERS):
        yield below
        return
    for name, folder in entries.items():
        if name.startswith("."):
            continue
        if folder and name.endswith(".zarr"):
            yield f"{below}/{name}"
        elif folder and depth < _MAX_DEPTH:
            yield from _images(store, root, f"{below}/{name}", depth + 1)
        elif not folder and name.lower().endswith(IMAGES):
            yield f"{below}/{name}"


def _files(store: Any, root: str, below: str, depth: int) -> Iterator[str]:
    for name, folder in _entries(store, root + below):
        if folder and depth < _MAX_DEPTH:
            yield from _files(store, root, f"{below}/{name}", depth + 1)
        elif not folder:
            yield f"{below}/{name}"


@contextmanager
def _access() -> Iterator[None]:
    """Translate a driver's error into one line that follows the address."""
    try:
        with quiet_libraries():
            yield
    except CacappError:
        raise
    except FileNotFoundError:
        raise CacappError("is missing in the store; put it back where it was") from None
    except PermissionError:
        raise CacappError("may not be read with these credentials; give others where the driver looks for them") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
            raise  # the disk here, not the store
        _forget()
        raise CacappError(f"cannot be fetched ({first_line(error)}); is the store up, and are the credentials right?") from error


def _forget() -> None:
    """Close connections that may be dead; the next access opens new ones."""
    import fsspec

    for protocol in DRIVERS:
        if protocol in fsspec.registry:
            fsspec.get_filesystem_class(protocol).clear_instance_cache()
