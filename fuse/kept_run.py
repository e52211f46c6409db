"""A run whose predictions were kept: what the nets said, to be fused again by any rule."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuse.config import FusionConfig, change_fusion
from fuse.errors import CocoFormatError, DataError
from fuse.io.coco import ImageId, PanopticDataset, read_panoptic_json
from fuse.labels import find_label_map, load_space
from fuse.predictions import PhotoPrediction, fuse_photo, read_prediction
from fuse.records import PREDICTION_DIR
from fuse.run_folder import RUN_FILE
from fuse.types import LabelSpace, PanopticPrediction


@dataclass(frozen=True, slots=True, eq=False)
class KeptRun:
    """A finished run with ``--keep-predictions``.

    Attributes:
        path: the output folder of the run.
        fusion: the rule and thresholds that it was made with.
        space: its label space.
        choices: what an instance may be instead, for `fuse_photo`.
        dataset: its photos and its maps.
    """

    path: Path
    fusion: FusionConfig
    space: LabelSpace
    choices: Mapping[int, Sequence[int]]
    dataset: PanopticDataset

    def load(self, image_id: ImageId) -> PhotoPrediction:
        """What the nets said of a photo.

        Raises:
            CocoFormatError: the file is missing or damaged.
        """
        png_name = self.dataset.annotations[image_id].file_name
        return read_prediction((self.path / PREDICTION_DIR / png_name).with_suffix(".npz"))

    def fuse(self, image_id: ImageId, fusion: FusionConfig) -> PanopticPrediction:
        """The panoptic map of a photo by some rule."""
        kept = self.load(image_id)
        return fuse_photo(kept.label(), kept.instances, self.space, fusion, self.choices)


def read_kept_run(path: Path) -> KeptRun:
    """Open a run for fusing its predictions again.

    Raises:
        DataError: the folder holds no finished run, or one without kept predictions.
        CocoFormatError: a file of it is damaged.
    """
    try:
        content = json.loads((path / RUN_FILE).read_bytes())
        settings = content["settings"]
        if not settings["predictions"]:
            raise DataError(f"{path} has no kept predictions; run it with --keep-predictions")
        if "photos" not in content:
            raise DataError(f"{path} is not finished; give its command again")
        space = load_space(settings["pipeline"]["label_space"])
        instance_space = load_space(settings["label_spaces"]["instance"])
        fusion = change_fusion(FusionConfig(), settings["pipeline"]["fusion"])
    except OSError as err:
        raise DataError(f"{path} holds no run ({err.strerror})") from err
    except (ValueError, KeyError, TypeError) as err:
        raise CocoFormatError(f"{path / RUN_FILE} cannot be read ({err!r})") from err
    choices = find_label_map(instance_space, space).choices
    return KeptRun(path, fusion, space, choices, read_panoptic_json(path))
