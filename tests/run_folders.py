"""Runs that are quick to make: folders as `fuse run` writes them, of maps drawn by a generator."""

import json

import numpy as np
from factories import TOY_SPACE, panoptic_truth
from PIL import Image

from fuse.io.coco.panoptic import ImageRecord, annotation_to_json, write_panoptic_json
from fuse.io.listing import png_names
from fuse.io.png import write_id_map


def write_maps(path, predictions, space=TOY_SPACE, *, first_id=1):
    """A panoptic JSON with its PNGs, of predictions by the name of their image."""
    pngs = png_names(list(predictions))
    images, annotations = [], []
    for image_id, (name, prediction) in enumerate(predictions.items(), start=first_id):
        png_name = pngs[image_id - first_id]
        png = path.with_suffix("") / png_name
        png.parent.mkdir(parents=True, exist_ok=True)
        write_id_map(png, prediction.panoptic_map)
        images.append(ImageRecord(image_id, name, *prediction.size))
        annotations.append(annotation_to_json(image_id, png_name, prediction.segments_info))
    write_panoptic_json(path, images, annotations, space)
    return path


def write_run(folder, predictions, space=TOY_SPACE, *, seed=0):
    """Images of noise and a run over them with these predictions."""
    rng = np.random.default_rng(seed)
    images = folder / "images"
    for name, prediction in predictions.items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        height, width = prediction.size
        Image.fromarray(coarse).resize((width, height)).save(images / name, "JPEG")
    run = folder / "run"
    run.mkdir()
    write_maps(run / "panoptic.json", predictions, space)
    settings = {"inputs": [str(images)], "predictions": False}
    (run / "run.json").write_text(json.dumps({"settings": settings, "photos": {"done": 1}}))
    (run / "records.jsonl").touch()
    return run


def draw_predictions(names, *, size=(30, 40), seed=0, block=3, crowds=False):
    """A random prediction per name."""
    rng = np.random.default_rng(seed)
    return {name: panoptic_truth(rng, size, block=block, crowds=crowds) for name in names}
