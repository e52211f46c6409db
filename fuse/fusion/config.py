"""What a preset's ``[fusion]`` section says: a rule, its thresholds and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from fuse.errors import ConfigError, unknown_key
from fuse.fusion.rules import METHODS
from fuse.fusion.vote import VOTE_AMONG

CLASS_CHOICES = ("commonest", "evidence", "overlap")
THRESHOLDS = ("score_threshold", "overlap_threshold", "stuff_area")


@dataclass(frozen=True, slots=True)
class FusionConfig:
    """The fusion rule, its thresholds and its parameters; see `fuse.fusion`.

    Attributes:
        rule: a key of `fuse.fusion.METHODS`.
        score_threshold: instances below it are dropped, 0..1.
        overlap_threshold: instances with more than this share of their pixels taken are
            skipped, 0..1.
        stuff_area: stuff segments with fewer pixels are dropped; below 1: a share of the image.
        stuff_score: stuff segments whose class has a lower mean probability are dropped, 0..1.
        class_choice: of an instance whose label map offers several categories: ``commonest``
            takes the first, ``evidence`` the one that the semantic net sees on its pixels,
            ``overlap`` the one that goes with an instance it sits over.
        temperature: mask logits are divided by it before they meet the semantic net's, above 0.
        vote_among: the classes that an instance may become by vote.
        pairs: names of classes, (above, below).
    """

    rule: str = "overlap"
    score_threshold: float = 0.5
    overlap_threshold: float = 0.5
    stuff_area: float = 4096
    stuff_score: float = 0.0
    class_choice: str = "commonest"
    temperature: float = 1.0
    vote_among: str = VOTE_AMONG[0]
    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        choices = (
            ("rule", tuple(METHODS)),
            ("class_choice", CLASS_CHOICES),
            ("vote_among", VOTE_AMONG),
        )
        for name, allowed in choices:
            value = getattr(self, name)
            if not isinstance(value, str) or value not in allowed:
                raise ConfigError(f"fusion.{name} {value!r} is none of {', '.join(allowed)}")
        for name in (*THRESHOLDS, "stuff_score", "temperature"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"fusion.{name} must be a number, got {value!r}")
        for name in ("score_threshold", "overlap_threshold", "stuff_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"fusion.{name} must lie in 0..1, got {getattr(self, name)}")
        if not 0 <= self.stuff_area < inf:
            raise ConfigError(
                f"fusion.stuff_area must be at least 0 and finite, got {self.stuff_area}"
            )
        if not 0 < self.temperature < inf:
            raise ConfigError(f"fusion.temperature must be above 0, got {self.temperature}")

    def to_json(self) -> dict[str, Any]:
        """What the rule looks at, as plain values; `change_fusion` reads it."""
        return {key: getattr(self, key) for key in fusion_keys(self.rule)}


def fusion_keys(rule: str) -> tuple[str, ...]:
    """What may be set for a rule."""
    return ("rule", *THRESHOLDS, "stuff_score", "class_choice", *METHODS[rule].parameters)


def change_fusion(fusion: FusionConfig, changes: Mapping[str, Any]) -> FusionConfig:
    """Another rule or other settings.

    A rule that is known by its thresholds brings them, unless the changes have others.

    Args:
        fusion: what is kept where the changes do not say.
        changes: keys of FusionConfig.

    Raises:
        ConfigError: the rule has no such key, or a value is wrong.

    >>> change_fusion(FusionConfig(), {"rule": "upsnet-combined"}).score_threshold
    0.6
    """
    rule = changes.get("rule", fusion.rule)
    if not isinstance(rule, str) or rule not in METHODS:
        raise ConfigError(f"fusion.rule {rule!r} is none of {', '.join(METHODS)}")
    allowed = fusion_keys(rule)
    strange = next((key for key in changes if key not in allowed), None)
    if strange:
        raise unknown_key(f"the rule {rule!r}", strange, allowed)
    values = dict(changes)
    if "rule" in changes:
        values = {**METHODS[rule].thresholds, **changes}
    if "pairs" in values:
        values["pairs"] = _check_pairs(values["pairs"])
    return replace(fusion, **values)


def _check_pairs(pairs: object) -> tuple[tuple[str, str], ...]:
    """Pairs of names from a list of two names each."""
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and [type(name) for name in pair] == [str, str]
        for pair in pairs
    ):
        raise ConfigError("fusion.pairs must be the path of a CSV file or a list of [above, below]")
    return tuple((above, below) for above, below in pairs)
