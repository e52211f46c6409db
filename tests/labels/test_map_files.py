"""Label maps as CSV files: read, written, and drafted to be completed by hand."""

import pytest
from factories import TOY_SPACE

from fuse.errors import DataError, LabelSpaceError
from fuse.io.csv_files import write_label_map
from fuse.labels import (
    LabelMap,
    draft_label_map,
    find_label_map,
    list_maps,
    load_space,
    read_label_map,
)
from fuse.types import Category, LabelSpace

BEASTS = LabelSpace(
    "beasts",
    (Category(1, "beast", True), Category(2, "nature", False), Category(3, "way", False)),
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from,to\n", "the first line must read source,target or source,target,also"),
        ("source,target\nbeest,void\n", "line 2: 'beest' is not in beasts; did you mean 'beast'"),
        ("source,target\nbeast,cats\n", "line 2: 'cats' is not in toy; did you mean 'cat'"),
        ("source,target\nbeast,cat\nbeast,dog\n", "line 3: 'beast' stands twice"),
        ("source,target\nbeast,cat\nway,road\n", "no line for 'nature' of beasts"),
        ("source,target\nbeast\n", "line 2: '' is not in toy"),
        ("source,target\nbeast,cat,dog\n", "line 2: too many values"),
        ("source,target,also\nbeast,cat,dog|cow\n", "line 2: 'cow' is not in toy"),
        (b"source,target\nbeast,\xff\n", "cannot be read"),
    ],
)
def test_wrong_map_files(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LabelSpaceError, match=message) as raised:
        read_label_map(path, BEASTS, TOY_SPACE)
    assert str(path) in str(raised.value)


def test_a_missing_map_file_is_named(tmp_path):
    with pytest.raises(LabelSpaceError, match=r"none\.csv: the label map cannot be read"):
        read_label_map(tmp_path / "none.csv", BEASTS, TOY_SPACE)


def test_a_map_of_ones_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("source,target,also\nbeast,cat,dog\nnature,grass,sky\nway,void,\n")
    label_map = read_label_map(path, BEASTS, TOY_SPACE)
    assert label_map.target_ids == {1: 3, 2: 21, 3: 0}
    assert label_map.also == {1: (8,), 2: (5,)}
    assert label_map.source_ids == {3: 1, 5: 2, 8: 1, 21: 2, 200: 0}


@pytest.mark.parametrize("names", list_maps())
def test_a_written_map_is_read_as_it_was(names, tmp_path):
    label_map = find_label_map(*map(load_space, names))
    write_label_map(tmp_path / "map.csv", label_map)
    again = read_label_map(tmp_path / "map.csv", label_map.source, label_map.target)
    assert (again.target_ids, again.also) == (label_map.target_ids, label_map.also)


def test_a_category_called_as_what_goes_nowhere_is_refused(tmp_path):
    target = LabelSpace("mine", (Category(1, "void", False), Category(2, "cat", True)))
    label_map = LabelMap(TOY_SPACE, target, dict.fromkeys(TOY_SPACE.by_id, 2))
    path = tmp_path / "map.csv"
    with pytest.raises(LabelSpaceError, match="mine has a category 'void'"):
        write_label_map(path, label_map)
    assert not path.exists()
    path.write_text("source,target\n")
    with pytest.raises(LabelSpaceError, match="mine has a category 'void'"):
        read_label_map(path, TOY_SPACE, target)


def test_a_draft_is_the_shipped_map_or_joins_equal_names():
    shipped = find_label_map(load_space("cityscapes"), load_space("coco_panoptic"))
    assert draft_label_map(shipped.source, shipped.target).also == shipped.also
    vistas, coco = load_space("vistas_v1"), load_space("coco_panoptic")
    draft = draft_label_map(vistas, coco)
    joined = {
        category.name: coco.by_id[draft.target_ids[category.category_id]].name
        for category in vistas.categories
        if draft.target_ids[category.category_id]
    }
    assert joined["Traffic Light"] == "traffic light"
    assert all(name.lower() == target for name, target in joined.items())
    assert len(joined) > 10


def test_a_map_completed_by_hand_is_not_written_over(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("by hand")
    with pytest.raises(DataError, match=r"map\.csv is there already"):
        write_label_map(path, find_label_map(load_space("cityscapes"), load_space("coco_panoptic")))
    assert path.read_text() == "by hand"
