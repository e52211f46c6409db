"""All that the command line does, as functions; most commands call the one of their name.

Each name is loaded when it is first used: a command that runs no net does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fuse.lazy import offer

if TYPE_CHECKING:
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
    from fuse.baselines.baselines import Baselines, baselines
    from fuse.datasets.convert import ConvertResult, convert
    from fuse.evaluation.evaluate import Evaluation, write_per_image_csv
    from fuse.exports.export import ExportResult, export
    from fuse.inference.fetch import PipelineEntry, describe_pipelines, fetch
    from fuse.inference.presets import list_pipelines
    from fuse.io.files import StrPath
    from fuse.io.image_list import ImageList, read_image_list
    from fuse.labels import list_maps
    from fuse.models.registry import list_models
    from fuse.report.build import Report, report
    from fuse.runs.combine import CombineResult, combine
    from fuse.runs.merge import MergeResult, merge
    from fuse.runs.resume import resume
    from fuse.runs.run import RunResult, run
    from fuse.runs.verify import Verification, verify

_HOMES = {
    "fuse.analysis.compare": (
        "Comparison",
        "compare",
    ),
    "fuse.analysis.diagnose.diagnose": ("diagnose",),
    "fuse.analysis.diagnose.diagnosis": ("Diagnosis",),
    "fuse.analysis.disagreement": (
        "Disagreement",
        "disagree",
    ),
    "fuse.analysis.draw": ("DrawResult", "draw"),
    "fuse.analysis.kept_nets": ("evaluate",),
    "fuse.analysis.label_coverage": (
        "LabelAudit",
        "audit",
        "draft",
        "list_category_rows",
        "list_coco_categories",
        "list_space_rows",
    ),
    "fuse.analysis.pairs": ("pairs",),
    "fuse.analysis.profile": (
        "ProfileRow",
        "profile",
    ),
    "fuse.analysis.sweep": (
        "SweepResult",
        "sweep",
    ),
    "fuse.analysis.sweep_plot": (
        "check_plot_path",
        "plot_sweep",
    ),
    "fuse.baselines.baselines": ("Baselines", "baselines"),
    "fuse.datasets.convert": (
        "ConvertResult",
        "convert",
    ),
    "fuse.evaluation.evaluate": (
        "Evaluation",
        "write_per_image_csv",
    ),
    "fuse.exports.export": ("ExportResult", "export"),
    "fuse.inference.fetch": (
        "PipelineEntry",
        "describe_pipelines",
        "fetch",
    ),
    "fuse.inference.presets": ("list_pipelines",),
    "fuse.io.image_list": ("ImageList", "read_image_list"),
    "fuse.labels": ("list_maps",),
    "fuse.models.registry": ("list_models",),
    "fuse.report.build": (
        "Report",
        "report",
    ),
    "fuse.runs.combine": (
        "CombineResult",
        "combine",
    ),
    "fuse.runs.merge": (
        "MergeResult",
        "merge",
    ),
    "fuse.runs.resume": ("resume",),
    "fuse.runs.run": (
        "RunResult",
        "run",
    ),
    "fuse.runs.verify": (
        "Verification",
        "verify",
    ),
}


def demo(
    out: StrPath,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> RunResult:
    """Run the default pipeline over the example images, score it and draw what it saw.

    Raises:
        DataError: the example images are not there.
    """
    from fuse.inference.presets import find_examples
    from fuse.runs.run import run

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
    "Baselines",
    "CombineResult",
    "Comparison",
    "ConvertResult",
    "Diagnosis",
    "Disagreement",
    "DrawResult",
    "Evaluation",
    "ExportResult",
    "ImageList",
    "LabelAudit",
    "MergeResult",
    "PipelineEntry",
    "ProfileRow",
    "Report",
    "RunResult",
    "SweepResult",
    "Verification",
    "audit",
    "baselines",
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
    "read_image_list",
    "report",
    "resume",
    "run",
    "sweep",
    "verify",
    "write_per_image_csv",
]

__getattr__ = offer(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
