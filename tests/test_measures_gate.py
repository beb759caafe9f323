"""Each figure of the gate at its tolerance: the baseline's own, just inside and just outside, in its own direction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_gate import EMULATED, FILE, SIMULATED, results, write

from edgernn import gate
from edgernn.errors import EdgernnError


def judged(tmp_path: Path, name: str, before: float, now: float, tolerance: float) -> bool:
    """Whether a figure passes that was `before` and is `now`; all others are as they were."""
    run, kind = results(), name.rsplit(".", 1)[-1]
    folder = write(tmp_path / "run", run)
    (tmp_path / "b.json").unlink(missing_ok=True)
    base = json.loads(gate.write_baseline(folder, tmp_path / "b.json").read_text())
    base["metrics"][name], base["tolerances"][kind] = before, tolerance
    (tmp_path / "b.json").write_text(json.dumps(base))
    if kind in ("int8_accuracy", "agreement"):
        run["simulate-int8"]["clips"] = {"split": "test", "agreement": 1.0, "integer": {"accuracy": 0.97}}
        at = run["simulate-int8"]["clips"]["integer"] if kind == "int8_accuracy" else run["simulate-int8"]["clips"]
        at["accuracy" if kind == "int8_accuracy" else kind] = now
    else:
        run["simulate-int8" if kind == "weight_bytes" else "run-microbit"][kind] = now
    write(folder, run)
    found = gate.check(folder, tmp_path / "b.json")
    rows = {row["metric"]: row for row in found["rows"]}
    assert gate.exit_code(found) == (0 if rows[name]["ok"] else 1)
    assert (rows[name]["value"], rows[name]["baseline"]) == (pytest.approx(now, abs=1e-6), before)
    assert all(row["ok"] for key, row in rows.items() if key != name)
    return bool(rows[name]["ok"])


#: figure, baseline, tolerance, the last value that passes, the first that does not
EDGES = [
    ("int8.int8_accuracy", 0.9, 0.005, 0.895, 0.89499), ("int8.int8_accuracy", 0.9, 0.2, 0.7, 0.69999),
    ("int8.int8_accuracy", 0.9, 0.0, 0.9, 0.89999),
    ("int8.agreement", 0.5, 0.005, 0.495, 0.49499),
    ("int8.weight_bytes", 1000, 0.0, 1000, 1001), ("int8.weight_bytes", 1000, 0.5, 1500, 1501),
    ("microbit.flash_bytes", 10000, 0.01, 10100, 10101), ("microbit.flash_bytes", 10000, 0.0, 10000, 10001),
    ("microbit.ram_bytes", 4000, 0.0, 4000, 4001), ("microbit.ram_bytes", 4000, 0.25, 5000, 5001),
    ("microbit.instructions_per_step", 1000.0, 0.01, 1010.0, 1010.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "tolerance", "last", "first"), EDGES)
def test_the_baselines_own_tolerance_decides_at_its_edge(
    name: str, before: float, tolerance: float, last: float, first: float, tmp_path: Path
) -> None:
    assert judged(tmp_path, name, before, last, tolerance)
    assert not judged(tmp_path, name, before, first, tolerance)
    better = min(1.0, before + 0.05) if "accuracy" in name or "agreement" in name else before // 2
    assert judged(tmp_path, name, before, better, tolerance), "better is never worse"


def test_one_differing_bit_fails(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", results())
    gate.write_baseline(folder, tmp_path / "b.json")
    run = results()
    run["run-microbit"]["bits_differing"] = 1
    write(folder, run)
    worse = [row["metric"] for row in gate.check(folder, tmp_path / "b.json")["rows"] if not row["ok"]]
    assert worse == ["microbit.bits_differing"]


def test_graphs_are_compared_to_the_last_digit(tmp_path: Path) -> None:
    run = results()
    last = SIMULATED["graph"][-1]
    run["run-microbit"]["graph"] = SIMULATED["graph"][:-1] + ("0" if last != "0" else "1")
    with pytest.raises(EdgernnError, match="its figures are of graph"):
        gate.collect(write(tmp_path / "run", run))


@pytest.mark.parametrize("value", [1.0001, -0.0001, 1.5])
def test_a_share_that_is_none_is_refused(value: float, tmp_path: Path) -> None:
    run = results()
    run["simulate-int8"]["clips"]["agreement"] = value
    with pytest.raises(EdgernnError, match=r"agreement = .* cannot be judged"):
        gate.collect(write(tmp_path / "run", run))


def test_a_figure_that_is_gone_is_missing_and_nobody_can_tell(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", results())
    gate.write_baseline(folder, tmp_path / "b.json")
    (folder / "run-microbit.json").unlink()
    found = gate.check(folder, tmp_path / "b.json")
    missing = [row["metric"] for row in found["rows"] if row["verdict"] == "missing" and not row["ok"]]
    assert missing == ["microbit.flash_bytes", "microbit.instructions_per_step", "microbit.ram_bytes"]
    assert gate.exit_code(found) == 2
    run = results()
    run["simulate-int8"]["weight_bytes"] += 1
    write(folder, run)
    (folder / "run-microbit.json").unlink()
    assert gate.exit_code(gate.check(folder, tmp_path / "b.json")) == 1, "what is worse is worse, whatever else is missing"


def test_a_baseline_holds_every_figure_and_todays_tolerances(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", results())
    (folder / "graph-int8.ern").write_bytes(FILE)
    base = json.loads(gate.write_baseline(folder, tmp_path / "b.json").read_text())
    assert base["metrics"] == {
        "int8.int8_accuracy": 0.97, "int8.agreement": 1.0, "int8.weight_bytes": 3395, "microbit.flash_bytes": 13192,
        "microbit.ram_bytes": 4344, "microbit.instructions_per_step": 391627.64, "int8.graph_bytes": 17,
    }  # fmt: skip
    assert base["tolerances"] == {
        "int8_accuracy": 0.005, "agreement": 0.005, "weight_bytes": 0.0, "flash_bytes": 0.01, "ram_bytes": 0.0,
        "instructions_per_step": 0.01, "graph_bytes": 0.01,
    }  # fmt: skip
    assert base["context"] == {"int8.test_set": "d" * 64 + "/test", "microbit.compiler": "gcc 12 -O2"}
    assert base["graphs"] == {"int8": SIMULATED["graph"]}
    assert (base["baseline"], base["level"], base["model"]) == (2, 0.1, {"task": "spot"})


OTHERS = [("simulate-int8", "dataset", "e" * 64), ("run-microbit", "toolchain", "gcc 13"), ("run-microbit", "optimize", "-Os")]


@pytest.mark.parametrize(("of", "key", "other"), OTHERS)
def test_another_test_set_or_compiler_cannot_be_compared(of: str, key: str, other: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", results())
    gate.write_baseline(folder, tmp_path / "b.json")
    run: dict[str, Any] = results()
    run[of][key] = other
    write(folder, run)
    with pytest.raises(EdgernnError, match="compare like with like"):
        gate.check(folder, tmp_path / "b.json")


def test_differing_entries_of_every_board_and_runtime_are_rows(tmp_path: Path) -> None:
    run = results()
    run["run-other"] = {**EMULATED, "board": "other", "bits_differing": 0}
    run["compare-int8"]["rows"].append({"runtime": "onnx", "entries": 5, "differing": 1})
    folder = write(tmp_path / "run", run)
    differing = gate.collect(folder).differing
    assert differing == {
        "microbit.bits_differing": 0, "other.bits_differing": 0, "int8.c.entries_differing": 0,
        "int8.onnx.entries_differing": 1,
    }  # fmt: skip
