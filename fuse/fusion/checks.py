"""What rules are given: of one image, of one label space, each in its place."""

from __future__ import annotations

from fuse.types import Instances, LabelSpace, SemanticPrediction
from fuse.types.arrays import check_same_size
from fuse.types.label_space import check_space


def check_kinds(semantic: object, instances: object) -> None:
    """TypeError where one of the two is something else, as the other one."""
    for name, given, kind in (
        ("semantic", semantic, SemanticPrediction),
        ("instances", instances, Instances),
    ):
        if not isinstance(given, kind):
            raise TypeError(f"{name} must be {kind.__name__}, got {type(given).__name__}")


def check_image(semantic: SemanticPrediction, instances: Instances, space: LabelSpace) -> None:
    """Raise ValueError where the image sizes differ or an instance's category is unknown."""
    check_kinds(semantic, instances)
    check_space(space)
    check_same_size("the semantic map", semantic.size, "that of the instances", instances.size)
    strange = set(instances.category_ids.tolist()) - space.by_id.keys()
    if strange:
        raise ValueError(f"instances have category ids {sorted(strange)}, not in {space.name}")
