# ruff: isort: skip_file
from .analysis.compare import (
    Comparison as Comparison,
    compare as compare,
)
from .analysis.diagnose.diagnose import diagnose as diagnose
from .analysis.diagnose.diagnosis import Diagnosis as Diagnosis
from .analysis.disagreement import (
    Disagreement as Disagreement,
    disagree as disagree,
)
from .analysis.draw import (
    DrawResult as DrawResult,
    draw as draw,
)
from .analysis.evaluate import evaluate as evaluate
from .analysis.label_coverage import (
    LabelAudit as LabelAudit,
    audit as audit,
    draft as draft,
    list_category_rows as list_category_rows,
    list_coco_categories as list_coco_categories,
    list_space_rows as list_space_rows,
)
from .analysis.pairs import pairs as pairs
from .analysis.profile import (
    ProfileRow as ProfileRow,
    profile as profile,
)
from .analysis.sweep import (
    SweepResult as SweepResult,
    sweep as sweep,
)
from .analysis.sweep_plot import (
    check_plot_path as check_plot_path,
    plot_sweep as plot_sweep,
)
from .baselines.baselines import (
    Baselines as Baselines,
    baselines as baselines,
)
from .datasets.convert import (
    ConvertResult as ConvertResult,
    convert as convert,
)
from .evaluation.evaluate import (
    Evaluation as Evaluation,
    write_per_image_csv as write_per_image_csv,
)
from .exports.export import (
    ExportResult as ExportResult,
    export as export,
)
from .inference.fetch import (
    PipelineEntry as PipelineEntry,
    describe_pipelines as describe_pipelines,
    fetch as fetch,
)
from .inference.presets import list_pipelines as list_pipelines
from .io.image_list import (
    ImageList as ImageList,
    read_image_list as read_image_list,
)
from .labels import list_maps as list_maps
from .models.registry import list_models as list_models
from .report.build import (
    Report as Report,
    report as report,
)
from .runs.combine import (
    CombineResult as CombineResult,
    combine as combine,
)
from .runs.demo import demo as demo
from .runs.merge import (
    MergeResult as MergeResult,
    merge as merge,
)
from .runs.resume import resume as resume
from .runs.run import run as run
from .runs.run_result import RunResult as RunResult
from .runs.verify import (
    Verification as Verification,
    verify as verify,
)
