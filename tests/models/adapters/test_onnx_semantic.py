"""ONNX files as semantic nets: layouts, number formats, normalisation, and the TOML beside them."""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import TensorProto, helper, numpy_helper
from real_data import REAL_NETS, needs_real_data

from fuse.errors import ConfigError, LabelSpaceError, ModelError, ModelNotFoundError
from fuse.inference.pipeline import Pipeline
from fuse.io.images import read_image
from fuse.labels import load_space
from fuse.models.registry import create_semantic_model
from fuse.types import NamedImage

ROOT = Path(__file__).parents[3]
MOSAIC = REAL_NETS / "mosaic_r4_ade20k32_logits.onnx"
EXAMPLES = ROOT / "examples/images"
CLASSES = 4
IDS = [0, 13, 14, 15]
SPACE = {"label_space": "coco_super", "class_ids": IDS}
WEIGHT = np.random.default_rng(0).normal(size=(CLASSES, 3, 4, 4)).astype(np.float32)


def write_net(path, *, size=(32, 48), dtype=TensorProto.FLOAT, nhwc=False, out_nhwc=False):
    """One convolution of stride 4 as an ONNX file; the input is cast and turned where asked."""
    height, width = size
    nodes = [helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT)]
    shape, source = [1, 3, height, width], "floats"
    if nhwc:
        shape, source = [1, height, width, 3], "turned"
        nodes.append(helper.make_node("Transpose", ["floats"], ["turned"], perm=[0, 3, 1, 2]))
    conv_output = "conv" if out_nhwc else "logits"
    nodes.append(helper.make_node("Conv", [source, "weight"], [conv_output], strides=[4, 4]))
    out_shape = [1, CLASSES, None, None]
    if out_nhwc:
        nodes.append(helper.make_node("Transpose", ["conv"], ["logits"], perm=[0, 2, 3, 1]))
        out_shape = [1, None, None, CLASSES]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, out_shape)],
        [numpy_helper.from_array(WEIGHT, "weight")],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return str(path)


def make_image(height=64, width=96, seed=0):
    rng = np.random.default_rng(seed)
    return NamedImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def resize(image, size):
    """float32 (3, h, w), 0..255."""
    pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1).float()[None]
    return F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)[0]


def convolve(image):
    """The net by hand on float (3, h, w)."""
    return F.conv2d(image[None], torch.from_numpy(WEIGHT), stride=4)[0].numpy()


def load(path, **options):
    return create_semantic_model("onnx", "cpu", {"weights": path, **SPACE, **options})


def check(model, image, expected):
    (semantic,) = model.predict([image])
    np.testing.assert_allclose(
        semantic.logits, expected, rtol=2e-3, atol=2e-3 * abs(expected).max()
    )
    return semantic


def test_floats_normalised_in_the_nets_own_range_and_order(tmp_path):
    mean, std = [104.0, 116.0, 123.0], [58.0, 57.0, 59.0]
    model = load(
        write_net(tmp_path / "net.onnx"), channels="bgr", value_range=255, mean=mean, std=std
    )
    image = make_image()
    bgr = resize(image, (32, 48)).flip(0)
    by_hand = (bgr - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    semantic = check(model, image, convolve(by_hand))
    assert semantic.scale == (8 / 64, 12 / 96)
    assert semantic.offset == (-0.4375, -0.4375)
    # onnxruntime called by hand gives the same.
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    (answer,) = session.run(None, {"image": by_hand[None].numpy()})
    check(model, image, answer[0])


def test_bytes_in_channels_last_as_the_file_says(tmp_path):
    path = write_net(tmp_path / "net.onnx", dtype=TensorProto.UINT8, nhwc=True, out_nhwc=True)
    image = make_image()
    check(load(path), image, convolve(resize(image, (32, 48)).round().clamp(0, 255)))


def test_bytes_are_bytes_whatever_white_is_called(tmp_path):
    path = write_net(tmp_path / "net.onnx", dtype=TensorProto.UINT8, nhwc=True, out_nhwc=True)
    image = make_image()
    answers = [
        load(path, **options).predict([image])[0].logits for options in ({}, {"value_range": 255})
    ]
    np.testing.assert_array_equal(*answers)


def test_half_precision_files(tmp_path):
    path = write_net(tmp_path / "net.onnx", dtype=TensorProto.FLOAT16)
    image = make_image()
    check(load(path), image, convolve(resize(image, (32, 48)) / 255))


def test_letterbox_pads_at_the_right_and_bottom(tmp_path):
    image = make_image(64, 64)
    pixels = F.pad(resize(image, (32, 32)) / 255, (0, 16))
    (semantic,) = load(write_net(tmp_path / "net.onnx"), letterbox=True).predict([image])
    width = semantic.logits.shape[2]
    assert width == 9  # eight cells of image, and one that its last pixel reads a part of
    np.testing.assert_allclose(semantic.logits, convolve(pixels)[:, :, :width], atol=2e-2)
    assert semantic.scale == (8 / 64, 8 / 64)


def test_any_size_with_align_corners(tmp_path):
    path = write_net(tmp_path / "net.onnx", size=("height", "width"))
    image = make_image(30, 50)
    pixels = F.pad(resize(image, (60, 100)) / 255, (0, 28, 0, 4))
    model = load(path, min_size=60, divisor=64, align_corners=True)
    (semantic,) = model.predict([image])
    assert semantic.scale == pytest.approx((2 * 15 / 63, 2 * 31 / 127))
    rows, columns = semantic.logits.shape[1:]
    np.testing.assert_allclose(semantic.logits, convolve(pixels)[:, :rows, :columns], atol=2e-2)


def test_a_toml_beside_the_file_and_a_preset_on_top(tmp_path):
    path = write_net(tmp_path / "net.onnx")
    (tmp_path / "net.toml").write_text(
        'label_space = "coco_super"\nclass_ids = [0, 13, 14, 15]\nvalue_range = 255.0\n'
        "mean = [128, 128, 128]\n"
    )
    image = make_image()
    pixels = resize(image, (32, 48))
    check(create_semantic_model("onnx", "cpu", {"weights": path}), image, convolve(pixels - 128))
    model = create_semantic_model("onnx", "cpu", {"weights": path, "mean": [0, 0, 0]})
    check(model, image, convolve(pixels))
    assert model.category_ids.tolist() == IDS


def name_classes(path, names):
    model = onnx.load(path)
    helper.set_model_props(model, {"names": str(dict(enumerate(names)))})
    onnx.save(model, path)


def test_names_in_the_metadata_or_beside_the_file_are_believed(tmp_path):
    net = write_net(tmp_path / "net.onnx")
    named = [load_space("coco_super").by_id[i].name if i else "nothing" for i in IDS]
    for place in ("metadata", "toml"):
        for order in ([0, 1, 2, 3], [0, 3, 1, 2]):
            names = [named[row] for row in order]
            if place == "metadata":
                name_classes(net, names)
            else:
                (tmp_path / "net.toml").write_text(f"class_names = {json.dumps(names)}")
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                model = load(net, **SPACE)
            assert model.category_ids.tolist() == [IDS[row] for row in order]
            assert len(said) == (order != [0, 1, 2, 3])


def test_other_names_are_refused(tmp_path):
    net = write_net(tmp_path / "net.onnx")
    write_space = "category_id,class_index,name,isthing,supercategory,r,g,b\n" + "".join(
        f"{row + 1},{row},{name},0,,0,0,0\n" for row, name in enumerate("abcd")
    )
    (tmp_path / "letters.csv").write_text(write_space)
    name_classes(net, ["a", "b", "c", "e"])
    with pytest.raises(
        ConfigError, match=r"net\.onnx: its classes are not.*class 3 is 'e', not 'd'"
    ):
        create_semantic_model(
            "onnx", "cpu", {"weights": net, "label_space": str(tmp_path / "letters.csv")}
        )


def test_each_image_of_a_batch_is_answered_alone(tmp_path):
    model = load(write_net(tmp_path / "net.onnx"))
    images = [make_image(seed=1), make_image(40, 20, seed=2), make_image(seed=3)]
    answers = model.predict(images)
    assert [answer.size for answer in answers] == [image.size for image in images]
    assert [a.logits.tolist() for a in answers] == [
        model.predict([image])[0].logits.tolist() for image in images
    ]


@pytest.mark.parametrize("location", ["net.onnx.data", "weights.bin", f"{'x' * 150}.bin"])
def test_the_hash_covers_weights_beside_the_graph(tmp_path, location):
    path = tmp_path / "net.onnx"
    write_net(path)
    alone = load(str(path)).weights_hash
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location=location,
        size_threshold=0,
    )
    assert (tmp_path / location).is_file()
    graph_only = path.read_bytes()
    with_data = load(str(path)).weights_hash
    (tmp_path / location).write_bytes(bytes(WEIGHT.nbytes))
    assert path.read_bytes() == graph_only
    assert len({alone, with_data, load(str(path)).weights_hash}) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_space": None}, ConfigError, "what its 4 classes are; set label_space"),
        ({"class_ids": [0, 13]}, ConfigError, "has 4 classes, but class_ids has 2"),
        ({"class_ids": [0, 1, 2, 99]}, LabelSpaceError, "99 is no category_id of 'coco_super'"),
        ({"chanels": "bgr"}, ConfigError, "has no key 'chanels'; did you mean 'channels'"),
        ({"channels": "grey"}, ConfigError, "channels must be 'rgb' or 'bgr', got 'grey'"),
        ({"layout": "hwc"}, ConfigError, "layout must be 'nchw' or 'nhwc', got 'hwc'"),
        ({"value_range": 0}, ConfigError, "value_range must be above 0"),
        ({"mean": "imagenet"}, ConfigError, "mean must be a list, each a number, got 'imagenet'"),
        ({"size": [64, 64]}, ConfigError, "takes images 48 wide, 32 high, but size says 64"),
        ({"min_size": 64}, ConfigError, "takes images 48 wide, 32 high; leave out min_size"),
        ({"output": "mask"}, ConfigError, "set output to one of logits"),
        ({"layout": "nhwc"}, ModelError, "takes images of 48 channels, .* set layout"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        load(write_net(tmp_path / "net.onnx"), **options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            [1, 1, 32, 48],
            "takes images of 1 channel, but images here have 3; export a net",
        ),
        ([1, 4, 32, 48], "takes images of 4 channels"),
        ([1, 32, 48, 1], "takes images of 1 channel,"),
        ([1, 32, 48, 4], "takes images of 4 channels"),
        ([8, 3, 32, 48], "takes 8 images at a time, .* export it with a batch of 1 or of any size"),
    ],
)
def test_an_input_that_is_not_one_colour_image_is_named(tmp_path, shape, message):
    net = write_net(tmp_path / "net.onnx")
    model = onnx.load(net)
    for dim, value in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = value
    model.graph.node.remove(model.graph.node[1])  # a cast is left, which any shape goes through
    model.graph.node[0].output[0] = "logits"
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, net)
    with pytest.raises(ModelError, match=f"net.onnx: {message}"):
        load(net)


def test_a_file_that_is_no_net_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no weights 'net\.onnx'"):
        load("net.onnx")
    (tmp_path / "net.onnx").write_bytes(b"no net")
    with pytest.raises(ModelError, match=r"net\.onnx: onnxruntime cannot open it"):
        load(str(tmp_path / "net.onnx"))
    path = write_net(tmp_path / "net.onnx", dtype=TensorProto.UINT8)
    with pytest.raises(ConfigError, match="takes bytes as they are; leave out mean"):
        load(path, mean=[1, 2, 3])
    (tmp_path / "net.toml").write_text("mean = [")
    with pytest.raises(ConfigError, match=r"net\.toml: not valid TOML"):
        load(path)


@needs_real_data
def test_a_real_net_by_toml_alone(tmp_path):
    """Bytes in, channels last, a first class that means "other", ADE20K's labels mapped."""
    preset = tmp_path / "mosaic.toml"
    preset.write_text(
        f'label_space = "coco_super"\n'
        f'[semantic]\nmodel = "onnx"\nweights = "{MOSAIC.as_posix()}"\n'
        f'label_space = "ade20k_32"\n'
        f'[instance]\nmodel = "torchvision"\nweights = "tiny_instance"\n'
        f"[fusion]\nstuff_area = 0.02\n"
    )
    pipeline = Pipeline.load(str(preset), device="cpu")
    image = read_image(EXAMPLES / "china.jpg")
    prediction = pipeline(image)
    names = {pipeline.space.by_id[s.category_id].name for s in prediction.segments_info}
    assert {"sky", "plant", "building"} <= names
