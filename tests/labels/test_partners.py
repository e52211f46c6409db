import pytest

from fuse.errors import LabelSpaceError
from fuse.labels import find_label_map, list_spaces, load_partners, load_space
from fuse.labels.partners import PARTNERS_DIR
from fuse.types import Category, LabelSpace

NAMES = sorted(path.stem for path in PARTNERS_DIR.glob("*.csv"))


def test_riders_go_with_what_they_ride():
    vistas = load_space("vistas_v1")
    named = {
        vistas.by_id[i].name: [vistas.by_id[p].name for p in ids]
        for i, ids in load_partners(vistas).items()
    }
    assert named == {"Bicyclist": ["Bicycle"], "Motorcyclist": ["Motorcycle"]}


@pytest.mark.parametrize("name", NAMES)
def test_partners_are_things_that_a_map_offers(name):
    assert name in list_spaces()
    space = load_space(name)
    choices = find_label_map(load_space("coco_things"), space).choices
    offered = {i for further_ids in choices.values() for i in further_ids}
    for category_id, partner_ids in load_partners(space).items():
        assert category_id in offered
        assert {category_id, *partner_ids} <= set(space.thing_ids)


def test_a_space_without_partners():
    with pytest.raises(LabelSpaceError, match="'coco_panoptic' has none; cityscapes, vistas_v1"):
        load_partners(load_space("coco_panoptic"))


def test_a_space_of_the_same_name_with_other_classes():
    space = LabelSpace("cityscapes", (Category(1, "rider", True),))
    with pytest.raises(LabelSpaceError, match=r"cityscapes\.csv: 'bicycle' is not in cityscapes"):
        load_partners(space)
