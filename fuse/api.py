"""All that the command line does, as functions; most commands call the one of their name."""

from __future__ import annotations

from fuse.analysis.compare import Comparison, compare
from fuse.analysis.diagnose.diagnose import diagnose
from fuse.analysis.diagnose.diagnosis import Diagnosis
from fuse.analysis.disagreement import Disagreement, disagree
from fuse.analysis.draw import DrawResult, draw
from fuse.analysis.kept_nets import evaluate
from fuse.analysis.label_coverage import (
    LabelAudit,
    audit,
    draft,
    list_category_rows,
    list_coco_categories,
    list_space_rows,
)
from fuse.analysis.pairs import pairs
from fuse.analysis.profile import ProfileRow, profile
from fuse.analysis.sweep import SweepResult, sweep
from fuse.analysis.sweep_plot import check_plot_path, plot_sweep
from fuse.datasets.convert import ConvertResult, convert
from fuse.evaluation.evaluate import Evaluation, write_per_image_csv
from fuse.exports.export import ExportResult, export
from fuse.inference.fetch import PipelineEntry, describe_pipelines, fetch
from fuse.inference.presets import find_examples, list_pipelines
from fuse.io.files import StrPath
from fuse.labels import list_maps
from fuse.models.registry import list_models
from fuse.report.build import Report, report
from fuse.runs.combine import CombineResult, combine
from fuse.runs.merge import MergeResult, merge
from fuse.runs.run import Progress, RunResult, run
from fuse.runs.verify import Verification, verify


def demo(
    out: StrPath, *, on_progress: Progress | None = None, overwrite: bool = False
) -> RunResult:
    """Run the default pipeline over the example images, score it and draw what it saw.

    Raises:
        DataError: the example images are not there.
    """
    examples = find_examples()
    return run(
        [str(examples / "images")],
        out,
        gt=examples / "annotations.json",
        pictures=True,
        overwrite=overwrite,
        on_progress=on_progress,
    )


__all__ = [
    "CombineResult",
    "Comparison",
    "ConvertResult",
    "Diagnosis",
    "Disagreement",
    "DrawResult",
    "Evaluation",
    "ExportResult",
    "LabelAudit",
    "MergeResult",
    "PipelineEntry",
    "ProfileRow",
    "Report",
    "RunResult",
    "SweepResult",
    "Verification",
    "audit",
    "check_plot_path",
    "combine",
    "compare",
    "convert",
    "demo",
    "describe_pipelines",
    "diagnose",
    "disagree",
    "draft",
    "draw",
    "evaluate",
    "export",
    "fetch",
    "list_category_rows",
    "list_coco_categories",
    "list_maps",
    "list_models",
    "list_pipelines",
    "list_space_rows",
    "merge",
    "pairs",
    "plot_sweep",
    "profile",
    "report",
    "run",
    "sweep",
    "verify",
    "write_per_image_csv",
]
