"""Checking a preset's options against what a model's factory takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from fuse.errors import ConfigError, unknown_key

WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def check_options(
    kind: str, name: str, factory: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    """Raise ConfigError unless a factory can take these options.

    Args:
        kind: ``semantic`` or ``instance``, the preset's section.
        name: of the model.
        factory: its parameters are the options, but for ``device``.
        options: as read from TOML.

    Raises:
        ConfigError: an option is unknown, missing, or of another type than the factory's
            annotation says; only text, numbers, true and false, lists and tables are checked.
            Or it is a path in the home of a user that there is not.
    """
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(factory).parameters.items()
        if key != "device"
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = _read_hints(factory)
    for key, value in options.items():
        if key not in parameters and not takes_any:
            raise unknown_key(f"the {kind} model {name!r}", key, [*parameters, "label_map"])
        hint = hints.get(key, Any)
        if not _fits(value, hint):
            raise ConfigError(f"{kind}.{key} must be {_describe(hint)}, got {value!r}")
        if isinstance(value, str) and value.startswith("~"):
            try:
                Path(value).expanduser()
            except RuntimeError as err:
                raise ConfigError(f"{kind}.{key}: {value!r} is in no folder ({err})") from err
    for key, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.default is parameter.empty and key not in options:
            raise ConfigError(f"{kind}.{key} is missing; the model {name!r} needs it")


def _read_hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by parameter; none where they cannot be resolved."""
    function = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:  # noqa: ANN401 - any value, any annotation
    """Whether a TOML value is of an annotated type; True for types that TOML does not have.

    >>> _fits([1, 2], Sequence[float]), _fits("ab", Sequence[str]), _fits(True, int)
    (True, False, False)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if hint is NoneType:
        return value is None
    if hint in (int, float):
        kinds = (int, float) if hint is float else int
        return isinstance(value, kinds) and not isinstance(value, bool)
    if hint in (str, bool):
        return isinstance(value, hint)
    if origin in (Sequence, list, tuple):
        return isinstance(value, list | tuple) and all(_fits(v, arguments[0]) for v in value)
    if origin in (Mapping, dict):
        return isinstance(value, Mapping)
    return True


def _describe(hint: Any) -> str:  # noqa: ANN401 - any annotation
    """An annotation in words.

    >>> _describe(Sequence[float] | None)
    'a list, each a number'
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(
            _describe(argument) for argument in arguments if argument is not NoneType
        )
    if origin in (Sequence, list, tuple):
        return f"a list, each {_describe(arguments[0])}"
    if origin in (Mapping, dict):
        return "a table"
    return WORDS.get(hint, str(hint))
