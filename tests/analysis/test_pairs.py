"""Tables of pairs: counted by hand, written, and read by the rule."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from factories import rle_masks
from PIL import Image

from fuse import api
from fuse.cli import main
from fuse.errors import CocoFormatError, DataError
from fuse.fusion import FusionConfig, change_fusion
from fuse.inference.presets import parse_fusion_overrides
from fuse.io.csv_files import PairCount, read_pairs, write_pairs

PERSON, TIE, TABLE, FORK, SKY = 1, 32, 67, 48, 187  # of COCO panoptic
NAMES = {PERSON: "person", TIE: "tie", TABLE: "dining table", FORK: "fork", SKY: "sky-other-merged"}


def write_truth(folder, images):
    """Panoptic truth and instances; images: image_id -> (rows of category ids, instances).

    Every category of an image is one segment; instances are (category_id, first, stop, iscrowd)
    over columns of one row.
    """
    (folder / "gt").mkdir()
    annotations, instances = [], []
    for image_id, (row, found) in images.items():
        pixels = np.array([row], np.uint8)
        Image.fromarray(np.stack([pixels, pixels * 0, pixels * 0], axis=2)).save(
            folder / "gt" / f"{image_id}.png"
        )
        segments = [{"id": i, "category_id": i} for i in sorted(set(row) - {0})]
        annotations.append(
            {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments}
        )
        for category_id, first, stop, iscrowd in found:
            mask = np.zeros((1, 1, len(row)), dtype=bool)
            mask[0, 0, first:stop] = True
            (rle,) = rle_masks(mask).rles
            rle = {"size": list(rle["size"]), "counts": rle["counts"].decode()}
            instances.append(
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": rle,
                    "iscrowd": iscrowd,
                }
            )
    categories = [{"id": i, "name": name, "isthing": int(i != SKY)} for i, name in NAMES.items()]
    truth = {"annotations": annotations, "categories": categories}
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "instances.json").write_text(json.dumps({"annotations": instances}))
    return folder / "gt.json", folder / "instances.json"


WEARER = [PERSON] * 3 + [TIE] * 3 + [PERSON] * 4
IMAGES = {
    # The tie has its pixels, and a crowd does not count.
    5: (WEARER, [(PERSON, 0, 10, 0), (TIE, 3, 6, 0), (FORK, 3, 6, 1)]),
    # The tie is behind a hand: one for the person; the fork lies on the table.
    6: (
        [PERSON] * 10 + [FORK] * 2 + [TABLE] * 8,
        [(PERSON, 0, 10, 0), (TIE, 3, 6, 0), (FORK, 10, 12, 0), (TABLE, 9, 20, 0)],
    ),
    7: (WEARER, [(PERSON, 0, 10, 0), (TIE, 3, 6, 0)]),
    # One pixel of twenty is a touch of outlines, not an overlap.
    8: (
        [PERSON] * 20 + [TABLE] * 20,
        [(PERSON, 0, 20, 0), (TABLE, 19, 40, 0)],
    ),
}


def test_who_has_the_shared_pixels_is_above(tmp_path):
    gt, instances = write_truth(tmp_path, IMAGES)
    found = api.pairs(gt, instances, tmp_path / "pairs.csv")
    assert found == (PairCount("tie", "person", 2, 1), PairCount("fork", "dining table", 1, 0))
    assert (tmp_path / "pairs.csv").read_text() == (
        "above,below,wins,losses\ntie,person,2,1\nfork,dining table,1,0\n"
    )
    changes = parse_fusion_overrides(["rule=pairs", f"pairs={tmp_path / 'pairs.csv'}"])
    fusion = change_fusion(FusionConfig(), changes)
    assert fusion.pairs == (("tie", "person"), ("fork", "dining table"))


def test_rare_pairs_are_left_out_and_classes_are_mapped(tmp_path):
    gt, instances = write_truth(tmp_path, IMAGES)
    out = tmp_path / "pairs.csv"
    assert [p.above for p in api.pairs(gt, instances, out, min_count=2)] == ["tie"]
    mapped = api.pairs(gt, instances, out, label_space="coco_super")
    assert [(p.above, p.below) for p in mapped] == [
        ("accessory", "person"),
        ("kitchen", "furniture"),
    ]


def test_classes_that_the_label_space_lacks_are_in_no_pair(tmp_path):
    gt, instances = write_truth(tmp_path, IMAGES)  # of these Cityscapes knows persons only
    with pytest.raises(DataError, match="no instances of two classes overlap"):
        api.pairs(gt, instances, tmp_path / "pairs.csv", label_space="cityscapes")


def test_the_command_prints_what_it_found(tmp_path):
    gt, instances = write_truth(tmp_path, IMAGES)
    arguments = ["pairs", "--gt", gt, "--instances", instances, "-o", tmp_path / "pairs.csv"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "2 of 3" in result.stdout
    assert "2 pairs -> " in result.stdout
    result = CliRunner().invoke(main, [*map(str, arguments), "--json", "-"])
    assert json.loads(result.stdout)["pairs"][0] == {
        "above": "tie",
        "below": "person",
        "wins": 2,
        "losses": 1,
    }


def test_masks_that_do_not_overlap_are_an_error(tmp_path):
    gt, instances = write_truth(tmp_path, {5: (WEARER, [(PERSON, 0, 3, 0), (TIE, 3, 6, 0)])})
    with pytest.raises(DataError, match="no instances of two classes overlap"):
        api.pairs(gt, instances, tmp_path / "pairs.csv")
    assert not (tmp_path / "pairs.csv").exists()


def test_overlaps_that_leave_no_pair_are_another_error(tmp_path):
    gt, instances = write_truth(tmp_path, IMAGES)
    with pytest.raises(DataError, match=r"of no two classes .* at least 9 overlaps"):
        api.pairs(gt, instances, tmp_path / "pairs.csv", min_count=9)
    assert not (tmp_path / "pairs.csv").exists()


def test_instances_of_other_images_are_an_error(tmp_path):
    gt, instances = write_truth(tmp_path, IMAGES)
    instances.write_text("[]")
    with pytest.raises(DataError, match=r"has no instances of the images of .*gt\.json"):
        api.pairs(gt, instances, tmp_path / "pairs.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("above\ntie\n", "line 2: give the columns above and below"),
        ("above,below\ntie,person\nfork,\n", "line 3: give the columns"),
        ("above,below\ntie,person\nperson,tie\n", "'tie' and 'person' stand both ways"),
        ("above,below\ntie,tie\n", "'tie' and 'tie' stand both ways"),
    ],
)
def test_a_wrong_table_says_where(tmp_path, text, message):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(CocoFormatError, match=message):
        read_pairs(path)


def test_a_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "pairs.csv"
    write_pairs(path, [PairCount("a, b", 'the "c"', 3, 1)])
    assert read_pairs(path) == (("a, b", 'the "c"'),)
    with pytest.raises(CocoFormatError, match="cannot be read as a table"):
        read_pairs(tmp_path / "nowhere.csv")


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("above,below\ntie,person\n", encoding="utf-8-sig")
    assert read_pairs(path) == (("tie", "person"),)
