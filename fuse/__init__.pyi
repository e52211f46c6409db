# ruff: isort: skip_file
from . import api as api
from .api import demo as demo, evaluate as evaluate, run as run
from .errors import FuseError as FuseError
from .fusion import fuse_by_overlap as fuse_by_overlap
from .inference.pipeline import Pipeline as Pipeline
from .io.coco.panoptic import (
    ImageRecord as ImageRecord,
    annotation_to_json as annotation_to_json,
    read_panoptic_json as read_panoptic_json,
    write_panoptic_json as write_panoptic_json,
)
from .io.images import read_image as read_image
from .io.png import read_id_map as read_id_map, write_id_map as write_id_map
from .labels import load_space as load_space
from .metrics.matching import match_segments as match_segments
from .metrics.pq import summarize as summarize
from .metrics.quality import PanopticQuality as PanopticQuality
from .results.result import PanopticResult as PanopticResult
from .results.segment import Segment as Segment
from .types import (
    BoxMasks as BoxMasks,
    Category as Category,
    Instances as Instances,
    LabelSpace as LabelSpace,
    NamedImage as NamedImage,
    PanopticPrediction as PanopticPrediction,
    RleMasks as RleMasks,
    SegmentInfo as SegmentInfo,
    SemanticLogits as SemanticLogits,
    SemanticPrediction as SemanticPrediction,
)
from .version import __version__ as __version__
