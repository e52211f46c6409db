"""The page put together: markup, style, figures, image after image, and the script.

Whatever comes from outside (names of files and classes) stands only in JSON blocks, in which
``<`` is escaped, and reaches the page as text. A content security policy that names the hash
of the one script and of the one style lets nothing else run and nothing be fetched.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fuse.io.files import open_whole
from fuse.report.layers import Layer, ShownImage

PAGE_DIR = Path(__file__).parent / "page"
# One script in the end; split by what a part of the page does.
SCRIPTS = (
    "dom.js",
    "summary.js",
    "classes.js",
    "plots.js",
    "pictures.js",
    "gallery.js",
    "viewer.js",
    "main.js",
)


MARK = b"<title>fuse report</title>"  # in the head of each, see page.html
HEAD_BYTES = 4096


def is_report(path: Path) -> bool:
    """Whether a file is a report that `write_document` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK in file.read(HEAD_BYTES)


def write_document(path: Path, figures: Mapping[str, Any], images: Iterable[ShownImage]) -> int:
    """Write a report; the file appears whole or not at all.

    Args:
        path: the HTML file.
        figures: what the page shows besides images, in plain values.
        images: in the order of ``figures["images"]``; written as they come.

    Returns:
        Its size in bytes.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full.
    """
    style = (PAGE_DIR / "page.css").read_text(encoding="utf-8")
    script = "\n".join((PAGE_DIR / name).read_text(encoding="utf-8") for name in SCRIPTS)
    page = (PAGE_DIR / "page.html").read_text(encoding="utf-8")
    head, tail = page.split("<!-- blocks -->\n")
    head = head.replace("STYLE-HASH", _hash(style)).replace("SCRIPT-HASH", _hash(script))
    with open_whole(path) as file:
        file.write(head.replace("/* style */", style).encode())
        file.write(make_block("figures", figures))
        for place, image in enumerate(images):
            file.write(make_block(f"image-{place}", image_to_json(image)))
        file.write(tail.replace("/* script */", script).encode())
        return file.tell()


def make_block(name: str, content: Mapping[str, Any]) -> bytes:
    r"""A JSON block of the page; nothing in it can end the block or begin a tag.

    >>> make_block("figures", {"name": "</script>"})
    b'<script type="application/json" id="figures">{"name":"\\u003c/script>"}</script>\n'
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'.encode("ascii")


def image_to_json(image: ShownImage) -> dict[str, Any]:
    """An image in plain values, its pictures in base64."""
    return {
        "size": list(image.size),
        "jpeg": b64encode(image.jpeg).decode() if image.jpeg else None,
        "note": image.note,
        "layers": {name: _layer_to_json(layer) for name, layer in image.layers.items()},
    }


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    return {
        "png": b64encode(layer.png).decode(),
        "segments": [segment.to_json() for segment in layer.segments],
    }


def _hash(text: str) -> str:
    """How a content security policy names a script or a style."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
