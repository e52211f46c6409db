"""Pictures of a result: drawn, shown and saved."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fuse.errors import DataError
from fuse.io.files import StrPath, to_path
from fuse.types import LabelSpace, PanopticPrediction, UInt8Array
from fuse.viz.drawing import TINT, Picture, to_picture
from fuse.viz.render import render_panoptic, save_picture


def plot(
    prediction: PanopticPrediction,
    space: LabelSpace,
    image: UInt8Array | None,
    *,
    alpha: float | None = None,
    labels: bool = True,
    boxes: bool = False,
) -> Picture:
    """The picture of `PanopticResult.plot`; without an image the segments are painted on grey."""
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a share of the colour, 0..1, got {alpha}")
    tint = TINT if alpha is None else alpha
    if image is None:
        image = np.full((*prediction.size, 3), 128, dtype=np.uint8)
    return to_picture(
        render_panoptic(image, prediction, space, tint=tint, labels=labels, boxes=boxes)
    )


def show(picture: Picture) -> None:
    """Show a picture in the notebook that runs, or in the system's viewer."""
    ipython = sys.modules.get("IPython")  # loaded wherever a notebook runs
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(picture)
    else:
        picture.show()


def save(picture: Picture, path: StrPath) -> Path:
    """Write a picture whole or not at all; see `PanopticResult.save`."""
    target = to_path(path)
    if not target.parent.is_dir():
        raise DataError(
            f"{target}: there is no folder {str(target.parent)!r}; make it first: "
            f"Path({str(target.parent)!r}).mkdir(parents=True)"
        )
    try:
        save_picture(target, np.asarray(picture))
    except OSError as err:
        raise DataError(f"{target}: cannot be written ({err.strerror or err})") from err
    return target
