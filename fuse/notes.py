"""What a user should know though nothing is wrong, a line each, on stderr.

Who configures `logging` gets them from the logger ``fuse``, as warnings.
"""

from __future__ import annotations

import logging

_LOGGER = logging.getLogger("fuse")


def note(text: str) -> None:
    """Say something once; it is not repeated in outputs."""
    _LOGGER.warning("note: %s", text)
