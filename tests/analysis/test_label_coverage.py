import json
from dataclasses import replace

import numpy as np
import pytest
from factories import TOY_SPACE, panoptic_truth
from hypothesis import given
from hypothesis import strategies as st
from panoptic_maps import panoptic, write_dataset
from real_data import COCO_ANNOTATIONS, needs_real_data

from fuse.analysis.label_coverage import (
    audit,
    audit_map,
    list_space_rows,
    push_truth,
    score_ceiling,
)
from fuse.labels import LabelMap, find_label_map, list_maps, load_space, read_space
from fuse.types import Category, LabelSpace

# A source that knows one animal, calls all that grows "green", and knows no road.
COARSE = LabelSpace(
    "coarse",
    (
        Category(1, "animal", True),
        Category(2, "green", False),
        Category(3, "blue", False),
        Category(4, "thing", True),
    ),
)
# green also takes in the sky, animal also the dog; "thing" goes nowhere
TO_TOY = LabelMap(COARSE, TOY_SPACE, {1: 3, 2: 21, 3: 21, 4: 0}, {1: (8,), 2: (5,)})


def test_audit_names_what_a_map_covers():
    found = audit_map(TO_TOY)
    assert found.covered == ("cat", "grass")
    assert found.unmapped_target == ("sky", "dog", "road")
    assert found.unmapped_source == ("thing",)
    assert found.many_to_one == {"grass": ("green", "blue")}
    assert found.one_to_many == {"animal": ("cat", "dog"), "green": ("grass", "sky")}
    assert found.kind_changes == {}
    assert found.ceiling is None


def test_audit_says_through_what_a_chain_leads():
    found = audit("voc", "coco_super")
    assert found.rows()[0] == ("through", "1", "coco_panoptic")
    assert found.to_json()["through"] == ("coco_panoptic",)
    assert "through" not in {what for what, _, _ in audit("voc", "coco_panoptic").rows()}


def test_audit_names_kinds_that_change():
    found = audit_map(LabelMap(COARSE, TOY_SPACE, {1: 5, 2: 3, 3: 5, 4: 8}, {}))
    assert found.kind_changes == {"animal": "sky", "green": "cat"}


def test_rows_count_and_name():
    rows = {what: (count, names) for what, count, names in audit_map(TO_TOY).rows()}
    assert rows["toy things covered"] == ("1 of 2", "")
    assert rows["toy stuff covered"] == ("1 of 3", "")
    assert rows["toy without a source"] == ("3 of 5", "sky; dog; road")
    assert rows["coarse that go to void"] == ("1 of 4", "thing")
    assert rows["many to one"] == ("1", "grass (green | blue)")
    assert rows["one to many"] == ("2", "animal (cat | dog); green (grass | sky)")
    assert rows["things to stuff or back"] == ("0", "")


@pytest.mark.parametrize("names", list_maps())
def test_shipped_maps_are_audited_whole(names):
    found = audit(*names)
    assert len(found.covered) + len(found.unmapped_target) == len(found.target.categories)
    assert set(found.many_to_one) <= set(found.covered)
    assert json.loads(json.dumps(found.to_json()))["source"] == names[0]


def test_space_rows():
    rows = {name: figures for name, *figures in list_space_rows()}
    assert rows["coco_panoptic"] == ["80", "53", "133"]
    assert rows["voc"] == ["20", "1", "21"]


# The ceiling


def without_crowds(truth):
    return replace(truth, segments_info=tuple(s for s in truth.segments_info if not s.iscrowd))


def categories_by_pixel(image):
    category = {s.segment_id: s.category_id for s in image.segments_info}
    return [[category.get(i, 0) for i in row] for row in image.panoptic_map.tolist()]


def test_what_is_left_of_a_truth():
    truth = panoptic([1, 1, 2, 2, 3, 4, 5, 6, 0], {1: 3, 2: 8, 3: 21, 4: 5, 5: 200, 6: 3}, {6})
    left = push_truth(truth, TO_TOY)
    # cat and dog are both an animal, so both come back as cats; sky joins grass; no road.
    assert left.panoptic_map.tolist() == [[1, 1, 2, 2, 3, 3, 0, 0, 0]]
    assert [(s.segment_id, s.category_id, s.area) for s in left.segments_info] == [
        (1, 3, 2),
        (2, 3, 2),
        (3, 21, 2),
    ]


def test_a_thing_that_the_source_calls_stuff_is_one_object():
    truth = panoptic([1, 2, 2, 3], {1: 3, 2: 3, 3: 8})
    left = push_truth(truth, LabelMap(COARSE, TOY_SPACE, {1: 8, 2: 3, 3: 0, 4: 0}))
    assert left.panoptic_map.tolist() == [[1, 1, 1, 3]]
    assert [(s.category_id, s.iscrowd) for s in left.segments_info] == [(3, False), (8, False)]


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_the_identity_leaves_all_but_crowds(seed, size):
    truth = panoptic_truth(np.random.default_rng(seed), size)
    before = truth.panoptic_map.copy()
    left = push_truth(truth, find_label_map(TOY_SPACE, TOY_SPACE))
    assert (truth.panoptic_map == before).all()
    assert categories_by_pixel(left) == categories_by_pixel(without_crowds(truth))
    assert not any(segment.iscrowd for segment in left.segments_info)


def test_the_ceiling_of_a_coarse_source(tmp_path):
    truth = panoptic([1, 1, 2, 2, 3, 3, 3, 4, 5, 5], {1: 3, 2: 8, 3: 21, 4: 5, 5: 200})
    gt = write_dataset(tmp_path, "gt", {1: truth}, TOY_SPACE)
    seen = []
    result = score_ceiling(TO_TOY, gt, on_progress=lambda *done: seen.append(done)).result
    by_name = {c.name: c for c in result.per_category.values()}
    assert by_name["cat"].score.pq == pytest.approx(1 / 1.5)  # the dog is a false cat
    assert by_name["dog"].score.pq == 0
    assert by_name["grass"].score.pq == pytest.approx(3 / 4)  # with the sky's pixel
    assert by_name["sky"].score.pq == by_name["road"].score.pq == 0
    assert result.all.pq == pytest.approx((1 / 1.5 + 3 / 4) / 5)
    assert seen == [(1, 1)]


def test_crowds_cost_nothing(tmp_path):
    truth = panoptic([1, 1, 2, 2], {1: 3, 2: 8}, {2})
    gt = write_dataset(tmp_path, "gt", {1: truth}, TOY_SPACE)
    result = score_ceiling(TO_TOY, gt).result
    assert (result.all.pq, result.all.n) == (1.0, 1)


def test_a_truth_in_another_space_is_mapped_first(tmp_path):
    coco = load_space("coco_panoptic")
    truth = panoptic([1, 2, 3, 3], {1: 17, 2: 18, 3: 187})  # cat, dog, sky
    gt = write_dataset(tmp_path, "gt", {1: truth}, coco)
    ceiling = audit("ade20k_150", "coco_super", gt).ceiling
    assert ceiling.mapped.startswith("ground truth mapped from coco_panoptic")
    assert ceiling.space.name == "coco_super"
    assert ceiling.result.all.pq == 1.0
    assert audit("ade20k_150", "coco_panoptic", gt).ceiling.result.things.pq == 0.0


def test_a_truth_with_more_categories_loses_the_others(tmp_path):
    coco = load_space("coco_panoptic")
    truth = panoptic([1, 3, 3], {1: 17, 3: 187})
    gt = write_dataset(tmp_path, "gt", {1: truth}, coco)
    ceiling = audit("coco_panoptic", "coco_things", gt).ceiling
    assert (ceiling.result.all.pq, ceiling.result.all.n) == (1.0, 1)


def test_a_map_and_spaces_of_ones_own(tmp_path):
    header = "category_id,class_index,name,isthing,supercategory,r,g,b\n"
    (tmp_path / "from.csv").write_text(header + "1,0,pet,1,,1,1,1\n2,1,air,0,,2,2,2\n")
    (tmp_path / "to.csv").write_text(header + "3,0,cat,1,,1,1,1\n5,1,sky,0,,2,2,2\n")
    (tmp_path / "map.csv").write_text("source,target\npet,cat\nair,void\n")
    gt = write_dataset(
        tmp_path, "gt", {1: panoptic([1, 2], {1: 3, 2: 5})}, read_space(tmp_path / "to.csv")
    )
    paths = (str(tmp_path / name) for name in ("from.csv", "to.csv"))
    found = audit(*paths, gt, map_file=tmp_path / "map.csv")
    assert found.unmapped_target == ("sky",)
    assert found.to_json()["ceiling"]["pq"]["all"] == {"pq": 0.5, "sq": 0.5, "rq": 0.5, "n": 2}


@needs_real_data
@pytest.mark.parametrize(
    ("source", "things", "stuff"),
    [("coco_stuff_171", 1.0, 1.0), ("coco_things", 1.0, 0.0), ("ade20k_150", 0.44, 0.74)],
)
def test_ceilings_on_real_truth(source, things, stuff):
    result = audit(
        source, "coco_panoptic", COCO_ANNOTATIONS / "panoptic_val2017.json"
    ).ceiling.result
    assert result.things.pq == pytest.approx(things, abs=0.005)
    assert result.stuff.pq == pytest.approx(stuff, abs=0.005)
