"""Recipes, options and names that nobody sane would write: each is refused with a sentence before anything is spent."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fixture_runs import ROOT
from nets import quantized, random_net

from edgernn.cells import all_cells
from edgernn.core.graph_checks import is_int
from edgernn.core.graph_file import METADATA_KEY, seal
from edgernn.data import sources
from edgernn.data.options import SourceOptions, parse
from edgernn.data.paths import expanded
from edgernn.errors import EdgernnError
from edgernn.extensions import found_module
from edgernn.hostcc import WARNINGS, host_compiler, run_compiler
from edgernn.tasks import all_tasks, graph_from_bytes, make_recipe, recipe_paths
from edgernn.tasks.spot.graph import SpotGraph
from firmware_export.emit import export_c

sys.path.insert(0, str(ROOT / "tools"))
import fuzz_loaders

NAN, INF = float("nan"), float("inf")
BAD_FLOATS = (NAN, INF, -INF, -1e9, 1e12, 10**400, "0.5", True, None, [], {}, [0.5, 0.5])
BAD_INTEGERS = (-(10**9), 10**12, 10**400, 1.5, 2.0, NAN, INF, "5", True, None, [], {})
BAD_PAIRS = (
    [NAN, 0.5], [0.5, NAN], [-INF, INF], [-1e9, 0.5], [0.5, 1e12], [1e12, 1e12], [0.5], [0.5, 0.5, 0.5], 0.5, ["0", "1"],
    [True, True], [10**400, 10**400], [1.0, 0.5], None,
)  # fmt: skip
BAD_TEXTS = (5, NAN, None, [], {}, True)
BAD_FLAGS = (1, 0, "true", None, [], NAN)
BAD: Mapping[Any, tuple[Any, ...]] = {
    int: BAD_INTEGERS, float: BAD_FLOATS, tuple[float, float]: BAD_PAIRS, str: BAD_TEXTS, bool: BAD_FLAGS,
    Mapping[str, float]: ("x", 5, [], None, {"no such figure": 0.1}, *({"flash_bytes": bad} for bad in BAD_FLOATS)),
    tuple[str, ...]: ("word", 5, [5], None, {}, [["word"]]), tuple[Mapping[str, Any], ...]: ("x", 5, [5], {}, ["x"]),
}  # fmt: skip

Place = tuple[str, ...]


def places(kind: type[Any], at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every plain field of a recipe's class and of its sections, with its type."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from places(typing.cast(type[Any], hint), (*at, field.name))
        elif (*at, field.name) != ("layers",):
            yield (*at, field.name), hint


def base(task: str) -> dict[str, Any]:
    """The values of a recipe of that task that comes along."""
    path = recipe_paths()[all_tasks()[task].whole.recipe]
    return {**tomllib.loads(path.read_text(encoding="utf-8")), "task": task}


def refused(what: str, call: Callable[[], Any]) -> str:
    """The sentence of a refusal."""
    try:
        call()
    except EdgernnError as error:
        return str(error)
    pytest.fail(f"{what} was accepted")


def with_value(values: Mapping[str, Any], place: Place, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(dict(values))
    inner: Any = changed
    for key in place[:-1]:
        inner = inner.setdefault(key, {})
    inner[place[-1]] = value
    return changed


PLACES = [(task, place, hint) for task, t in all_tasks().items() for place, hint in places(t.recipe_class())]


def test_every_section_is_walked() -> None:
    found = {(task, place[0]) for task, place, _ in PLACES if len(place) == 2}
    assert {"train", "quantize", "data"} <= {section for _, section in found}
    assert len(PLACES) > 100 and {task for task, _ in found} >= {"spot", "denoise", "vad"}


@pytest.mark.parametrize(("task", "place", "hint"), PLACES, ids=lambda x: ".".join(x) if isinstance(x, tuple) else None)
def test_every_field_of_every_recipe_has_bounds(task: str, place: Place, hint: Any) -> None:
    """A new field cannot be forgotten: it has a type known here, and refuses what is out of any reason."""
    values = base(task)
    make_recipe(values)
    for bad in BAD[hint]:
        if (place, bad) != (("task",), None):  # the first recipes named none
            refused(f"{'.'.join(place)} = {bad!r}", lambda bad=bad: make_recipe(with_value(values, place, bad)))


@pytest.mark.parametrize("cell", all_cells())
def test_every_option_of_every_cell_has_bounds(cell: str) -> None:
    options = all_cells()[cell].options
    good = {"cell": cell, **{k: 4 if v is None else v for k, v in options.items()}}
    for name in options:
        for bad in (*BAD_INTEGERS, -1, 1_000_000, 65_536, 5_000):
            said = refused(f"{name} = {bad!r}", lambda bad=bad, name=name: make_recipe({"layers": [{**good, name: bad}]}))
            assert "layers[0]" in said


SECTIONS = [(task, f.name) for task, t in all_tasks().items() for f in dataclasses.fields(t.recipe_class())]


@pytest.mark.parametrize(("task", "section"), SECTIONS)
def test_sections_of_another_kind(task: str, section: str) -> None:
    wrong: tuple[Any, ...] = (5, NAN, None, [], [5], [[]], True)
    if section == "layers":
        wrong = (5, None, [], [5], {}, [{}], [{"cell": []}], "gru")
    for bad in wrong:
        if (section, bad) not in (("seed", 5), ("task", None)):
            refused(f"{section} = {bad!r}", lambda bad=bad: make_recipe({**base(task), section: bad}))


@pytest.mark.parametrize("kind", sources.kinds())
def test_every_option_of_every_source_has_bounds(kind: str) -> None:
    options = found_module("edgernn.data.sources", kind).Options
    assert issubclass(options, SourceOptions)
    hints, fields = typing.get_type_hints(options), dataclasses.fields(options)
    needed = {f.name: "somewhere" for f in fields if f.default is dataclasses.MISSING and hints[f.name] is str}
    parse(options, needed, kind)
    for name in (f.name for f in fields):
        for bad in BAD.get(hints[name], (5, "x", [], {"a": 5})):
            refused(f"{name} = {bad!r}", lambda bad=bad, name=name: parse(options, {**needed, name: bad}, kind))


def test_every_source_is_checked_before_the_first_is_read(tmp_path: Path) -> None:
    tables = [{"kind": "folder", "path": str(tmp_path / "missing")}, {"kind": "synthetic", "clips_per_keyword": 10**12}]
    for bad in (tables, [*tables[:1], {"kind": "none"}], [*tables[:1], {**tables[0], "train_repeat": 0}]):
        with pytest.raises(EdgernnError, match=r"clips_per_keyword|kind 'none'|train_repeat"):
            sources.prepare(bad, ["yes"], tmp_path / "data")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\\\n*/\0", "x" * 300, "\udce9", "\x1b[2J"])
def test_names_are_one_line(name: str) -> None:
    with pytest.raises(EdgernnError, match="name = "):
        make_recipe({**base("spot"), "name": name})


def test_only_paths_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe from elsewhere must not send what this machine's environment holds into texts, such as an address."""
    monkeypatch.setenv("SECRET", "value")
    table = {"path": "${SECRET}/x", "url": "http://host/${SECRET}", "note": "${SECRET}", "filter": {"path": "${SECRET}"}}
    assert expanded(table) == {**table, "path": "value/x"}
    monkeypatch.delenv("SECRET")
    with pytest.raises(EdgernnError, match="SECRET"):
        expanded(table)


# Damaged texts, names in C, files with the wrong kind of number ------------------------------------------------------------


def test_odd_texts_are_refused_with_a_sentence(tmp_path: Path) -> None:
    names = set()
    for name, data, load in fuzz_loaders.texts(tmp_path):
        load(data)
        assert fuzz_loaders.attack_text(data, load, 200) == [], name
        names.add(name)
    assert {"board", "recipe demo", "recipe.json", "data/index.json", "baseline.json", "run-microbit.json"} <= names


def test_odd_names_in_c() -> None:
    assert fuzz_loaders.attack_c(400) == []


def sealed_again(g: SpotGraph, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The graph's file with another description and the right checksum: only the loader's own checks are left."""
    from safetensors.numpy import load, save

    data = g.to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"][METADATA_KEY])
    del description["crc32_json"]
    change(description)
    return save(load(data), {METADATA_KEY: seal(description)})


def integers(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every integer of a description."""
    if type(value) is int:
        yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from integers(inner, (*at, key))


def test_a_truth_value_and_a_float_are_no_integers() -> None:
    assert is_int(1, 0, 5) and is_int(0, 0, 5) and is_int(5, 0, 5) and not is_int(6, 0, 5) and not is_int(-1, 0, 5)
    assert not any(is_int(x, 0, 5) for x in (True, False, 1.0, "1", None))


def test_the_loader_takes_integers_only() -> None:
    """1.0 and true pass for 1 in Python, and mean something else in C."""
    g = quantized(random_net("gru", 8), "int8")
    data = g.to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"][METADATA_KEY])
    found = [place for place in integers(description) if place != ("crc32_json",)]
    assert len(found) > 60
    assert graph_from_bytes(sealed_again(g, lambda d: None)).id == g.id
    for place in found:
        for kind in (float, bool, str):

            def change(d: Any, place: tuple[Any, ...] = place, kind: type = kind) -> None:
                for key in place[:-1]:
                    d = d[key]
                d[place[-1]] = kind(d[place[-1]])

            refused(f"{place} as {kind.__name__}", lambda change=change: graph_from_bytes(sealed_again(g, change)))


@pytest.mark.parametrize("name", ["a b", "9", "", "a-b", "größe", "a\\\n", "features.x*/", "logits__", "\ud800", "x" * 200])
def test_values_of_a_graph_have_names_that_c_takes(name: str) -> None:
    g = quantized(random_net("gru", 8), "int8")
    state = g.states[0].read

    def renamed(x: str) -> str:
        return name if x == state else x

    if name == "logits__":  # two that become one in C
        name = state.replace(".", "_")
        values = {**g.values, name: g.values[state]}
        refused("two values of one name", lambda: dataclasses.replace(g, values=values))
        return
    ops = tuple(dataclasses.replace(op, inputs=tuple(map(renamed, op.inputs))) for op in g.ops)
    states = tuple(dataclasses.replace(s, read=renamed(s.read)) for s in g.states)
    values = {renamed(x): v for x, v in g.values.items()}
    said = refused(f"value {name!r}", lambda: dataclasses.replace(g, ops=ops, states=states, values=values))
    assert "is no name" in said


def test_a_value_may_be_called_like_a_word_of_c(tmp_path: Path) -> None:
    g = quantized(random_net("gru", 8), "int8")
    state = g.states[0].read
    ops = tuple(dataclasses.replace(op, inputs=tuple("int" if x == state else x for x in op.inputs)) for op in g.ops)
    states = tuple(dataclasses.replace(s, read="int" if s.read == state else s.read) for s in g.states)
    values = {"int" if x == state else x: v for x, v in g.values.items()}
    export_c(dataclasses.replace(g, ops=ops, states=states, values=values), tmp_path)
    (tmp_path / "t.c").write_text('#define KWS_IMPLEMENTATION\n#include "kws.h"\n', encoding="utf-8")
    run_compiler([*host_compiler(), *WARNINGS, f"-I{tmp_path}", "-c", str(tmp_path / "t.c"), "-o", str(tmp_path / "t.o")])


def test_int_of_16_bits_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "firmware_export" / "runtime" / "ern_math.h").read_text(encoding="utf-8")
    assert "ern_assert_int_of_32_bits[sizeof(int) * 8 >= 32 ? 1 : -1]" in text
    (tmp_path / "m.h").write_text(text.replace("sizeof(int)", "sizeof(short)"), encoding="utf-8")
    (tmp_path / "t.c").write_text('#include "m.h"\n', encoding="utf-8")
    with pytest.raises(EdgernnError, match="ern_assert_int_of_32_bits"):
        run_compiler([*host_compiler(), f"-I{tmp_path}", "-c", str(tmp_path / "t.c"), "-o", str(tmp_path / "t.o")])
