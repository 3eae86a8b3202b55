"""Files to frames: the only importer of aicsimageio. Channels are read lazily; their names are settled at ingest, never by position."""

from cacapp.frames.channels import DEFAULT_ALIASES, parse_channels, resolve_channels, with_aliases
from cacapp.frames.digest import sha256_of
from cacapp.frames.discover import BadFile, discover
from cacapp.frames.open import open_frame
from cacapp.frames.projection import PROJECTIONS

__all__ = [
    "DEFAULT_ALIASES",
    "PROJECTIONS",
    "BadFile",
    "discover",
    "open_frame",
    "parse_channels",
    "resolve_channels",
    "sha256_of",
    "with_aliases",
]
