"""Reading of frames from files. Channels are read lazily and assigned by name, never by position."""

from cacapp.frames.cache import cached_path, digest_now
from cacapp.frames.channels import DEFAULT_ALIASES, extend_aliases, parse_channels, resolve_channels
from cacapp.frames.choose_reader import Readers
from cacapp.frames.digest import State, add_known_digests, known_digests, sha256_of
from cacapp.frames.discover import discover
from cacapp.frames.grouping import BadFile
from cacapp.frames.open import open_frame
from cacapp.frames.projection import PROJECTIONS
from cacapp.frames.remote import check_address, is_remote

__all__ = [
    "DEFAULT_ALIASES",
    "PROJECTIONS",
    "BadFile",
    "Readers",
    "State",
    "add_known_digests",
    "cached_path",
    "check_address",
    "digest_now",
    "discover",
    "extend_aliases",
    "is_remote",
    "known_digests",
    "open_frame",
    "parse_channels",
    "resolve_channels",
    "sha256_of",
]
