"""Checking a preset's options against what a model's factory takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

import msgspec

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
            annotation says, as far as that is a type of TOML. Or it is a path in the home of a
            user that there is not.
    """
    parameters = dict(inspect.signature(factory).parameters)
    parameters.pop("device", None)
    kinds = {parameter.kind for parameter in parameters.values()}
    hints = _read_hints(factory)
    for key, value in options.items():
        if key not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
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
        is_one = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if is_one and parameter.default is parameter.empty and key not in options:
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

    >>> _fits([1, 2], Sequence[float]), _fits("ab", Sequence[str]), _fits("a", str | Path)
    (True, False, True)
    """

    def leave_it(_type: object, _value: object) -> NoReturn:
        raise NotImplementedError

    try:
        msgspec.convert(value, hint, dec_hook=leave_it)
    except msgspec.ValidationError:
        return False
    except (NotImplementedError, TypeError):  # TypeError: a union that msgspec does not take
        return True
    return True


def _describe(hint: Any) -> str:  # noqa: ANN401 - any annotation
    """An annotation in words, which msgspec has for programmers only.

    >>> _describe(Sequence[float] | None), _describe(Literal["rgb", "bgr"])
    ('a list, each a number', "'rgb' or 'bgr'")
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_describe(each) for each in arguments if each is not NoneType)
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (Sequence, list, tuple):
        return f"a list, each {_describe(arguments[0])}"
    if origin in (Mapping, dict):
        return "a table"
    return WORDS.get(hint, str(hint))
