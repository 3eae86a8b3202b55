"""Files to frames: the only importer of aicsimageio. Channels are read lazily; their names are settled at ingest, never by position."""

from cacapp.frames.cache import cached_path, digest_now
from cacapp.frames.channels import DEFAULT_ALIASES, parse_channels, resolve_channels, with_aliases
from cacapp.frames.digest import State, remember, remembered, sha256_of
from cacapp.frames.discover import BadFile, discover
from cacapp.frames.open import open_frame
from cacapp.frames.projection import PROJECTIONS
from cacapp.frames.remote import check_address, is_remote

__all__ = [
    "DEFAULT_ALIASES",
    "PROJECTIONS",
    "BadFile",
    "State",
    "cached_path",
    "check_address",
    "digest_now",
    "discover",
    "is_remote",
    "open_frame",
    "parse_channels",
    "remember",
    "remembered",
    "resolve_channels",
    "sha256_of",
    "with_aliases",
]
