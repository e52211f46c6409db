"""The table of `fuse pipelines`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fuse.cli.tables.layout import print_line
from fuse.inference.fetch import PipelineEntry


def print_pipelines(pipelines: Iterable[PipelineEntry]) -> None:
    """Each pipeline with its weights, then each address once, as many pipelines share a net."""
    fetched: dict[str, str] = {}
    for pipeline in pipelines:
        print_line(f"{pipeline.name}: {pipeline.description}")
        for net in {net.source: net for net in pipeline.weights}.values():
            size = f"{'' if net.is_exact else 'about '}{net.size / 1e6:.0f} MB"
            here = "here" if net.is_present else "absent"
            print_line(f"    {net.source.rpartition('/')[2]}, {size}, {net.licence}: {here}")
            if not net.is_shipped:
                at = f" at {net.revision}" if net.revision else ""
                fetched[net.source] = f"{at}, {_describe_hash(net.known_hash)}"
    print_line("fuse fetch PIPELINE gets what is absent, from")
    for source, about in fetched.items():
        print_line(f"    {source}{about}")


def _describe_hash(known_hash: str) -> str:
    """What is known of a hash ahead of the download, as words.

    >>> _describe_hash("md5:cafdb1"), _describe_hash("")
    ('md5 begins with cafdb1', 'no hash known ahead')
    """
    algorithm, _, digits = known_hash.partition(":")
    if not digits:
        return "no hash known ahead"
    is_whole = len(digits) == 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
    return f"{algorithm} {'' if is_whole else 'begins with '}{digits}"
