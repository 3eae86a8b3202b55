"""The plugin settings of a laboratory: which plugins are left out, and which run in a process of their own."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cacapp.exceptions import UsageError
from cacapp.isolation import Limits

VARIABLE = "CACAPP_CONFIG"


class PluginSettings(BaseModel):
    """The table ``[plugins.NAME]`` of the configuration; NAME is a plugin's or its distribution's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(True, description="false: the plugin is not used")
    isolation: Literal["none", "process"] = Field("none", description="process: the plugin is loaded and run in a process of its own")
    timeout_s: float | None = Field(None, gt=0, description="time limit of a call, s; a longer one fails and its process is killed")
    memory_mb: int | None = Field(None, ge=64, description="memory its process may write to, MB; works on Linux")
    python: str | None = Field(None, description="interpreter of its process, with the plugin and cacapp installed; this one by default")

    @model_validator(mode="after")
    def _limits_need_a_process(self) -> Self:
        bounds = [name for name in ("timeout_s", "memory_mb", "python") if getattr(self, name) is not None]
        if bounds and self.isolation != "process":
            raise ValueError(f'{bounds[0]} holds only with isolation = "process"')
        return self

    @property
    def limits(self) -> Limits:
        python = None if self.python is None else str(Path(self.python).expanduser())
        return Limits(python, self.timeout_s, self.memory_mb)


def settings_file() -> Path:
    """Return the file that CACAPP_CONFIG names, else config.toml in this user's configuration folder of the platform.

    It is never a file of the working folder: that folder holds data, and this file names programs to run.
    """
    from platformdirs import user_config_dir

    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path(user_config_dir("cacapp", appauthor=False)) / "config.toml"


def read_settings(path: Path | None = None) -> dict[str, PluginSettings]:
    """Return the settings by plugin name; none without a file, unless the variable names one.

    Raises:
        UsageError: the file cannot be read, is no TOML, or sets what there is not.
    """
    path = settings_file() if path is None else path
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get(VARIABLE):
            raise UsageError(f"{path}: there is no such file; {VARIABLE} names it") from None
        return {}
    except OSError as error:
        raise UsageError(f"{path}: the configuration cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the configuration is no TOML: {error}") from None
    unknown = next((name for name in found if name != "plugins"), None)
    if unknown is not None:
        raise UsageError(f"{path}: {unknown}: there is no such table; write [plugins.NAME]")
    tables = found.get("plugins", {})
    if not isinstance(tables, dict):
        raise UsageError(f"{path}: plugins: write tables [plugins.NAME]")
    return {name: _settings(path, name, table) for name, table in tables.items()}


def _settings(path: Path, name: str, table: Any) -> PluginSettings:
    where = f"{path}: [plugins.{name}]"
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} must be a table")
    try:
        return PluginSettings(**table)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{where}: there is no setting {field!r}; there are {', '.join(PluginSettings.model_fields)}") from None
        message = first["msg"].removeprefix("Value error, ")
        what = f"{field}: {message}, got {first['input']!r}" if field else message
        raise UsageError(f"{where}: {what}") from None
