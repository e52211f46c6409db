"""All that the command line does, as functions; each command calls the one of its name."""

from __future__ import annotations

from pathlib import Path

from fuse.analysis.compare import Comparison, compare
from fuse.analysis.diagnose import diagnose
from fuse.analysis.diagnosis import Diagnosis
from fuse.analysis.disagreement import Disagreement, disagree
from fuse.analysis.sweep import SweepResult, sweep
from fuse.combine import CombineResult, combine, combine_kept
from fuse.config import PACKAGE_DIR, list_pipelines
from fuse.errors import DataError
from fuse.job import Progress, RunResult, run
from fuse.labels import list_maps
from fuse.labels_audit import LabelAudit, audit, list_space_rows
from fuse.merge import merge
from fuse.models.registry import list_models
from fuse.report.build import Report, report
from fuse.scoring import Evaluation, evaluate, write_per_image_csv
from fuse.verify import Verification, verify

# In a wheel the example photos lie in the package, in a checkout beside it.
EXAMPLES_DIRS = (PACKAGE_DIR / "examples", PACKAGE_DIR.parent / "examples")


def demo(out: Path, *, on_progress: Progress | None = None, overwrite: bool = False) -> RunResult:
    """Run the default pipeline over the example photos, score it and draw what it saw.

    Raises:
        DataError: the example photos are not there.
    """
    examples = next((folder for folder in EXAMPLES_DIRS if folder.is_dir()), None)
    if examples is None:
        raise DataError("the example photos are missing from this installation")
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
    "Diagnosis",
    "Disagreement",
    "Evaluation",
    "LabelAudit",
    "Report",
    "RunResult",
    "SweepResult",
    "Verification",
    "audit",
    "combine",
    "combine_kept",
    "compare",
    "demo",
    "diagnose",
    "disagree",
    "evaluate",
    "list_maps",
    "list_models",
    "list_pipelines",
    "list_space_rows",
    "merge",
    "report",
    "run",
    "sweep",
    "verify",
    "write_per_image_csv",
]
