"""The gate over a real run in which something is broken: each fault fails the build, and what is no fault does not."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_runs import ROOT, fixture_run
from needs import need_program

from edgernn import boards, gate, pipeline
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.tasks import load_graph
from edgernn.tasks.base import Question

QUIET: Any = lambda *_: None  # noqa: E731
SCHEME = "int8x16"
ASKED = Question(seconds=10.0)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder of the committed checkpoint, judged, and its baseline."""
    folder = fixture_run(tmp_path_factory.mktemp("gate") / "run")
    pipeline.quantize_model(folder, SCHEME)
    pipeline.simulate_model(folder, QUIET, SCHEME, ASKED)
    pipeline.compare_model(folder, "c", QUIET, SCHEME, seconds=5.0)
    return folder, gate.write_baseline(folder, folder.parent / "baseline.json")


@pytest.fixture
def run(good: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of it to break."""
    return Path(shutil.copytree(good[0], tmp_path / "run"))


def worse(folder: Path, baseline: Path) -> list[str]:
    """The metrics that fail, and they do fail the build."""
    result = gate.check(folder, baseline)
    found = [row["metric"] for row in result["rows"] if row["verdict"] == "worse"]
    assert gate.exit_code(result) == (1 if found else 0)
    return found


def with_constant(g: NetGraph, name: str, change: Callable[[Any], Any]) -> NetGraph:
    return replace(g, constants={**g.constants, name: change(g.constants[name])})


def largest_flipped(w: Any) -> Any:
    """One weight, the largest of the tensor, with the other sign."""
    out = w.copy()
    at = int(np.abs(out.astype(int)).argmax())
    out.flat[at] = -out.flat[at]
    return out


def gates_swapped(g: NetGraph) -> NetGraph:
    """Two gates of the GRU change places."""
    begins = sorted({op.attrs["begin"] for op in g.ops if op.kind == "slice_columns"})
    swap = {begins[0]: begins[1], begins[1]: begins[0]}
    ops = tuple(
        replace(op, attrs={**op.attrs, "begin": swap.get(op.attrs["begin"], op.attrs["begin"])})
        if op.kind == "slice_columns"
        else op
        for op in g.ops
    )
    return replace(g, ops=ops)


def scaled(g: NetGraph) -> NetGraph:
    """Features that are 1 % too large."""
    return replace(g, affine=replace(g.affine, gain=np.round(g.affine.gain * 1.01).astype(g.affine.gain.dtype)))


BROKEN: dict[str, Callable[[NetGraph], NetGraph]] = {
    **{f"one weight flipped: {name}": lambda g, name=name: with_constant(g, f"{name}.weight", largest_flipped)  # type: ignore[misc]
       for name in ("conv0.y", "gru1.fx", "gru1.fh", "logits")},
    "gates swapped": gates_swapped,
    "a recurrent bias dropped": lambda g: with_constant(g, "gru1.fh.bias", lambda b: b * 0),
    "features scaled by 1.01": scaled,
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_quantizer_that_breaks_the_graph_fails(what: str, good: tuple[Path, Path], run: Path) -> None:
    """As if `edgernn quantize` had made it so: its own report names the broken graph."""
    path = run / f"graph-{SCHEME}.ern"
    g = load_graph(path)
    broken = BROKEN[what](g)
    assert broken.id != g.id
    broken.save(path)
    report = run / f"quantize-{SCHEME}.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "graph": broken.id}))
    (run / f"compare-{SCHEME}.json").unlink()
    pipeline.simulate_model(run, QUIET, SCHEME, ASKED)
    found = worse(run, good[1])
    assert any("snr" in name or "accuracy" in name for name in found), found


def test_any_flipped_weight_is_another_graph_than_the_one_that_was_quantized(good: tuple[Path, Path], run: Path) -> None:
    """A flip too small to be heard still is no graph of `edgernn quantize`."""
    path = run / f"graph-{SCHEME}.ern"

    def smallest(w: Any) -> Any:
        out = w.copy()
        at = np.flatnonzero(np.abs(out.astype(int)) == 1)[0]
        out.flat[at] = -out.flat[at]
        return out

    with_constant(load_graph(path), "gru1.fx.weight", smallest).save(path)
    (run / f"compare-{SCHEME}.json").unlink()
    pipeline.simulate_model(run, QUIET, SCHEME, ASKED)
    with pytest.raises(EdgernnError, match=r"cannot tell: .*quantize-int8x16.json: its figures are of graph"):
        gate.check(run, good[1])


def plant(module: Any, name: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One-line fault in the C that a module exports."""
    real = module.export_c

    def faulty(g: NetGraph, folder: Path, *more: Any) -> list[Path]:
        written: list[Path] = real(g, folder, *more)
        text = (folder / name).read_text()
        assert text.count(old) == 1, f"{name} no longer holds {old!r} once: mend this test"
        (folder / name).write_text(text.replace(old, new))
        return written

    monkeypatch.setattr(module, "export_c", faulty)


def test_one_rounding_changed_by_one_lsb_in_the_c_fails(
    good: tuple[Path, Path], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgernn.runtimes import c

    need_program("cc")
    plant(c, "ern_entry.h", "((1 << 25) - r + 511)", "((1 << 25) - r + 512)", monkeypatch)
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path))
    assert pipeline.compare_model(run, "c", QUIET, SCHEME, seconds=5.0)["rows"][1]["differing"] > 0
    assert worse(run, good[1]) == [f"{SCHEME}.c.entries_differing"]


def test_one_rounding_changed_by_one_lsb_in_one_kernel_fails(
    good: tuple[Path, Path], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgernn import firmware

    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_program(program)
    plant(firmware, "ern_fast_entry.h", "^ negative) + 512 +", "^ negative) + 511 +", monkeypatch)
    assert boards.run_board(run, "mps2-an386", run, toolchain="gcc", emulator="qemu", scheme=SCHEME)["kernel"] != "plain"
    assert worse(run, good[1]) == ["mps2-an386.bits_differing"]


def test_another_test_set_cannot_be_told(good: tuple[Path, Path], run: Path) -> None:
    pipeline.simulate_model(run, QUIET, SCHEME, replace(ASKED, split="validation"))
    with pytest.raises(EdgernnError, match=r"cannot tell: int8x16.test_set was '.*/test' .* is '.*/validation' now"):
        gate.check(run, good[1])


@pytest.mark.parametrize(
    ("key", "value"), [("name", "another"), ("labels", ["yes", "no"]), ("task", "vad")], ids=["name", "labels", "task"]
)
def test_another_models_baseline_cannot_be_told(key: str, value: Any, good: tuple[Path, Path], tmp_path: Path) -> None:
    base = json.loads(good[1].read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**base, "model": {**base["model"], key: value}}))
    with pytest.raises(EdgernnError, match=f"is the baseline of another model, its {key} is "):
        gate.check(good[0], other)


# What is no fault ---------------------------------------------------------------------------


def edgernn(*args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgernn", *map(str, args)], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_rerun_with_another_number_of_threads_passes(threads: str, good: tuple[Path, Path], run: Path) -> None:
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    done = edgernn("simulate", run, "--scheme", SCHEME, "--seconds", 10, **numbers)
    assert done.returncode == 0, done.stderr
    assert worse(run, good[1]) == []


def test_a_baseline_may_be_reformatted(good: tuple[Path, Path], tmp_path: Path) -> None:
    base = json.loads(good[1].read_text())
    for i, text in enumerate((json.dumps(base, separators=(",", ":")), json.dumps(dict(reversed(base.items())), indent=8))):
        other = tmp_path / f"{i}.json"
        other.write_text("\ufeff" + text + "\r\n", encoding="utf-8")
        assert worse(good[0], other) == []


def test_check_takes_less_than_five_seconds_and_says_who_and_why(good: tuple[Path, Path]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = edgernn("check", good[0], "--baseline", good[1])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 5
    assert "none of" in done.stdout and "the first baseline" in done.stdout


# What cannot be told ---------------------------------------------------------------------------


def test_a_run_without_a_test_split_is_one_sentence(run: Path) -> None:
    index = run / "data" / "index.json"
    values = json.loads(index.read_text())
    values["rows"] = [["validation" if x == "test" else x for x in row] for row in values["rows"]]
    index.write_text(json.dumps(values))
    for more in ((), ("--compare", "c")):
        done = edgernn("simulate", run, "--scheme", SCHEME, *more)
        assert done.returncode == 2
        assert "error: the test split of " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_baseline_is_one_sentence(keep: float, good: tuple[Path, Path], tmp_path: Path) -> None:
    text, other = good[1].read_text().rstrip(), tmp_path / "cut.json"
    other.write_text(text[: int(keep * len(text))])
    done = edgernn("check", good[0], "--baseline", other)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {other} is not valid JSON") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [{"outcomes": {"int8_accuracy": {"kind": "marks", "of": 7}}}, {"outcomes": [1]}, {"labels": "abc"},
     {"clips": {"accuracy": 1}}, {"outcomes": {"fortune": {"kind": "values", "items": {"a": [1, 1]}}}},
     {"stream": {"whole": {}}}],
    ids=["damaged outcomes", "a list of outcomes", "labels", "figures of another version", "an unknown figure", "no stream"],
)  # fmt: skip
def test_figures_of_another_version_are_one_sentence(change: dict[str, Any], good: tuple[Path, Path], run: Path) -> None:
    path = run / f"simulate-{SCHEME}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(EdgernnError, match=r"cannot tell: .*simulate-int8x16.json: .*; run `edgernn simulate .*` again"):
        gate.check(run, good[1])


def test_figures_that_do_not_say_whose_they_are_cannot_be_told(good: tuple[Path, Path], run: Path) -> None:
    path = run / f"simulate-{SCHEME}.json"
    values = json.loads(path.read_text())
    del values["name"]
    path.write_text(json.dumps(values))
    with pytest.raises(EdgernnError, match=r"do not say their (labels|name); run `edgernn simulate"):
        gate.check(run, good[1])


def test_a_baseline_of_version_1_is_judged_by_its_tolerances(good: tuple[Path, Path], tmp_path: Path) -> None:
    base = json.loads(good[1].read_text())
    tolerances = {"agreement": 0.005, "int8_accuracy": 0.005, "weight_bytes": 0.0}
    kept = {f"{SCHEME}.{name}": base["metrics"][f"{SCHEME}.{name}"] for name in tolerances}
    old = {"baseline": 1, "context": base["context"], "graph": base["graphs"][SCHEME], "metrics": kept}
    old["tolerances"] = tolerances
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    result = gate.check(good[0], path)
    assert gate.exit_code(result) == 0 and len(result["rows"]) == 5
    assert "is of version 1: it is judged by tolerances, not item by item" in result["notes"][0]
    path.write_text(json.dumps({**old, "metrics": {**kept, f"{SCHEME}.int8_accuracy": 0.99}}))
    assert worse(good[0], path) == [f"{SCHEME}.int8_accuracy"]
