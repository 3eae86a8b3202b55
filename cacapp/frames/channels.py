"""Assignment of a file's channels to probes: names are matched with aliases, never with positions the user did not give."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cacapp.exceptions import CacappError, UsageError
from cacapp.types import CHANNELS

# Cy3 and SpectrumOrange share gold's filter in 4-colour sets. Cy5 is far red, beyond SpectrumRed: a lab imaging red there has to say so.
DEFAULT_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "DAPI": ("DAPI", "Hoechst", "Hoechst 33342", "Hoechst 33258", "H33342", "Blue", "SpectrumBlue", "Nuclei", "Nucleus"),
        "aqua": ("Aqua", "SpectrumAqua", "SpAqua", "DEAC", "CFP", "ECFP", "Cyan", "PlatinumBright415"),
        "green": (
            *("Green", "SpectrumGreen", "SpGreen", "FITC", "GFP", "EGFP", "Alexa488", "AlexaFluor488", "AF488"),
            *("PlatinumBright495", "Cy2"),
        ),
        "gold": (
            *("Gold", "SpectrumGold", "SpGold", "Orange", "SpectrumOrange", "SpOrange", "Cy3", "TRITC", "Yellow", "SpectrumYellow"),
            *("Alexa546", "AlexaFluor546", "AF546", "Alexa555", "AlexaFluor555", "AF555", "PlatinumBright550"),
        ),
        "red": ("Red", "SpectrumRed", "SpRed", "TexasRed", "TxRed", "Cy3.5", "Alexa594", "AlexaFluor594", "AF594", "PlatinumBright590"),
    }
)

# What readers give where a file names no channels.
_INVENTED = re.compile(r"^Channel:\d+:\d+$")


def normalise(name: str) -> str:
    """Return a name without case, spaces and punctuation: "Hoechst 33342" and "hoechst-33342" are one."""
    return "".join(c for c in name.casefold() if c.isalnum())


def is_placeholder(name: str) -> bool:
    """Return whether a channel name is empty or a placeholder ("Channel:0:1")."""
    return not normalise(name) or _INVENTED.match(name) is not None


def parse_channels(text: str) -> dict[str, str]:
    """Parse a ``--channels`` value such as ``DAPI=Hoechst,aqua=ch2,green=#2``. Raises UsageError on anything else."""
    mapping: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, sign, value = (p.strip() for p in part.partition("="))
        if not (name and sign and value):
            raise UsageError(f"--channels: {part!r} is not of the form NAME=FOUND, e.g. --channels DAPI=Hoechst,aqua=#1")
        if name in mapping:
            raise UsageError(f"--channels: {name} is given twice ({mapping[name]} and {value}); keep one")
        mapping[name] = value
    return mapping


def canonical_mapping(mapping: Mapping[str, str] | None, required: Sequence[str]) -> dict[str, str]:
    """Return the user's mapping with keys spelled as in ``required``. Raises UsageError for an unknown or repeated key."""
    spelled = {normalise(name): name for name in required}
    result: dict[str, str] = {}
    for key, value in (mapping or {}).items():
        name = spelled.get(normalise(key))
        if name is None:
            raise UsageError(f"--channels: {key!r} is no channel of the assay; the names before '=' are {', '.join(required)}")
        if name in result:
            raise UsageError(f"--channels: {name} is given twice ({result[name]} and {value}); keep one")
        result[name] = value
    return result


def extend_aliases(extra: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the default aliases with a laboratory's own: a name given for one channel no longer means another one."""
    own = {normalise(alias): name for name, aliases in extra.items() for alias in aliases}
    kept = {name: tuple(a for a in aliases if own.get(normalise(a), name) == name) for name, aliases in DEFAULT_ALIASES.items()}
    return kept | {name: (*kept.get(name, ()), *aliases) for name, aliases in extra.items()}


def canonical_names(found: str, required: Sequence[str], aliases: Mapping[str, Sequence[str]] = DEFAULT_ALIASES) -> list[str]:
    """Return the canonical names that ``found`` is an alias of: one, or none or several where it is unclear."""
    key = normalise(found)
    return [n for n in required if key and key in {normalise(a) for a in (n, *aliases.get(n, ()))}]


def _position(value: str, name: str, found: Sequence[str]) -> int:
    """Return the index in ``found`` of a mapping value: a position ``#2`` (from 0) or a name."""
    listed = ", ".join(found)
    if re.fullmatch(r"#\d+", value):
        index = int(value[1:])
        if index >= len(found):
            raise CacappError(f"--channels {name}={value}: there are only {len(found)} channels (#0 to #{len(found) - 1}): {listed}")
        return index
    hits = [i for i, f in enumerate(found) if f == value] or [i for i, f in enumerate(found) if normalise(f) == normalise(value)]
    if not hits:
        raise CacappError(f"--channels {name}={value}: no channel has that name; found {listed}; a position is written {name}=#0")
    if len(hits) > 1:
        raise CacappError(
            f"--channels {name}={value}: {len(hits)} channels have that name ({listed}); say which, e.g. --channels {name}=#{hits[0]}"
        )
    return hits[0]


def resolve_channels(
    found: Sequence[str],
    required: Sequence[str] = CHANNELS,
    mapping: Mapping[str, str] | None = None,
    aliases: Mapping[str, Sequence[str]] = DEFAULT_ALIASES,
) -> dict[str, int]:
    """Return the positions in ``found`` of the required channels.

    Args:
        found: channel names as the file gives them, in the file's order.
        required: canonical names, the assay's.
        mapping: canonical name -> found name or ``#position`` (from 0), the user's word; it goes before aliases.
        aliases: canonical name -> names it is known by; case, spaces and punctuation do not matter.

    Returns:
        canonical name -> index in ``found``, in the order of ``required``, all different.

    Raises:
        UsageError: a key of ``mapping`` is no required channel.
        CacappError: a channel is missing, ambiguous, unnamed or extra; one line with what was found and the flag that settles it.
            An extra channel is passed over only where ``mapping`` says something.
    """
    found = [str(f) for f in found]
    named = canonical_mapping(mapping, required)
    listed = ", ".join(found) or "none"
    result: dict[str, int] = {}
    for name, value in named.items():
        index = _position(value, name, found)
        other = next((n for n, i in result.items() if i == index), None)
        if other is not None:
            raise CacappError(f"--channels gives {other} and {name} the same channel (#{index}, {found[index]}); found {listed}")
        result[name] = index

    rest = [i for i in range(len(found)) if i not in result.values()]
    open_names = [n for n in required if n not in result]
    if open_names and len(found) > 0 and all(is_placeholder(found[i]) for i in rest) and rest:
        example = ",".join(f"{n}=#{i}" for n, i in zip(open_names, rest, strict=False))
        raise CacappError(
            f"{len(rest)} channels have no names, and their order is not guessed; if it is that of the example, say --channels {example}"
        )
    matches = {i: canonical_names(found[i], open_names, aliases) for i in rest}
    for i, names in matches.items():
        if len(names) > 1:
            raise CacappError(
                f"channel {found[i]} could be {' or '.join(names)} (found {listed}); say which, e.g. --channels {names[0]}=#{i}"
            )
    for name in open_names:
        hits = [i for i, names in matches.items() if names == [name]]
        if len(hits) > 1:
            both = " and ".join(f"{found[i]} (#{i})" for i in hits)
            raise CacappError(f"{both} are both {name}; found {listed}; say which, e.g. --channels {name}=#{hits[0]}")
        if hits:
            result[name] = hits[0]

    spare = [i for i in rest if i not in result.values()]
    missing = [n for n in required if n not in result]
    if missing:
        given = [found[i] if not is_placeholder(found[i]) and found.count(found[i]) == 1 else f"#{i}" for i in spare] or ["NAME"]
        example = ",".join(f"{n}={g}" for n, g in zip(missing, given, strict=False))
        raise CacappError(
            f"no channel for {', '.join(missing)} among those found: {listed}; if it goes by another name, say --channels {example}"
        )
    if spare and not named:
        extra = ", ".join(found[i] for i in spare)
        example = ",".join(f"{n}={found[i]}" for n, i in result.items())
        raise CacappError(f"extra channel {extra} (found {listed}); to leave it out, name those to use: --channels {example}")
    return {name: result[name] for name in required}
