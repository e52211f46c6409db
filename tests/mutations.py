"""Files spoilt in ways that real ones are, and that an attacker would try; all from a seed.

A mutation takes a generator of random numbers and returns new content; the same seed gives the
same bytes. Structured mutations keep a file readable and change what it says; `spoil_bytes`
makes it unreadable.
"""

import copy
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

# What a field may be instead of what it should be.
STRANGE_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", [], {}, [[]], {"": None}),
    *(0, 1, -1, 2, 255, 256, 2**16, 2**24, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**64, 10**30),
    *(0.5, -0.0, 1e-320, 1e300, float("nan"), float("inf"), -float("inf")),
    *(
        "x",
        "0",
        "1/1",
        "-1",
        "1e9",
        "None",
        "~nobody/x",
        "../x.png",
        "../../../../etc/passwd",
        "/etc/passwd",
    ),
    *("C:\\x.png", "\\\\server\\share", "a\0b", "\n", "\x1b[31mred", "\u202egnp.x", "é" * 300),
    *("[red]", "[/x]", "<script>alert(1)</script>", "=1+1", "\ud800", "coco_panoptic", "tiny"),
)
NESTED = 100_000  # deeper than any reader's stack


def spoil_bytes(rng: random.Random, content: bytes) -> bytes:
    """Cut, flip, overwrite, insert, remove, repeat, or replace altogether."""
    changed = bytearray(content)
    at = rng.randrange(len(changed) + 1)
    length = rng.choice((1, 2, 4, 16, 256))
    kind = rng.randrange(9)
    if kind == 0:
        return bytes(changed[:at])
    if kind == 1:
        for _ in range(rng.choice((1, 3, 20))):
            if changed:
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        changed[at : at + length] = rng.choice((b"\0", b"\xff")) * length
    elif kind == 3:
        changed[at:at] = rng.randbytes(length)
    elif kind == 4:
        del changed[at : at + length]
    elif kind == 5:
        changed += changed[at:]
    elif kind == 6:
        return rng.choice((b"", b"\0", b"\n", b"{}", b"[]", b"null", rng.randbytes(1000)))
    elif kind == 7:
        return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b")) + content
    else:
        changed[at : at + 4] = struct.pack("<I", rng.choice((0, 2**31 - 1, 2**32 - 1)))
    return bytes(changed)


def mutate_value(rng: random.Random, content: Any) -> Any:
    """A copy of plain values with one thing changed, somewhere inside."""
    content = copy.deepcopy(content)
    places = list(_places(content))
    if not places:
        return rng.choice(STRANGE_VALUES)
    holder, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif kind == 1:
        holder[f"{key}x"] = holder[key]
    elif kind == 2 and isinstance(holder[key], int | float):
        holder[key] = rng.choice((-holder[key], holder[key] + 1, holder[key] * 10**6, 0))
    elif kind == 3:
        other, other_key = rng.choice(places)
        holder[key] = copy.deepcopy(other[other_key])
    elif kind == 4:
        holder[key] = [holder[key]]
    else:
        holder[key] = rng.choice(STRANGE_VALUES)
    return content


def mutate_json(rng: random.Random, content: bytes) -> bytes:
    """A JSON whose values, or rarely whose text, changed."""
    kind = rng.randrange(8)
    if kind == 0:
        return spoil_bytes(rng, content)
    if kind == 1:
        return _nest(rng, content)
    return json.dumps(mutate_value(rng, json.loads(content))).encode()


def mutate_lines(rng: random.Random, content: bytes) -> bytes:
    """JSON lines of which one changed, is gone, or stands twice."""
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        return spoil_bytes(rng, content)
    if kind == 1:
        del lines[at]
    elif kind == 2:
        lines.insert(at, rng.choice(lines))
    else:
        lines[at] = mutate_json(rng, lines[at]).replace(b"\n", b" ") + b"\n"
    return b"".join(lines)


def mutate_csv(rng: random.Random, content: bytes) -> bytes:
    """A CSV of which one cell, line or the text changed."""
    lines = [line.split(",") for line in content.decode().splitlines()]
    row = rng.choice(lines)
    kind = rng.randrange(6)
    if kind == 0:
        return spoil_bytes(rng, content)
    if kind == 1:
        lines.remove(row)
    elif kind == 2:
        lines.append(row)
    elif kind == 3:
        row.append(rng.choice(("", "x", "1")))
    else:
        row[rng.randrange(len(row))] = rng.choice(
            (*map(str, STRANGE_VALUES), '"', "|", "void", "9" * 5000, "x" * 200_000, "٣", " 1")
        )
    return "\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass")


def mutate_toml(rng: random.Random, content: bytes) -> bytes:
    """A preset of which a value, a line or the text changed."""
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines))
    key = lines[at].partition("=")[0]
    kind = rng.randrange(6)
    if kind == 0:
        return spoil_bytes(rng, content)
    if kind == 1:
        del lines[at]
    elif kind == 2:
        lines.insert(at, rng.choice(lines))
    elif kind == 3:
        lines[at] = f"{key}= {'[' * NESTED}"
    else:
        strange = rng.choice([v for v in STRANGE_VALUES if v is not None and v != "\ud800"])
        lines[at] = f"{key}= {_as_toml(strange)}"
    return "\n".join(lines).encode()


def mutate_png(rng: random.Random, content: bytes) -> bytes:
    """A PNG whose header or pixels changed with checksums that fit, or that is spoilt."""
    if rng.randrange(2):
        return spoil_bytes(rng, content)
    chunks = list(_png_chunks(content))
    header = list(struct.unpack(">IIBBBBB", chunks[0][1]))
    kind = rng.randrange(4)
    if kind < 2:
        header[rng.randrange(7)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    elif kind == 2:
        header[rng.randrange(2)] = rng.choice((1, 2**15, 2**16, 2**31 - 1, 2**32 - 1))
    else:
        rows = bytearray(
            zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
        )
        rows[rng.randrange(len(rows))] = rng.randrange(256)
        pixels = zlib.compress(spoil_bytes(rng, bytes(rows)))
        chunks = [chunks[0], (b"IDAT", pixels), (b"IEND", b"")]
    chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *header))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def mutate_npz(rng: random.Random, content: bytes) -> bytes:
    """A ``.npz`` with an array that is gone, of another type, shape or values, or spoilt."""
    if rng.randrange(4) == 0:
        return spoil_bytes(rng, content)
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    name = rng.choice(list(arrays))
    array = arrays[name]
    changes: tuple[Callable[[], Any], ...] = (
        lambda: array.ravel(),
        lambda: array[..., None],
        lambda: array[:-1] if array.ndim else array,
        lambda: np.concatenate([array, array]) if array.ndim else array,
        lambda: array.astype(rng.choice(["f8", "i8", "u1", "?", "U3"])),
        lambda: np.full_like(array, rng.choice((0, 1, 100))),
        lambda: -array if array.dtype != bool else ~array,
        lambda: _replace_one(rng, array),
        lambda: array[:0] if array.ndim else array,
        lambda: rng.choice(list(arrays.values())),
    )
    kind = rng.randrange(len(changes) + 2)
    if kind == len(changes):
        del arrays[name]
    elif kind == len(changes) + 1:
        return _npz_bomb(content, name)
    else:
        arrays[name] = changes[kind]()
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def mutate_safetensors(rng: random.Random, content: bytes) -> bytes:
    """Weights whose header changed, or that are spoilt."""
    if rng.randrange(3) == 0:
        return spoil_bytes(rng, content)
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    about = header.get("__metadata__", {})
    if about and rng.randrange(2):
        about["fuse"] = mutate_json(rng, about["fuse"].encode()).decode(errors="replace")
        text = json.dumps(header).encode()
    else:
        text = json.dumps(mutate_value(rng, header)).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def _places(content: Any) -> Any:
    """(list or dict, key) of everything inside."""
    keys = content if isinstance(content, dict) else range(len(content))
    if isinstance(content, dict | list):
        for key in keys:
            yield content, key
            if isinstance(content[key], dict | list):
                yield from _places(content[key])


def _nest(rng: random.Random, content: bytes) -> bytes:
    """The text with something in it that goes very deep."""
    deep = rng.choice((b"[" * NESTED, b"[" * NESTED + b"]" * NESTED, b'{"a":' * NESTED))
    colons = [i for i, byte in enumerate(content) if byte == ord(":")]
    at = rng.choice(colons) + 1 if colons else 0
    return content[:at] + deep + content[at:] if rng.randrange(2) else deep


def _as_toml(value: Any) -> str:
    """A plain value as TOML has it."""
    if isinstance(value, dict):
        return "{}" if not value else '{"" = 1}'
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def _replace_one(rng: random.Random, array: Any) -> Any:
    """An array with one number replaced by an extreme one."""
    array = array.copy()
    if not array.size:
        return array
    if array.dtype.kind == "f":
        extreme: Any = rng.choice((np.nan, np.inf, -1e30, 1e30, -1.0, 2.0))
    else:
        limits = np.iinfo(np.uint8 if array.dtype == bool else array.dtype)
        extreme = rng.choice((limits.min, limits.max, 0, 1, 77))
    with np.errstate(all="ignore"):
        array.flat[rng.randrange(array.size)] = extreme
    return array


def _npz_bomb(content: bytes, name: str) -> bytes:
    """An ``.npz`` in which one array says that it has a million million numbers."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for member in old.namelist():
            body = old.read(member)
            if member == f"{name}.npy":
                text = b"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000, 1000000), }\n"
                body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
            new.writestr(member, body)
    return file.getvalue()


def _png_chunks(content: bytes) -> Any:
    """(kind, body) of each chunk."""
    at = 8
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + 8 + length]
        at += 12 + length


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
