"""Registry of weights: names, sources, sizes, digests and licences."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cacapp.exceptions import UsageError

REGISTRY = Path(__file__).with_name("registry.toml")


class Entry(BaseModel):
    """One file of weights. A digest or size that no source publishes is None; it is recorded with the first file, not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name on the command line and in parameters")
    architecture: str = Field(description="network that the weights fit")
    description: str
    file: str = Field(pattern=r"^[\w.-]+$", description="file name at the source and in the cache")
    url: str | None = Field(None, description="source; None for weights that come with cacapp")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="hex digest of the file")
    size_bytes: int | None = Field(None, gt=0)
    licence: str = Field(description="SPDX identifier, with a remark where there are two")
    licence_url: str
    embedded: bool = Field(False, description="comes with cacapp, in this folder")

    @model_validator(mode="after")
    def _has_a_source(self) -> Entry:
        if self.embedded == (self.url is not None):
            raise ValueError("weights are either embedded or have a url")
        return self

    def matches(self, digest: str) -> bool | None:
        """Return whether a SHA-256 is the published one; None where none is published."""
        return None if self.sha256 is None else digest == self.sha256


def entries() -> dict[str, Entry]:
    """Return all entries by name, in the registry's order."""
    found = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))
    return {name: Entry(name=name, **fields) for name, fields in found.items()}


def find(name: str) -> Entry:
    """Return the entry of that name. Raises UsageError, which lists the names there are."""
    known = entries()
    if name not in known:
        raise UsageError(f"no weights named {name!r}; there are {', '.join(known)}")
    return known[name]
