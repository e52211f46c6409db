"""One image, by a preset's rule: from what the two nets said to its panoptic map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fuse.errors import ConfigError, did_you_mean
from fuse.fusion.choice import choose_by_evidence, choose_by_overlap
from fuse.fusion.class_logits import ClassLogits
from fuse.fusion.config import THRESHOLDS, FusionConfig
from fuse.fusion.rules import METHODS
from fuse.fusion.stuff_score import drop_by_stuff_score
from fuse.labels import load_partners
from fuse.types import Instances, LabelSpace, PanopticPrediction, SemanticPrediction


def fuse_image(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    fusion: FusionConfig,
    choices: Mapping[int, Sequence[int]],
    *,
    class_logits: ClassLogits | None = None,
) -> PanopticPrediction:
    """The panoptic map of an image by a preset's rule.

    Args:
        semantic: label map in the space.
        instances: in the space.
        space: the target.
        fusion: rule, thresholds and parameters.
        choices: what an instance may be instead (`LabelMap.choices`); the rule's
            class_choice says whether it matters.
        class_logits: of the same semantic prediction, for the rules that use them; computed
            where they are not given.

    Raises:
        ConfigError: the pairs name a class that is not in the space.
        LabelSpaceError: the class choice goes by partners, and the space has none.
    """
    rule = METHODS[fusion.rule]
    if not rule.takes_stuff:
        instances = leave_out_stuff(instances, space)
    instances = choose_classes(semantic, instances, space, fusion, choices)
    settings = {key: getattr(fusion, key) for key in (*THRESHOLDS, *rule.parameters)}
    if "pairs" in settings:
        settings["pairs"] = find_pairs(fusion, space)
    if rule.uses_class_logits:
        settings["class_logits"] = class_logits
    fused: PanopticPrediction = rule.fuse(semantic, instances, space, **settings)
    return drop_by_stuff_score(fused, semantic, fusion.stuff_score)


def leave_out_stuff(instances: Instances, space: LabelSpace) -> Instances:
    """The things among the masks of a net that finds stuff as well."""
    is_thing = ~np.isin(instances.category_ids, space.stuff_ids)
    return instances if is_thing.all() else instances.select(is_thing, instances.category_ids)


def choose_classes(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    fusion: FusionConfig,
    choices: Mapping[int, Sequence[int]],
) -> Instances:
    """The instances, each in one of its possible classes, as a preset's class_choice says.

    Args:
        semantic: label map in the space.
        instances: in the space, each in its commonest class.
        space: the target.
        fusion: the class choice and the score threshold.
        choices: what an instance may be instead (`LabelMap.choices`).

    Raises:
        LabelSpaceError: the class choice goes by partners, and the space has none.
    """
    if fusion.class_choice == "evidence":
        return choose_by_evidence(instances, semantic, choices)
    if fusion.class_choice == "overlap":
        partners, score_threshold = load_partners(space), fusion.score_threshold
        return choose_by_overlap(instances, choices, partners, score_threshold=score_threshold)
    return instances


def find_pairs(fusion: FusionConfig, space: LabelSpace) -> frozenset[tuple[int, int]]:
    """The pairs of a rule as category ids, (above, below).

    Raises:
        ConfigError: a name is not in the space, or the rule ``pairs`` has none.
    """
    if fusion.rule == "pairs" and not fusion.pairs:
        raise ConfigError("the rule 'pairs' needs fusion.pairs: a CSV file, as `fuse pairs` writes")
    for name in sorted({name for pair in fusion.pairs for name in pair} - space.by_name.keys()):
        hint = did_you_mean(name, space.by_name)
        raise ConfigError(f"fusion.pairs names {name!r}, which is not in {space.name}{hint}")
    by_name = space.by_name
    return frozenset(
        (by_name[above].category_id, by_name[below].category_id) for above, below in fusion.pairs
    )
