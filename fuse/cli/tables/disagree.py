"""The table of `fuse disagree`."""

from __future__ import annotations

from fuse.analysis.disagreement import KINDS, Disagreement
from fuse.cli.tables.layout import SHOWN, as_percent, print_rows


def print_disagreement(disagreement: Disagreement) -> None:
    """The images on which the two nets disagree most."""
    print_rows(
        ("image", "disagree on", *KINDS, "regions"),
        [
            (
                image.file_name,
                f"{as_percent(image.share)} %",
                *(str(image.pixels[kind]) for kind in KINDS),
                str(len(image.regions)),
            )
            for image in disagreement.images[:SHOWN]
        ],
    )
    print(f"the first of {len(disagreement.images)} images; pixels of each kind")
