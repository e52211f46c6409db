"""The fusion rules by name.

Most are an order of the instances for the painter of `fuse.fusion.overlap` (`fuse.fusion.orders`),
one changes their classes first (`fuse.fusion.vote`), and some decide each pixel by itself
(`fuse.fusion.pixels`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fuse.fusion.mask_classification import fuse_by_mask_classification
from fuse.fusion.orders import fuse_by_area, fuse_by_pairs, fuse_by_spatial_rank
from fuse.fusion.overlap import fuse_by_overlap
from fuse.fusion.pixels import fuse_by_adaptive, fuse_by_mask_argmax, fuse_by_upsnet_logits
from fuse.fusion.vote import fuse_by_vote
from fuse.types import PanopticPrediction


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by name.

    Attributes:
        fuse: from a SemanticPrediction, Instances, a LabelSpace and, by keyword, thresholds and
            parameters to a PanopticPrediction.
        parameters: its keywords beyond the three thresholds.
        thresholds: what they are set to where the rule is named; others stay as they are.
        uses_class_logits: whether `fuse` also takes `class_logits`.
        takes_stuff: whether `fuse` takes stuff among the instances; for others it is left out.
    """

    fuse: Callable[..., PanopticPrediction]
    parameters: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    uses_class_logits: bool = False
    takes_stuff: bool = False


# The numbers of Seamless are those of mapillary/seamseg (PanopticPreprocessing), which are the
# paper's; those of UPSNet's combined baseline are of uber-research/UPSNet (get_combined_pan_result,
# which keeps what is at least 0.7 free; the area is that of its configuration).
SEAMLESS = {"score_threshold": 0.5, "overlap_threshold": 0.5, "stuff_area": 4096}
UPSNET_COMBINED = {"score_threshold": 0.6, "overlap_threshold": 0.3, "stuff_area": 4096}
# EoMT's (tue-mps/eomt, mask_classification_panoptic), which transformers has as defaults, too; it
# counts what is kept of a mask, at least 0.8.
MASK_CLASSIFICATION = {"score_threshold": 0.8, "overlap_threshold": 0.2, "stuff_area": 0}

METHODS = {
    "overlap": Rule(fuse_by_overlap),
    "seamless": Rule(fuse_by_overlap, thresholds=SEAMLESS),
    "upsnet-combined": Rule(fuse_by_overlap, thresholds=UPSNET_COMBINED),
    "area-first": Rule(fuse_by_area),
    "pairs": Rule(fuse_by_pairs, ("pairs",)),
    "spatial-rank": Rule(fuse_by_spatial_rank),
    "vote": Rule(fuse_by_vote, ("vote_among",)),
    "mask-argmax": Rule(fuse_by_mask_argmax),
    "mask-classification": Rule(
        fuse_by_mask_classification, thresholds=MASK_CLASSIFICATION, takes_stuff=True
    ),
    "upsnet-logits": Rule(fuse_by_upsnet_logits, ("temperature",), uses_class_logits=True),
    "adaptive": Rule(fuse_by_adaptive, ("temperature",), uses_class_logits=True),
}
