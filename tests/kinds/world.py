"""A small world for each kind of fault: images, their truth, nets that know it, and commands."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner
from oracle_jobs import Job
from PIL import Image

from fuse.cli import main

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
RUN = "run images -o out --pipeline oracle.toml --device cpu"
# What scores: the command, and where the PQ of things stands in what it prints.
SCORERS = {
    "run --gt": (
        "run images -o scored --pipeline oracle.toml --device cpu --gt {gt} --json -",
        lambda figures: figures["pq"]["things"]["pq"],
    ),
    "evaluate": (
        "evaluate --gt {gt} --pred {pred} --json -",
        lambda figures: figures["pq"]["things"]["pq"],
    ),
    "compare": (
        "compare {pred} {pred} --gt {gt} --json -",
        lambda figures: figures["runs"][1]["pq"]["things"]["pq"],
    ),
    "sweep": (
        "sweep --predictions {pred} --gt {gt} --grid score_threshold=0.5 --json -",
        lambda figures: figures["best"]["things"],
    ),
    "diagnose": (
        "diagnose --predictions {pred} --gt {gt} --orders 2 --json -",
        lambda figures: figures["pq"]["things"]["pq"],
    ),
    "report": (
        "report {pred} --gt {gt} -o report.html",
        lambda figures: figures["runs"][0]["scores"]["pq"]["things"]["pq"],
    ),
}
FIGURES = re.compile(r'<script type="application/json" id="figures">(.*?)</script>', re.DOTALL)


@dataclass
class Answer:
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str

    def says(self, pattern):
        """Whether it came to its end and told that."""
        assert self.exit_code in (0, 3), self
        assert re.search(pattern, self.stdout + self.stderr), self
        return "said"

    def refuses(self, pattern):
        """Whether it ended with one line of error that says that."""
        assert self.exit_code in (1, 2), self
        assert "Traceback" not in self.stderr, self.stderr
        lines = [line for line in self.stderr.splitlines() if not line.startswith(("Usage", "Try"))]
        assert re.search(pattern, lines[-1]), self.stderr
        return "refused"


class World:
    """A folder to be spoilt; the working directory of its commands is that folder."""

    def __init__(self, folder, names=NAMES):
        self.folder = Path(folder)
        self.names = list(names)
        self.job = Job(self.folder, self.names)
        self.job.add(*self.names)
        self.images, self.gt, self.out = self.job.images, self.job.gt, self.job.out

    def call(self, line):
        """Carry out ``fuse LINE``."""
        result = CliRunner().invoke(main, shlex.split(line))
        return Answer(result.exit_code, result.stdout, result.stderr)

    def run(self, more="", out="out"):
        """A run of all images, of which nothing must fail."""
        answer = self.call(f"{RUN.replace('-o out', f'-o {out}')} --keep-predictions {more}")
        assert answer.exit_code == 0, answer
        return answer

    def score(self, scorer, gt="gt.json", pred="out"):
        """The PQ of things that a command finds, and its answer."""
        line, find = SCORERS[scorer]
        answer = self.call(line.format(gt=shlex.quote(str(gt)), pred=pred))
        if answer.exit_code:
            return None, answer
        text = answer.stdout
        if scorer == "report":
            (text,) = FIGURES.findall(Path("report.html").read_text("utf-8"))
        return find(json.loads(text)), answer

    def change_gt(self, change):
        """Change the ground truth's JSON in place."""
        content = json.loads(self.gt.read_text())
        change(content)
        self.gt.write_text(json.dumps(content))

    def repaint(self, name):
        """Another image under the same name."""
        path = self.images / name
        height, width = 30, 40
        Image.new("RGB", (width, height), "red").save(path)
