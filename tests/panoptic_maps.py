"""Small panoptic maps for tests: made by hand, by Hypothesis, and written as files."""

import json

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fuse.io.png import write_id_map
from fuse.types import Category, LabelSpace, PanopticPrediction, SegmentInfo

CATEGORIES = (1, 2, 7)
SPACE = LabelSpace(
    "toy",
    (Category(1, "person", True), Category(2, "dog", True), Category(7, "sky", False)),
)


def panoptic(rows, categories, crowds=(), areas=None):
    """A PanopticPrediction of rows of ids; categories and claimed areas are by segment_id."""
    panoptic_map = np.array(rows, dtype=np.int32, ndmin=2)
    areas = areas or {}
    return PanopticPrediction(
        panoptic_map,
        tuple(
            SegmentInfo(
                segment_id=segment_id,
                category_id=category_id,
                area=areas.get(segment_id, int((panoptic_map == segment_id).sum())),
                bbox=(0, 0, 1, 1),
                iscrowd=segment_id in crowds,
            )
            for segment_id, category_id in categories.items()
        ),
    )


@st.composite
def panoptic_maps(draw, shape, *, void=True, crowd=True):
    """A map of few large segments, so that matches are common; ids reach 2**24 - 1."""
    height, width = shape
    ids = draw(st.lists(st.integers(1, 2**24 - 1), min_size=1, max_size=5, unique=True))
    cells = hnp.arrays(np.int32, (3, 3), elements=st.sampled_from(([0] if void else []) + ids))
    coarse = draw(cells)
    fine_rows, fine_columns = -(-height // 3), -(-width // 3)
    panoptic_map = np.kron(coarse, np.ones((fine_rows, fine_columns), dtype=np.int32))
    panoptic_map = panoptic_map[:height, :width].astype(np.int32)
    for _ in range(draw(st.integers(0, 6))):  # single pixels that belong to something else
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        panoptic_map[y, x] = draw(st.sampled_from(ids))
    present = [segment_id for segment_id in ids if (panoptic_map == segment_id).any()]
    categories = {segment_id: draw(st.sampled_from(CATEGORIES)) for segment_id in present}
    crowds = {i for i in present if crowd and draw(st.integers(0, 3)) == 0}
    return panoptic(panoptic_map, categories, crowds)


@st.composite
def pairs(draw, *, void=True, crowd=True):
    """Truth and prediction of one size; the prediction is never a crowd."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    truth = draw(panoptic_maps(shape, void=void, crowd=crowd))
    return truth, draw(panoptic_maps(shape, void=void, crowd=False))


def write_dataset(folder, name, images, /, space=SPACE, **changes):
    """Write images {image_id: PanopticPrediction} as ``name.json`` and ``name/*.png``.

    The JSON is written by hand, as other tools do; changes replace its top-level entries.
    """
    (folder / name).mkdir(parents=True)
    annotations, listed = [], []
    for image_id, image in images.items():
        write_id_map(folder / name / f"{image_id}.png", image.panoptic_map)
        height, width = image.size
        listed.append(
            {"id": image_id, "file_name": f"{image_id}.jpg", "height": height, "width": width}
        )
        segments = [
            {
                "id": s.segment_id,
                "category_id": s.category_id,
                "area": s.area,
                "bbox": list(s.bbox),
                "iscrowd": int(s.iscrowd),
            }
            for s in image.segments_info
        ]
        annotations.append(
            {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments}
        )
    categories = [
        {"id": c.category_id, "name": c.name, "isthing": int(c.isthing)} for c in space.categories
    ]
    content = {"images": listed, "annotations": annotations, "categories": categories} | changes
    path = folder / f"{name}.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return path
