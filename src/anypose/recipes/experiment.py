"""Experiments: short Python files of plain values."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from anypose.recipes.loop import Settings
from anypose.recipes.recipe import Recipe


class ExperimentError(ValueError):
    """An experiment names what no recipe knows, or leaves out what one needs."""


def read(path: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The values of an experiment's file, `name=value` changes put in, {names} in strings replaced.

    Raises:
        ExperimentError: the file cannot be read, a change is malformed or names nothing in the file.
    """
    try:
        values = {k: v for k, v in runpy.run_path(str(path)).items() if not k.startswith("_")}
    except FileNotFoundError as error:
        near = _nearest(path.name, [other.name for other in path.parent.glob("*.py")])
        raise ExperimentError(f"{path} is not there{near}") from error
    except (OSError, SyntaxError) as error:
        raise ExperimentError(f"{path} is no experiment: {error}") from error
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ExperimentError(f"--set takes name=value, not {change!r}")
        if name not in values:
            raise ExperimentError(f"{path} has no {name!r}{_nearest(name, values)}")
        values[name] = _value(text)
    return {name: _filled(value, values) for name, value in values.items()}


def build(values: dict[str, Any], out: Path) -> tuple[Recipe, Settings]:
    """The recipe and the loop's settings that the values describe.

    Raises:
        ExperimentError: the recipe is unknown, a value is not an option of it or not of the option's type, or a
            needed one is missing.
    """
    values = dict(values)
    name = values.pop("recipe", None)
    try:
        module = importlib.import_module(f"anypose.recipes.{name}")
        recipe = getattr(module, str(name).title().replace("_", ""))
    except (ModuleNotFoundError, AttributeError) as error:
        near = _nearest(str(name), [path.stem for path in Path(__file__).parent.glob("*.py")])
        raise ExperimentError(
            f"there is no recipe {name!r}{near or ': give the name of a file in anypose/recipes'}"
        ) from error
    ours = {field.name for field in fields(Settings)}
    options = inspect.signature(recipe).parameters
    given = {k: v for k, v in values.items() if k in options}
    spare = set(values) - ours - set(options) - _folders(values)
    if spare:
        first = sorted(spare)[0]
        raise ExperimentError(
            f"neither the loop nor {name} has an option {first!r}{_nearest(first, {*ours, *options})}"
        )
    missing = [k for k, p in options.items() if p.default is inspect.Parameter.empty and k not in given and k != "out"]
    if missing:
        raise ExperimentError(f"the experiment has to give {', '.join(missing)}")
    hints = {**get_type_hints(recipe.__init__), **get_type_hints(Settings)}
    for option, value in values.items():
        if option in hints and not _is(value, hints[option]):
            raise ExperimentError(f"{option} is {value!r}, expected {_called(hints[option])}")
    settings = Settings(**{k: v for k, v in values.items() if k in ours})
    for option, least in LEAST.items():
        if getattr(settings, option) < least:
            raise ExperimentError(f"{option} is {getattr(settings, option)}, expected {least} or more")
    return recipe(out=out, **given), settings


LEAST = {"steps": 1, "warmup": 0, "save_every": 1, "log_every": 1, "keep": 1, "threads": 0}


def _is(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; where the type says more than the kinds below, anything is."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is(value, part) for part in parts)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is tuple:
        same = len(parts) == 2 and parts[1] is Ellipsis
        kinds = parts[:1] * len(value) if same and isinstance(value, tuple) else parts
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_is, value, kinds))
    if origin in (dict, Mapping):
        return isinstance(value, dict)
    return not isinstance(hint, type) or isinstance(value, hint)


def _called(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_called(part) for part in get_args(hint))
    names = {int: "a whole number", float: "a number", str: "a string", bool: "True or False", NoneType: "None"}
    return names.get(hint, str(hint))


def _folders(values: dict[str, Any]) -> set[str]:
    """Values that only stand inside others: the *_dir ones."""
    return {name for name in values if name.endswith("_dir")}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _filled(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, str):
        for name in _folders(values):
            value = value.replace("{" + name + "}", str(values[name]))
        return value
    if isinstance(value, tuple):
        return tuple(_filled(part, values) for part in value)
    return value


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""
