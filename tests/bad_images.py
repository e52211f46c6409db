"""Pictures of every kind that is read, spoilt; and names that no image should have."""

import io
import random
import struct
import zlib
from pathlib import Path

import mutations
import numpy as np
from PIL import Image

EXAMPLE = Path(__file__).parent.parent / "examples" / "images" / "chelsea.jpg"
SIZE = (61, 43)  # odd, so that subsampled colours have an edge
FORMATS: dict[str, tuple[str, str, dict]] = {
    "jpeg": ("RGB", "JPEG", {}),
    "progressive jpeg": ("RGB", "JPEG", {"progressive": True}),
    "cmyk jpeg": ("CMYK", "JPEG", {}),
    "png": ("RGB", "PNG", {}),
    "palette png": ("P", "PNG", {}),
    "16-bit png": ("I;16", "PNG", {}),
    "webp": ("RGB", "WEBP", {}),
    "webp without loss": ("RGBA", "WEBP", {"lossless": True}),
    "tiff": ("RGB", "TIFF", {}),
    "lzw tiff": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "jpeg tiff": ("RGB", "TIFF", {"compression": "jpeg"}),
    "float tiff": ("F", "TIFF", {}),
    "gif": ("P", "GIF", {}),
    "bmp": ("RGB", "BMP", {}),
    "ppm": ("RGB", "PPM", {}),
}
HOSTILE_NAMES = (
    *("a\nb.jpg", "a\rb.jpg", "tab\t.jpg", "quote'.jpg", 'quote".jpg', "back\\slash.jpg"),
    *("<script>alert(1)<script>.jpg", "&amp;.jpg", "[red]x[.jpg", "{x}.jpg", "%s%n.jpg"),
    *("\x1b[31mred\x1b[0m.jpg", "\x1b]0;title\x07.jpg", "\x9b31m.jpg", "\u202egpj.exe.jpg"),
    *("=1+1.jpg", "+1.jpg", "-rf.jpg", "@x.jpg", "$(true).jpg", "`true`.jpg", "; true.jpg"),
    *(" .jpg", "a .jpg", "CON.jpg", "x" * 251 + ".jpg", "é" * 120 + ".jpg", "猫.jpg"),
)
# Fine on Linux, elsewhere on Windows; or no text at all.
REFUSED_NAMES = ("a\\..\\..\\x.jpg", "C:x.jpg", "\\x.jpg", "\udcff.jpg", "a\udce9b.jpg")


def encode(name: str) -> bytes:
    """A crop of a real image in one of FORMATS."""
    mode, kind, options = FORMATS[name]
    with Image.open(EXAMPLE) as image:
        crop = image.crop((100, 50, 100 + SIZE[0], 50 + SIZE[1]))
    if mode == "I;16":
        crop = Image.fromarray(np.asarray(crop.convert("L")).astype(np.uint16) * 257)
    elif mode != "RGB":
        crop = crop.convert(mode)
    file = io.BytesIO()
    crop.save(file, kind, **options)
    return file.getvalue()


def spoil(rng: random.Random, name: str, content: bytes) -> bytes:
    """A picture of one of FORMATS, spoilt."""
    if name == "png" and rng.randrange(2):
        return mutations.mutate_png(rng, content)
    if rng.randrange(10) == 0:  # the head of one kind and the body of another
        other = encode(rng.choice(list(FORMATS)))
        at = rng.randrange(1, 100)
        return content[:at] + other[at:]
    return mutations.spoil_bytes(rng, content)


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A grey PNG that says it has that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(mutations.png_chunk(*chunk) for chunk in chunks)


def text_bomb() -> bytes:
    """A PNG with a text that unpacks to 64 MiB."""
    bomb = b"Comment\0\0" + zlib.compress(bytes(2**26), 9)
    whole = png_of(1, 1, b"\0\0")
    return whole[:33] + mutations.png_chunk(b"zTXt", bomb) + whole[33:]


BOMBS = {
    "png": png_of(50_000, 50_000),
    "wide png": png_of(2**31 - 1, 1),
    "text in a png": text_bomb(),
    "gif": b"GIF89a"
    + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
    + b","
    + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    + b"\x08\x00;",
    "bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6),
    "ppm": b"P6 100000 100000 255\n",
    "webp": b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0/\xff\xff\xff\x0f" + bytes(12),
}
