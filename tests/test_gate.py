"""The gate passes nothing it cannot judge: figures of several graphs, differing bits, damaged results, empty baselines."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgernn import gate
from edgernn.errors import EdgernnError
from edgernn.gate.as_table import checked

FILE = b"the graph's bytes"
GRAPH, OTHER = hashlib.sha256(FILE).hexdigest(), "ab" * 32
SIMULATED = {
    "task": "spot", "graph": GRAPH, "scheme": "int8", "dataset": "d" * 64, "weight_bytes": 3395,
    "clips": {"split": "test", "agreement": 1.0, "integer": {"accuracy": 0.97}},
}  # fmt: skip
EMULATED = {
    "board": "microbit", "graph": GRAPH, "scheme": "int8", "toolchain": "gcc 12", "optimize": "-O2", "flash_bytes": 13192,
    "ram_bytes": 4344, "instructions_per_step": 391627.64, "entries": 5000, "bits_differing": 0,
}  # fmt: skip
COMPARED = {"graph": GRAPH, "scheme": "int8", "rows": [{"runtime": "c", "entries": 900, "differing": 0}]}
Run = dict[str, dict[str, Any]]


def results() -> Run:
    named = {"simulate-int8": SIMULATED, "run-microbit": EMULATED, "compare-int8": COMPARED}
    return {name: copy.deepcopy(values) for name, values in named.items()}


def write(folder: Path, run: Run) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in run.items():
        (folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


@pytest.fixture
def good(tmp_path: Path) -> tuple[Path, Path]:
    """A run folder whose figures are all of one graph, and its baseline."""
    folder = write(tmp_path / "run", results())
    (folder / "graph-int8.ern").write_bytes(FILE)
    return folder, gate.write_baseline(folder, tmp_path / "baseline.json")


def test_a_run_equals_its_own_baseline(good: tuple[Path, Path]) -> None:
    found = gate.check(*good)
    assert len(found["rows"]) == 9 and all(row["ok"] for row in found["rows"]) and not found["unjudged"]
    assert gate.exit_code(found) == 0


@pytest.mark.parametrize("name", ["run-microbit", "compare-int8"])
def test_differing_bits_fail(good: tuple[Path, Path], name: str) -> None:
    run = results()
    (run[name] if name.startswith("run") else run[name]["rows"][0])["bits_differing" if "run" in name else "differing"] = 5
    write(good[0], run)
    worse = [row for row in gate.check(*good)["rows"] if not row["ok"]]
    assert [row["value"] for row in worse] == [5]
    with pytest.raises(EdgernnError, match="no baseline was written"):
        gate.write_baseline(*good)


@pytest.mark.parametrize("name", ["simulate-int8", "run-microbit", "compare-int8"])
def test_figures_of_two_graphs_are_refused(good: tuple[Path, Path], name: str) -> None:
    run = results()
    run[name]["graph"] = OTHER
    write(good[0], run)
    with pytest.raises(EdgernnError, match=f"{name}.json: its figures are of graph {OTHER[:12]}, .*is graph {GRAPH[:12]}"):
        gate.check(*good)


def test_figures_of_a_graph_that_was_made_anew_are_refused(good: tuple[Path, Path]) -> None:
    (good[0] / "graph-int8.ern").write_bytes(b"quantized again")
    with pytest.raises(EdgernnError, match=r"graph-int8.ern is graph"):
        gate.check(*good)


def test_each_scheme_has_a_graph_of_its_own(good: tuple[Path, Path]) -> None:
    write(good[0], {"simulate-int8x16": {**SIMULATED, "scheme": "int8x16", "graph": OTHER}})
    assert gate.check(*good)["unjudged"] == ["int8x16.agreement", "int8x16.int8_accuracy", "int8x16.weight_bytes"]
    write(good[0], {"run-microbit": {**EMULATED, "scheme": "int8x16"}})
    with pytest.raises(EdgernnError, match="its figures are of graph"):
        gate.check(*good)


def test_results_of_before_the_scheme_was_told(good: tuple[Path, Path]) -> None:
    old = {key: value for key, value in EMULATED.items() if key != "scheme"}
    write(good[0], {"run-microbit": old})
    assert all(row["ok"] for row in gate.check(*good)["rows"])
    write(good[0], {"run-microbit": {**old, "graph": OTHER}})
    with pytest.raises(EdgernnError, match="its figures are of graph"):
        gate.check(*good)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every leaf."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    deeper = [place for key, inner in items for place in places(inner, (*at, key))]
    return deeper or [at]


def with_leaf(value: Any, place: tuple[Any, ...], leaf: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if leaf is KeyError:
        del inner[place[-1]]
    else:
        inner[place[-1]] = leaf
    return changed


WRONG = (KeyError, None, float("nan"), float("inf"), -1, "5", [], {}, True, 10**400, "")
LEAVES = [(name, place) for name, values in results().items() for place in places(values)]


@pytest.mark.parametrize(("name", "place"), LEAVES, ids=lambda x: x if isinstance(x, str) else ".".join(map(str, x)))
def test_no_damaged_figure_passes(good: tuple[Path, Path], name: str, place: tuple[Any, ...]) -> None:
    """Whatever stands in the place of a figure, the gate fails or cannot tell, and never trips."""
    for leaf in WRONG:
        if (place[-1] in ("task", "scheme") and leaf in (KeyError, None) and name != "simulate-int8") or place == ("task",):
            continue  # a keyword spotter's figures of before tasks had names, a board's of before the scheme was told
        if type(leaf) is str and leaf and type(leaf_of(name, place)) is str:
            continue  # another text is no damage: a context's is compared, see below
        write(good[0], {**results(), name: with_leaf(results()[name], place, leaf)})
        try:
            rows = gate.check(*good)["rows"]
        except EdgernnError:
            continue
        assert any(not row["ok"] for row in rows), (name, place, leaf)


def leaf_of(name: str, place: tuple[Any, ...]) -> Any:
    value: Any = results()[name]
    for key in place:
        value = value[key]
    return value


def emptied(part: str) -> Callable[[dict[str, Any]], Any]:
    return lambda base: {**base, part: {}}


def put(part: str, key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda base: {**base, part: {**base[part], key: value}}


BAD_BASELINES: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{f"no {part}": emptied(part) for part in ("metrics", "context", "tolerances")},
    **{f"{x!r} for {part}": put(part, key, x)
       for part, key in (("metrics", "int8.agreement"), ("tolerances", "agreement"))
       for x in (None, float("nan"), float("inf"), -float("inf"), "0.5", True, [], 10**400)},
    "a negative tolerance": put("tolerances", "flash_bytes", -0.5),
    "a tolerance of everything": lambda base: put("metrics", "microbit.flash_bytes", 1e9)(
        put("tolerances", "flash_bytes", 1e308)(base)
    ),
    "a text of the context": put("context", "int8.test_set", 3),
    "another test set": put("context", "int8.test_set", "another"),
    "another compiler": put("context", "microbit.compiler", "another"),
    "a figure nobody knows": put("metrics", "int8.luck", 1),
    "no test set": lambda base: {**base, "context": {"microbit.compiler": base["context"]["microbit.compiler"]}},
    "another version": lambda base: {**base, "baseline": 3},
    "version nought": lambda base: {**base, "baseline": 0},
    "no level": lambda base: {**base, "level": None},
    "a level of nothing": lambda base: {**base, "level": 0},
    "a level above all": lambda base: {**base, "level": 1.5},
    "a model that is none": lambda base: {**base, "model": "demo"},
    "outcomes that are none": lambda base: {**base, "outcomes": {"int8": {"int8_accuracy": {"kind": "guesses"}}}},
    "outcomes in a list": lambda base: {**base, "outcomes": [1]},
    "who it was not": lambda base: {**base, "written": {"who": 5}},
    "a version that is true": lambda base: {**base, "baseline": True},
    "a list": lambda base: [base],
    "nothing": lambda base: None,
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_BASELINES)
def test_bad_baselines_are_refused(good: tuple[Path, Path], what: str) -> None:
    base = json.loads(good[1].read_text(encoding="utf-8"))
    good[1].write_text(json.dumps(BAD_BASELINES[what](base)), encoding="utf-8")
    with pytest.raises(EdgernnError):
        gate.check(*good)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b"{}\0", b'{"baseline": 1}'])
def test_damaged_json_is_refused(good: tuple[Path, Path], data: bytes) -> None:
    for path in (good[1], good[0] / "simulate-int8.json", good[0] / "run-microbit.json", good[0] / "compare-int8.json"):
        kept = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(EdgernnError):
            gate.check(*good)
        path.write_bytes(kept)


def test_files_must_be_what_their_names_say(good: tuple[Path, Path]) -> None:
    (good[0] / "simulate-int8x16.json").write_text(json.dumps(SIMULATED), encoding="utf-8")
    with pytest.raises(EdgernnError, match="it holds the results of int8"):
        gate.check(*good)


def test_what_is_not_judged_is_said(good: tuple[Path, Path]) -> None:
    base = json.loads(good[1].read_text(encoding="utf-8"))
    del base["metrics"]["microbit.flash_bytes"]
    good[1].write_text(json.dumps(base), encoding="utf-8")
    lines = list(checked(gate.check(*good)))
    assert lines[1] == "not in the baseline, so not judged: microbit.flash_bytes"
