import numpy as np
import pytest

from fuse.errors import LabelSpaceError
from fuse.labels import load_category_ids, load_space, resolve_classes
from fuse.types import BoxMasks, Instances
from fuse.types.label_space import ID_OF_ZERO, Category, LabelSpace, id_from_file, id_to_file

ZOO = LabelSpace("zoo", (Category(4, "cat", True), Category(0, "sky", False)))
HEADER = "category_id,class_index,name,isthing,supercategory,r,g,b\n"


def test_category_zero_has_an_id_of_its_own_in_memory():
    assert [c.category_id for c in ZOO.categories] == [4, ID_OF_ZERO]
    assert [c.file_id for c in ZOO.categories] == [4, 0]
    assert ZOO.by_id[id_from_file(0)].name == "sky"


@pytest.mark.parametrize("file_id", [0, 1, 17, ID_OF_ZERO - 1])
def test_ids_come_back(file_id):
    assert id_to_file(id_from_file(file_id)) == file_id


@pytest.mark.parametrize("file_id", [-1, ID_OF_ZERO])
def test_what_no_file_may_have_is_refused(file_id):
    with pytest.raises(ValueError, match=f"category id {file_id} does not lie in 0..16777214"):
        id_from_file(file_id)


def test_ids_are_listed_as_files_have_them():
    space = LabelSpace("zoo", tuple(Category(i, str(i), False) for i in (7, 0, 4)))
    assert [space.by_id[i].file_id for i in space.stuff_ids] == [0, 4, 7]


def test_an_id_that_stands_twice_is_named_as_in_the_file():
    with pytest.raises(LabelSpaceError, match="category id 0 stands twice"):
        LabelSpace("zoo", (Category(0, "cat", True), Category(0, "sky", False)))


def test_models_write_minus_one_for_none_where_zero_is_a_category():
    ids = np.array([[0, 4], [-1, ID_OF_ZERO]], dtype=np.int32)
    assert ZOO.read_ids(ids).tolist() == [[ID_OF_ZERO, 4], [0, ID_OF_ZERO]]
    assert ZOO.write_ids(ZOO.read_ids(ids)).tolist() == [[ID_OF_ZERO, 4], [-1, ID_OF_ZERO]]


def test_other_spaces_read_ids_as_they_are():
    ids = np.array([0, 7], dtype=np.int32)
    space = load_space("cityscapes")
    assert space.read_ids(ids) is ids
    assert space.write_ids(ids) is ids


def test_instances_may_be_made_with_category_zero():
    boxes, masks = np.zeros((2, 4), np.float32), BoxMasks(np.zeros((2, 2, 2), np.float32))
    ids = np.array([0, 4], dtype=np.int32)
    found = Instances(boxes, np.ones(2), ids, masks, (3, 3))
    assert found.category_ids.tolist() == [ID_OF_ZERO, 4]
    with pytest.raises(ValueError, match="at least 0"):
        Instances(boxes, np.ones(2), ids - 1, masks, (3, 3))


def test_class_ids_of_a_space_with_category_zero(tmp_path):
    path = tmp_path / "zoo.csv"
    path.write_text(HEADER + "0,2,sky,0,,0,0,0\n4,0,cat,1,,0,0,0\n")
    assert load_category_ids(str(path)) == (4, -1, ID_OF_ZERO)
    assert resolve_classes("a net", 3, str(path), None)[1].tolist() == [4, -1, ID_OF_ZERO]
    assert resolve_classes("a net", 2, str(path), [-1, 0])[1].tolist() == [-1, ID_OF_ZERO]
