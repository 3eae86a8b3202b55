"""The registry of weights: what there is, where it comes from, and what is known of each file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cacapp.exceptions import UsageError

REGISTRY = Path(__file__).with_name("registry.toml")


class Entry(BaseModel):
    """One file of weights. What no source gives is None: it is then recorded when the file comes, and not checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="what the user asks for")
    architecture: str = Field(description="the network that the weights fit")
    description: str
    file: str = Field(pattern=r"^[\w.-]+$", description="file name at the source and in the cache")
    url: str | None = Field(None, description="source; None for what comes with cacapp")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{6,64}$", description="hex digest of the file, or its known first digits")
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
        """Whether a full SHA-256 agrees with what is known; None where nothing is."""
        return None if self.sha256 is None else digest.startswith(self.sha256)


def entries() -> dict[str, Entry]:
    """Every known entry by name, in the registry's order."""
    found = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))
    return {name: Entry(name=name, **fields) for name, fields in found.items()}


def find(name: str) -> Entry:
    """The entry of that name. Raises UsageError, naming those there are."""
    known = entries()
    if name not in known:
        raise UsageError(f"no weights named {name!r}; there are {', '.join(known)}")
    return known[name]
