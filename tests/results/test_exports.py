"""What a result becomes for other libraries, held to the libraries themselves."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from factories import TOY_SPACE, panoptic_truth
from PIL import Image
from torchmetrics.detection import PanopticQuality as TorchQuality

from fuse import PanopticResult
from fuse.errors import ConfigError, LabelSpaceError
from fuse.io.png import read_id_map
from fuse.types import Category, LabelSpace, PanopticPrediction, SegmentInfo

supervision = pytest.importorskip("supervision")


def merge_stuff(truth):
    """The truth with one segment per class of stuff, as a prediction has it."""
    first, segments, panoptic_map = {}, {}, truth.panoptic_map.copy()
    for segment in truth.segments_info:
        isthing = TOY_SPACE.by_id[segment.category_id].isthing
        key = segment.segment_id if isthing else -segment.category_id
        kept = first.setdefault(key, segment.segment_id)
        panoptic_map[panoptic_map == segment.segment_id] = kept
        segments[kept] = segment.category_id
    made = []
    for segment_id, category_id in segments.items():
        y, x = np.nonzero(panoptic_map == segment_id)
        box = (int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
        made.append(SegmentInfo(segment_id, category_id, len(y), box))
    return PanopticPrediction(panoptic_map, tuple(made))


@pytest.fixture(params=range(3))
def result(request):
    rng = np.random.default_rng(request.param)
    truth = panoptic_truth(rng, (60, 80), segments=9, block=20, crowds=False)
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return PanopticResult.from_prediction(merge_stuff(truth), TOY_SPACE, image=image)


def same(one, other):
    """Whether two results have the same segments, whatever their ids."""
    maps = one.panoptic_map.flat, other.panoptic_map.flat
    pairs = {(int(a), int(b)) for a, b in zip(*maps, strict=True)}
    names = [{s.id: s.name for s in r} | {0: None} for r in (one, other)]
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and all(
        names[0][a] == names[1][b] for a, b in pairs
    )


def test_transformers_and_back(result):
    output = result.to_transformers()
    assert output["segmentation"].dtype == torch.int32
    assert np.array_equal(output["segmentation"].numpy(), result.panoptic_map)
    id2label = dict(enumerate(c.name for c in TOY_SPACE.categories))
    assert [id2label[s["label_id"]] for s in output["segments_info"]] == [s.name for s in result]
    assert same(PanopticResult.from_transformers(output, TOY_SPACE), result)
    for segment in output["segments_info"]:
        del segment["label"]
    assert same(PanopticResult.from_transformers(output, TOY_SPACE, id2label), result)
    with pytest.raises(LabelSpaceError, match=r"what is class \d\? Give names"):
        PanopticResult.from_transformers(output, TOY_SPACE)


def test_detectron2_and_back(result):
    panoptic_seg, segments_info = result.to_detectron2()
    assert np.array_equal(panoptic_seg.numpy(), result.panoptic_map)
    assert [s["isthing"] for s in segments_info] == [s.isthing for s in result]
    assert same(PanopticResult.from_detectron2((panoptic_seg, segments_info), TOY_SPACE), result)

    names = [c.name for c in TOY_SPACE.categories]
    metadata = SimpleNamespace(thing_classes=names, stuff_classes=names)
    for segment in segments_info:
        del segment["name"]
    back = PanopticResult.from_detectron2((panoptic_seg, segments_info), TOY_SPACE, metadata)
    assert same(back, result)


def test_torch_and_back(result):
    pairs = result.to_torch()
    assert pairs.shape == (60, 80, 2)
    assert pairs.dtype == torch.int64
    assert np.array_equal(pairs[..., 0].numpy(), result.semantic_map)
    assert same(PanopticResult.from_torch(pairs, TOY_SPACE), result)


def test_torchmetrics_takes_what_it_is_given(result):
    metric = TorchQuality(
        set(TOY_SPACE.thing_ids), set(TOY_SPACE.stuff_ids), allow_unknown_preds_category=True
    )
    pairs = result.to_torch()[None]
    assert float(metric(pairs, pairs)) == 1


def test_supervision_draws_the_result(result):
    detections = result.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert len(detections) == len(result)
    np.testing.assert_array_equal(detections.xyxy, result.xyxy)
    np.testing.assert_array_equal(detections.class_id, result.class_id)
    np.testing.assert_array_equal(np.asarray(detections.mask), result.mask)
    assert detections.area.tolist() == result.area.tolist()
    assert list(detections["class_name"]) == [segment.name for segment in result]
    scene = supervision.MaskAnnotator().annotate(result.image.copy(), detections)
    scene = supervision.BoxAnnotator().annotate(scene, detections)
    scene = supervision.LabelAnnotator().annotate(scene, detections)
    assert (scene != result.image).any()
    assert len(detections[detections.class_id == 3]) == len(result["cat"])


def test_a_result_without_segments_is_for_all_of_them(result):
    empty = result[[]]
    assert len(empty.to_supervision()) == 0
    assert empty.to_transformers()["segments_info"] == []
    assert empty.to_detectron2()[1] == []
    assert not empty.to_torch().any()
    assert len(PanopticResult.from_torch(empty.to_torch(), TOY_SPACE)) == 0


def test_supervision_that_is_missing_is_told(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ConfigError, match="supervision is not installed: pip install supervision"):
        result.to_supervision()


def test_coco_annotation_and_png(result, tmp_path):
    annotation, png = result.to_coco(7, "photo.jpg")
    (tmp_path / "a.png").write_bytes(png)
    assert np.array_equal(read_id_map(tmp_path / "a.png"), result.panoptic_map)
    assert Image.open(io.BytesIO(png)).mode == "RGB"
    assert annotation["image_id"] == 7
    assert annotation["file_name"] == "photo.png"
    assert [s["area"] for s in annotation["segments_info"]] == result.area.tolist()
    assert result.to_coco("x", "folder/y.PNG")[0]["file_name"] == "folder/y.PNG"


def test_void_is_no_category_where_a_category_is_0():
    space = LabelSpace("zero", (Category(0, "road", False), Category(1, "car", True)))
    result = PanopticResult(
        panoptic_map=np.array([[0, 2]], dtype=np.int32),
        segments_info=(SegmentInfo(2, space.by_name["road"].category_id, 1, (1, 0, 1, 1)),),
        space=space,
    )
    assert result.semantic_map.tolist() == [[-1, 0]]
    assert result.to_torch().tolist() == [[[-1, 0], [0, 0]]]
    assert result.names == {0: "road", 1: "car"}
    assert (result[0].category_id, result.class_id.tolist()) == (0, [0])
    assert result["road"].area.tolist() == [1]
    assert result.summary()[0]["class"] == 0
    assert result.to_coco(1, "a.png")[0]["segments_info"][0]["category_id"] == 0
    assert result.to_transformers()["segments_info"][0]["label_id"] == 0
    assert same(PanopticResult.from_torch(result.to_torch(), space), result)
    assert same(PanopticResult.from_transformers(result.to_transformers(), space), result)
