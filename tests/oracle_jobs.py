"""Runs whose nets are the ground truth itself: they take a moment and their maps are known."""

import numpy as np
from factories import panoptic_truth
from PIL import Image
from run_folders import write_maps

from fuse import api, load_space

SUPER = load_space("coco_super")
SIZE = (30, 40)


class Job:
    """Images, their ground truth, and a preset whose nets know it."""

    def __init__(self, folder, names):
        rng = np.random.default_rng(1)
        self.images, self.out = folder / "images", folder / "out"
        self.images.mkdir()
        self.truths = {name: panoptic_truth(rng, SIZE, SUPER, crowds=False) for name in names}
        self.gt = write_maps(folder / "gt.json", self.truths, SUPER, first_id=100)
        self.preset = folder / "oracle.toml"
        self.preset.write_text(
            'label_space = "coco_super"\n'
            + "".join(
                f'[{b}]\nmodel = "oracle"\ngt = "gt.json"\n' for b in ("semantic", "instance")
            )
            + "[fusion]\nstuff_area = 0\n"
        )

    def add(self, *names):
        for name in names:
            (self.images / name).parent.mkdir(exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(self.images / name)

    def run(self, out=None, **options):
        given = {"pipeline": str(self.preset), "device": "cpu"} | options
        return api.run([str(self.images)], out or self.out, **given)

    def run_list(self, path, **options):
        listed = api.read_image_list(path)
        return api.run([], self.out, image_list=listed, pipeline=self.preset, **options)

    def run_shards(self, folder, count=2):
        outs = [folder / f"part{i}" for i in range(1, count + 1)]
        for i, out in enumerate(outs, start=1):
            self.run(out, shard=(i, count))
        return outs
