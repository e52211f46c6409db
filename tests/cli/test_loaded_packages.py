"""Which heavy packages each command loads, as a whole process on real files."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dataset_folders import write_voc

from fuse import api

ROOT = Path(__file__).parents[2]
TRUTH = ROOT / "examples" / "annotations.json"

# Each takes a tenth of a second to load, or seconds.
HEAVY = {
    *("torch", "torchvision", "segmentation_models_pytorch", "timm", "transformers"),
    *("onnxruntime", "openvino", "huggingface_hub", "ray", "matplotlib", "cv2", "fsspec"),
    *("numba", "rich"),
}
TABLES = {"rich"}
KERNELS = {"numba", "rich"}  # rich has the bar of the progress, too
# What a command may load; the others not at all. GT and the like are filled in.
COMMANDS = {
    "labels": TABLES,
    "labels show coco_super": TABLES,
    "labels audit ade20k_150 coco_panoptic": TABLES,
    "pipelines": TABLES | {"huggingface_hub"},  # looks into its cache
    "models": TABLES,
    "evaluate --gt GT --pred RUN": KERNELS,
    "compare RUN RUN --gt GT": KERNELS,
    "combine --predictions RUN -o out": KERNELS,
    "sweep --predictions RUN --gt GT --grid score_threshold=0.3:0.5:0.1": KERNELS,
    "pairs --gt GT --instances INSTANCES -o pairs.csv": KERNELS,
    "diagnose --predictions RUN --gt GT": KERNELS | {"cv2"},  # distances to borders
    "disagree --predictions RUN": KERNELS,
    "report RUN --gt GT": KERNELS,
    "convert voc VOC -o gt.json": KERNELS,
    "verify RUN": TABLES,
    "merge RUN -o out": KERNELS,
}

# What is wrong at the start of a run is said before torch is loaded, which takes seconds.
REFUSED = {
    "run IMAGE -o RUN --set fusion.stuff_area=9": "holds a run with other settings",
    "demo -o RUN": "holds a run with other settings",
    "run IMAGE -o RUN --gt GT": "knows none of the images",
    "run EMPTY -o new": "no images in",
    "run IMAGE -o IMAGE": "is a file|is no folder",
    "run IMAGE -o new -p tinny": "no pipeline 'tinny'",
    "run IMAGE -o new --set fusion.rul=x": "has no key 'rul'",
    "run IMAGE -o new --workers 2": "need --engine ray",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over two images with what its nets said, and the COCO results of its instances."""
    out = tmp_path_factory.mktemp("run") / "out"
    images = [str(ROOT / "examples" / "images" / name) for name in ("chelsea.jpg", "rocket.jpg")]
    api.run(images, out, device="cpu", keep_predictions=True)
    return out


def loaded_by(command, folder):
    """The heavy packages in a process at the end of a command, and what it said on stderr."""
    code = (
        "import sys\n"
        "from fuse.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print('loaded', *sys.modules, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "\nloaded " in "\n" + done.stderr, done.stderr
    said, _, loaded = done.stderr.rpartition("loaded ")
    return HEAVY & set(loaded.split()), said


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_what_it_needs(command, run, tmp_path):
    names = {"GT": TRUTH, "RUN": run, "INSTANCES": "instances.json", "VOC": "voc"}
    if "INSTANCES" in command:
        polygon = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
        (tmp_path / "instances.json").write_text(json.dumps({"annotations": [polygon]}))
    if "VOC" in command:
        write_voc(tmp_path / "voc")
    words = [str(names.get(word, word)) for word in command.split()]
    assert loaded_by(words, tmp_path)[0] <= COMMANDS[command]


@pytest.mark.slow
@pytest.mark.parametrize("command", REFUSED)
def test_what_is_wrong_at_the_start_is_said_before_torch_is_loaded(command, run, tmp_path):
    (tmp_path / "EMPTY").mkdir()
    names = {"GT": TRUTH, "RUN": run, "IMAGE": ROOT / "docs" / "demo.jpg"}
    loaded, said = loaded_by([str(names.get(word, word)) for word in command.split()], tmp_path)
    assert re.search(REFUSED[command], said)
    assert not loaded & {"torch", "numba"}
