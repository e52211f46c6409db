"""Label maps that ship, one after the other."""

import pytest

from fuse.labels import find_label_map, list_maps, load_space


def shipped_map(names):
    return find_label_map(*map(load_space, names))


CHAINS = [
    ("voc", "coco_panoptic", "coco_super"),
    ("cityscapes", "coco_panoptic", "coco_super"),
    ("coco_stuff_171", "coco_panoptic", "coco_super"),
    ("voc", "coco_panoptic", "coco_things"),  # the last step is to a part
    ("ade20k_150", "coco_panoptic", "vistas_v1"),
]


@pytest.mark.parametrize("names", CHAINS)
def test_maps_that_ship_are_chained(names):
    source, middle, target = names
    chain = shipped_map((source, target))
    first, second = shipped_map((source, middle)), shipped_map((middle, target))
    assert chain.through == (middle,)
    for source_id, middle_id in first.target_ids.items():
        goal = second.target_ids[middle_id] if middle_id else 0
        assert chain.target_ids[source_id] == goal
        reached = {
            i
            for m in (middle_id, *first.also.get(source_id, ()))
            if m
            for i in (second.target_ids[m], *second.also.get(m, ()))
            if i
        }
        assert set(chain.also.get(source_id, ())) == reached - {goal}


def test_a_chain_by_names():
    chain = shipped_map(("voc", "coco_super"))
    name = chain.target.by_id
    by_name = {c.name: name[chain.target_ids[c.category_id]].name for c in chain.source.categories
               if chain.target_ids[c.category_id]}  # fmt: skip
    assert {k: by_name[k] for k in ("aeroplane", "dog", "pottedplant", "person")} == {
        "aeroplane": "vehicle", "dog": "animal", "pottedplant": "furniture", "person": "person",
    }  # fmt: skip


@pytest.mark.parametrize("names", list_maps())
def test_a_map_that_ships_is_no_chain(names):
    assert shipped_map(names).through == ()
