"""The table of `fuse disagree`."""

from __future__ import annotations

from fuse.analysis.disagreement import KINDS, Disagreement
from fuse.cli.tables.layout import SHOWN, as_percent, print_rows


def print_disagreement(disagreement: Disagreement) -> None:
    """The photos on which the two nets disagree most."""
    print_rows(
        ("photo", "disagree on", *KINDS, "regions"),
        [
            (
                photo.file_name,
                f"{as_percent(photo.share)} %",
                *(str(photo.pixels[kind]) for kind in KINDS),
                str(len(photo.regions)),
            )
            for photo in disagreement.photos[:SHOWN]
        ],
    )
    print(f"the first of {len(disagreement.photos)} photos; pixels of each kind")
