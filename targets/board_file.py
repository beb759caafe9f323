"""TOML files as frozen dataclasses: found by name, checked key by key, a mistake named with its line."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edgernn.errors import EdgernnError

Keys = tuple[str | int, ...]
T = TypeVar("T")
_SHAPES = {str: "a string", int: "an integer", tuple[str, ...]: "a list of strings"}


class BoardFileError(Exception):
    """What is wrong in a board's file, and the keys that lead there; a number among them is a place in a list of tables."""

    def __init__(self, keys: Keys, message: str) -> None:
        super().__init__(message)
        self.keys, self.message = keys, message


def load(path: Path, kind: type[T], check: Callable[[T], None]) -> T:
    """The file as a `kind`, checked; EdgernnError with the line where a key is unknown, missing, of a wrong type or value."""
    try:
        loaded = parse(read(path), kind, ())
        assert isinstance(loaded, kind)
        check(loaded)
    except BoardFileError as wrong:
        raise EdgernnError(f"{path}{_line_of(path, wrong.keys)}: {wrong.message}") from None
    return loaded


def read(path: Path) -> dict[str, Any]:
    """The file's tables."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise EdgernnError(f"Cannot read the board file {path}: {error}.") from error


def check_name(keys: Keys, name: str) -> None:
    """Refuse a name that could not name files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise BoardFileError(keys, f"{keys[-1]} = {name!r} must be letters, digits, dots, dashes and underscores.")


def unknown(what: str, value: str, known: list[str]) -> str:
    """The sentence about a name that is none of those known."""
    nearest = difflib.get_close_matches(value, known, n=1, cutoff=0.0)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"Unknown {what} {value!r}: {hint}Known: {', '.join(known)}."


def _line_of(path: Path, keys: Keys) -> str:
    """ ", line N, key": where the innermost key that the file has is written."""
    lines, found, begin, key = path.read_text(encoding="utf-8-sig").splitlines(), 0, 0, ""
    for step in keys:
        if step == 0:
            continue  # the first of its list stands where the list's key was found
        key, start, skipped = (step, begin, 0) if isinstance(step, str) else (key, begin + 1, step - 1)
        written = re.compile(rf"\s*(\[+\s*{re.escape(key)}\s*\]+|(.*[{{,]\s*)?\"?{re.escape(key)}\"?\s*=)")
        places = [i for i in range(start, len(lines)) if written.match(lines[i])]
        if skipped >= len(places):
            break
        begin = places[skipped]
        found = begin + 1
    return (f", line {found}" if found else "") + "".join(f", {key}" for key in keys if isinstance(key, str))


def parse(table: object, kind: Any, keys: Keys) -> object:
    """`table` as `kind`: a dataclass, a tuple or dict of something, str or int; `X | None` reads as X."""
    if get_origin(kind) is UnionType:
        kind = get_args(kind)[0]
    if dataclasses.is_dataclass(kind) and isinstance(table, dict):
        return _parse_fields(table, kind, keys)
    if get_origin(kind) is tuple and isinstance(table, list) and _list_of(table, get_args(kind)[0]):
        tables = dataclasses.is_dataclass(get_args(kind)[0])
        return tuple(parse(item, get_args(kind)[0], (*keys, i) if tables else keys) for i, item in enumerate(table))
    if get_origin(kind) is dict and isinstance(table, dict):
        return {key: parse(value, get_args(kind)[1], (*keys, key)) for key, value in table.items()}
    if kind in (str, int) and type(table) is kind:
        return table
    shape = _SHAPES.get(kind, "a list of tables" if get_origin(kind) is tuple else "a table")
    raise BoardFileError(keys, f"{table!r} is not {shape}.")


def _list_of(table: list[Any], kind: Any) -> bool:
    return all(isinstance(item, dict if dataclasses.is_dataclass(kind) else kind) for item in table)


def _parse_fields(table: dict[str, Any], kind: Any, keys: Keys) -> object:
    types, missing = get_type_hints(kind), dataclasses.MISSING
    required = {f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing}
    others = [key for key in table if key not in types]
    problems = [unknown("key", key, list(types)) for key in others]
    problems += [f"The key {key!r} is missing." for key in sorted(required - set(table))]
    if problems:
        raise BoardFileError((*keys, *others[:1]), " ".join(problems))
    return kind(**{key: parse(value, types[key], (*keys, key)) for key, value in table.items()})
