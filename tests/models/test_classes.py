"""Which category each row of a net's answer means."""

import pytest

from fuse.errors import ConfigError, LabelSpaceError
from fuse.labels import load_space
from fuse.models.classes import resolve_classes


def test_rows_are_those_of_the_label_space():
    space, ids = resolve_classes("net", 19, "cityscapes", None)
    assert space == load_space("cityscapes")
    assert ids.tolist()[:3] == [7, 8, 11]
    _, ids = resolve_classes("net", 21, "voc", None)
    assert ids.tolist() == [21, *range(1, 21)]  # its first row is the background
    _, ids = resolve_classes("net", 3, "voc", [5, 0, 5])
    assert ids.tolist() == [5, 0, 5]


@pytest.mark.parametrize(
    ("count", "space", "ids", "error", "message"),
    [
        (19, None, None, ConfigError, "net does not say what its 19 classes are; set label_space"),
        (
            19,
            "voc",
            None,
            ConfigError,
            "net has 19 classes, but label space 'voc' has 21; .*cityscapes",
        ),
        (2, "voc", [1, 2, 3], ConfigError, "net has 2 classes, but class_ids has 3"),
        (2, "voc", [1, 99], LabelSpaceError, "class_ids of net: 99 is no category_id of 'voc'"),
        (2, "vok", [1, 2], LabelSpaceError, "no label space 'vok'"),
    ],
)
def test_what_does_not_fit_is_named(count, space, ids, error, message):
    with pytest.raises(error, match=message):
        resolve_classes("net", count, space, ids)
