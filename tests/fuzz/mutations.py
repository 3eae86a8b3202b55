"""Seeded damage to image files: to any bytes, to the tags of a TIFF, to the JSON and XML in it."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Mapping

from tests.fuzz.originals import Files

Draw = random.Random
Mutation = Callable[[bytes, Draw], bytes]
EDGES = (0, 1, 2, 3, 7, 8, 255, 256, 65535, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def flip_bit(raw: bytes, draw: Draw) -> bytes:
    out = bytearray(raw)
    out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def flip_bytes(raw: bytes, draw: Draw) -> bytes:
    out = bytearray(raw)
    for _ in range(draw.choice((2, 4, 16, 64))):
        out[draw.randrange(len(out))] = draw.randrange(256)
    return bytes(out)


def flip_head(raw: bytes, draw: Draw) -> bytes:
    """Where the structure mostly is: the first bytes."""
    out = bytearray(raw)
    for _ in range(draw.choice((1, 1, 2, 4))):
        out[draw.randrange(min(512, len(out)))] = draw.choice((draw.randrange(256), 0, 255, 127, 128))
    return bytes(out)


def truncate(raw: bytes, draw: Draw) -> bytes:
    return raw[: draw.randrange(len(raw))]


def extend(raw: bytes, draw: Draw) -> bytes:
    return raw + draw.randbytes(draw.choice((1, 2, 100, 5000)))


def cut_out(raw: bytes, draw: Draw) -> bytes:
    start = draw.randrange(len(raw))
    return raw[:start] + raw[start + draw.choice((1, 2, 4, 64, 1000)) :]


def put_in(raw: bytes, draw: Draw) -> bytes:
    start = draw.randrange(len(raw))
    return raw[:start] + draw.choice((b"\0", b"\xff" * 4, draw.randbytes(50), raw[:200])) + raw[start:]


def move_block(raw: bytes, draw: Draw) -> bytes:
    out, n = bytearray(raw), draw.choice((4, 12, 64, 512))
    a, b = draw.randrange(max(1, len(raw) - n)), draw.randrange(max(1, len(raw) - n))
    out[a : a + n] = raw[b : b + n]
    return bytes(out[: len(raw)])


def blank_block(raw: bytes, draw: Draw) -> bytes:
    out, n = bytearray(raw), draw.choice((4, 64, 512, 4096))
    a = draw.randrange(len(raw))
    n = min(n, len(raw) - a)
    out[a : a + n] = draw.choice((b"\0", b"\xff")) * n
    return bytes(out)


def edge_number(raw: bytes, draw: Draw) -> bytes:
    """A number somewhere becomes an extreme one: huge sizes, counts and offsets."""
    out, letter = bytearray(raw), draw.choice(("<I", ">I", "<H", ">H", "<Q"))
    n = struct.calcsize(letter)
    at = draw.randrange(max(1, len(raw) - n))
    at -= at % 2
    out[at : at + n] = struct.pack(letter, draw.choice(EDGES) % 2 ** (8 * n))
    return bytes(out[: len(raw)])


class Directory:
    """The entries of a TIFF's directories: (offset of the entry, tag, type, count), and where each next-directory offset is."""

    def __init__(self, raw: bytes) -> None:
        self.order = "<" if raw[:2] == b"II" else ">"
        self.big = raw[2:4] in (b"+\0", b"\0+")
        self.wide = "Q" if self.big else "I"
        self.entries: list[tuple[int, int, int, int]] = []
        self.links = [8 if self.big else 4]
        self.starts: list[int] = []
        at = struct.unpack_from(self.order + self.wide, raw, self.links[0])[0]
        while at:
            self.starts.append(at)
            (n,) = struct.unpack_from(self.order + ("Q" if self.big else "H"), raw, at)
            at += 8 if self.big else 2
            for _ in range(n):
                self.entries.append((at, *struct.unpack_from(f"{self.order}HH{self.wide}", raw, at)))
                at += 20 if self.big else 12
            self.links.append(at)
            (at,) = struct.unpack_from(self.order + self.wide, raw, at)

    def value_at(self, entry: int) -> int:
        return entry + (12 if self.big else 8)


def swap_tags(raw: bytes, draw: Draw) -> bytes:
    d, out = Directory(raw), bytearray(raw)
    size = 20 if d.big else 12
    (a, *_), (b, *_) = draw.sample(d.entries, 2)
    part = draw.choice((slice(0, size), slice(0, 2), slice(2, 4), slice(4, d.value_at(0)), slice(d.value_at(0), size)))
    x, y = slice(a + part.start, a + part.stop), slice(b + part.start, b + part.stop)
    out[x], out[y] = raw[y], raw[x]
    return bytes(out)


def set_tag(raw: bytes, draw: Draw) -> bytes:
    """A tag's code, type, count or value becomes an extreme or a foreign one."""
    d, out = Directory(raw), bytearray(raw)
    entry = draw.choice(d.entries)[0]
    what = draw.randrange(4)
    if what == 0:
        struct.pack_into(
            d.order + "H", out, entry, draw.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 324, 330, 339, 0))
        )
    elif what == 1:
        struct.pack_into(d.order + "H", out, entry + 2, draw.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 18, 99)))
    elif what == 2:
        struct.pack_into(d.order + d.wide, out, entry + 4, draw.choice(EDGES))
    else:
        struct.pack_into(d.order + d.wide, out, d.value_at(entry), draw.choice((*EDGES, len(raw) - 1, len(raw), draw.randrange(len(raw)))))
    return bytes(out)


def set_size(raw: bytes, draw: Draw) -> bytes:
    """Width, length, bits, samples, rows or tile size of one directory, or of all, becomes another number."""
    d, out = Directory(raw), bytearray(raw)
    tag = draw.choice((256, 257, 258, 277, 278, 322, 323))
    value = draw.choice((*EDGES, 16, 24, 39, 40, 41, 55, 56, 57, 80, 112))
    there = [e for e in d.entries if e[1] == tag]
    for entry, _, kind, _ in there if draw.random() < 0.6 else there[:1]:
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind, "I")
        struct.pack_into(d.order + letter, out, d.value_at(entry), value % 2 ** (8 * struct.calcsize("<" + letter)))
    return bytes(out)


def set_compression(raw: bytes, draw: Draw) -> bytes:
    d, out = Directory(raw), bytearray(raw)
    tag, values = draw.choice(
        (
            (
                259,
                (
                    0,
                    1,
                    2,
                    3,
                    4,
                    5,
                    6,
                    7,
                    8,
                    9,
                    32773,
                    32946,
                    33003,
                    33005,
                    33007,
                    34712,
                    34887,
                    34892,
                    34925,
                    34926,
                    34927,
                    50000,
                    50001,
                    50002,
                    50013,
                    52546,
                    65000,
                ),
            ),
            (317, (0, 1, 2, 3, 4, 34892)),
            (262, (0, 1, 2, 3, 4, 5, 6, 8, 32803)),
            (339, (0, 1, 2, 3, 4, 5, 6)),
        )
    )
    value = draw.choice(values)
    there = [e for e in d.entries if e[1] == tag] or [draw.choice(d.entries)]
    for entry, *_ in there if draw.random() < 0.6 else there[:1]:
        struct.pack_into(d.order + "HH" + d.wide, out, entry, tag, 3, 1)
        struct.pack_into(d.order + "HH", out, d.value_at(entry), value, 0)
    return bytes(out)


def recursive(raw: bytes, draw: Draw) -> bytes:
    """Directories that point back, to themselves, into pixels, or name themselves as their own SubIFD."""
    d, out = Directory(raw), bytearray(raw)
    target = draw.choice((*d.starts, 8, len(raw) // 2))
    if draw.random() < 0.5:
        struct.pack_into(d.order + d.wide, out, draw.choice(d.links), target)
        return bytes(out)
    entry = draw.choice(d.entries)[0]
    struct.pack_into(d.order + "HH" + d.wide, out, entry, 330, 13 if not d.big else 18, draw.choice((1, 1, 5, 2**20)))
    struct.pack_into(d.order + d.wide, out, d.value_at(entry), target)
    return bytes(out)


NUMBERS = ("0", "1", "2", "4", "6", "-1", "65536", "2147483648", "999999999999999999999", "1e308", "NaN", "", "x")
WORDS = ("uint8", "uint16", "int16", "float", "bit", "double-complex", "XYCZT", "XYZTC", "XYTCZ", "", "pixel", "Å")


def edit_text(raw: bytes, draw: Draw) -> bytes:
    """An attribute or value of the XML or JSON in the file becomes another; lengths are kept where the file counts on them."""
    found = list(re.finditer(rb'"[^"<>\\]{1,40}"|(?<=[:\[ ,])\d+(?=[,\] }\n])', raw))
    if not found:
        return flip_head(raw, draw)
    one = draw.choice(found)
    quoted = one[0].startswith(b'"')
    word = draw.choice(NUMBERS + WORDS if quoted else NUMBERS).encode()
    new = b'"' + word + b'"' if quoted else word or b"null"
    if b"<OME" in raw or raw[:2] in (b"II", b"MM"):
        new = new[: len(one[0])] if not quoted else b'"' + word[: len(one[0]) - 2].ljust(len(one[0]) - 2) + b'"'
        new = new.ljust(len(one[0]))
    return raw[: one.start()] + new + raw[one.end() :]


def break_text(raw: bytes, draw: Draw) -> bytes:
    """The XML or JSON in the file loses or repeats an element, or declares entities."""
    start = raw.find(b"<?xml") if b"<?xml" in raw else raw.find(b"{")
    if start < 0:
        return flip_bytes(raw, draw)
    if b"<OME" in raw and draw.random() < 0.5:
        tags = list(re.finditer(rb"<(Channel|TiffData|Pixels|Image|Plane|LightPath)\b[^>]*>", raw))
        if tags:
            one = draw.choice(tags)
            return raw[: one.start()] + draw.choice((b" " * len(one[0]), b"<" + b"x" * (len(one[0]) - 3) + b"/>")) + raw[one.end() :]
    end = raw.find(b"\0", start) if raw[:2] in (b"II", b"MM") else len(raw)
    text = raw[start:end]
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "'
        + b"x" * 40
        + b'">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + i, (b"&%c;" % (97 + i)) * 10) for i in range(9))
        + b"]><OME>&j;</OME>"
    )
    new = draw.choice(
        (
            text[: len(text) // 2],
            text[::-1],
            b"[" * len(text),
            b"{" * len(text),
            bomb,
            b'<!DOCTYPE o SYSTEM "file:///etc/passwd">' + text[44:],
        )
    )
    return raw[:start] + new[: len(text)].ljust(len(text)) + raw[end:]


ANY: Mapping[str, Mutation] = {
    f.__name__: f
    for f in (
        flip_bit,
        flip_bytes,
        flip_head,
        truncate,
        extend,
        cut_out,
        put_in,
        move_block,
        blank_block,
        edge_number,
        edit_text,
        break_text,
    )
}
OF_TIFF: Mapping[str, Mutation] = {f.__name__: f for f in (swap_tags, set_tag, set_size, set_compression, recursive)}


def kinds_for(name: str) -> list[str]:
    """The mutations of a format; TIFF's tags come as often as all else together."""
    tiff = "tiff" in name or "stack" in name
    return [*ANY, *(list(OF_TIFF) * 2 if tiff else [])]


def mutated(files: Files, kind: str, draw: Draw) -> tuple[Files, str]:
    """The files with one of them damaged, and its name. Zarr's metadata is hit as often as its chunks."""
    metadata = [n for n in files if n.rsplit("/", 1)[-1].startswith((".z", "zarr.json"))]
    name = draw.choice(metadata if metadata and draw.random() < 0.5 else list(files))
    mutation = {**ANY, **OF_TIFF}[kind]
    raw = mutation(files[name], draw) if files[name] else files[name]
    return {**files, name: raw}, name
