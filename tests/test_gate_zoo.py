"""The gate over the models that come along: every one has baselines of its very graph, and what breaks it fails."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from fixture_runs import ROOT
from needs import need_module, need_program
from test_gate_faults import largest_flipped, plant, with_constant

from edgernn import gate, pipeline
from edgernn.tasks import load_graph
from edgernn.tasks.base import Question
from edgernn.zoo import all_cards, find_card

tool: Any = importlib.import_module("gate_zoo")  # tools/gate_zoo.py: `fixture_runs` puts that folder on the path
CARDS = all_cards()


@pytest.mark.parametrize("kind", ["", "-recorded"], ids=["spoken", "recorded"])
@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_every_model_has_a_baseline_of_its_own_graph(card: Any, kind: str) -> None:
    found = gate.read_baseline(tool.BASELINES / f"{card.name}{kind}.json")
    assert list(found.graphs.values()) == [card.graph["id"]], "tools/gate_zoo.py --why writes it anew"
    assert (found.model["task"], set(found.context.values()) >= {"any"}, found.level) == (card.task, True, 0.1)
    names = {name.rsplit(".", 1)[-1].split("[")[0] for name in found.metrics}
    assert {"stream_snr_db", "stream_worst_minute_snr_db", "stream_state_snr_db", "latency_ms", "weight_bytes"} <= names
    assert {"instructions_per_step", "stack_bytes"} <= names or kind
    assert any(found.outcomes.values()), "item by item"
    assert found.tolerances["stream_snr_db"] == 0.5


def test_no_baseline_is_left_of_a_model_that_is_gone() -> None:
    assert {p.stem.removesuffix("-recorded") for p in tool.BASELINES.iterdir()} == {card.name for card in CARDS}
    assert "tools/gate_zoo.py" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model judged on a little speech, and its baseline."""
    need_module("espeakng_loader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool, "SPOKEN", ({"kind": "spoken", "utterances": 30, "noise_seconds": 105.0},))
        patch.setattr(tool, "ASKED", Question(seconds=20.0, count=4))
        folder = tmp_path_factory.mktemp("zoo")
        run = tool.measured(tool.made(find_card("vad"), folder / "vad", False), ())
        assert tool.verdict(run, folder / "b.json", "for a test") == 0
    assert json.loads((folder / "b.json").read_text())["written"]["why"] == "for a test"
    return run, folder / "b.json"


def test_the_same_model_passes_and_a_flipped_weight_fails(
    good: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, baseline = good
    assert tool.verdict(run, baseline, "") == 0
    path = run / "graph-int8x16.ern"
    kept = path.read_bytes()
    try:
        with_constant(load_graph(path), "gru2.fh.weight", largest_flipped).save(path)
        pipeline.simulate_model(run, lambda *_: None, question=Question(seconds=20.0, count=4))
        assert tool.verdict(run, baseline, "") == 1
        assert "WORSE: int8x16.stream_snr_db" in capsys.readouterr().out
    finally:
        path.write_bytes(kept)


def test_a_rounding_that_differs_in_one_runtime_fails(
    good: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgernn.runtimes import c

    need_program("cc")
    run, baseline = good
    pipeline.simulate_model(run, lambda *_: None, question=Question(seconds=20.0, count=4))
    plant(c, "ern_entry.h", "((1 << 25) - r + 511)", "((1 << 25) - r + 512)", monkeypatch)
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path))
    monkeypatch.setenv("EDGERNN_KERNEL", "plain")
    pipeline.compare_model(run, "c", lambda *_: None, seconds=5.0)
    try:
        assert tool.verdict(run, baseline, "") == 1
    finally:
        (run / "compare-int8x16.json").unlink()


def test_words_are_said_to_models_that_know_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERNN_DATA", "/somewhere")
    with_words, without = (tool.runs.run_recipe(find_card(name).folder) for name in ("wake", "vad"))
    for recorded, one, all_ in ((False, 1, 2), (True, 2, 5)):
        assert (len(tool.sources(without, recorded)), len(tool.sources(with_words, recorded))) == (one, all_)
    paths = [str(table.get("path", "")) for table in tool.sources(with_words, True)]
    assert sum(path.startswith("/somewhere/") for path in paths) == 4


def test_every_run_is_judged_and_the_worst_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codes = {"vad.json": 0, "vad-recorded.json": 1, "wake.json": 2, "dn-small.json": 0}
    monkeypatch.setattr(tool, "made", lambda card, folder, recorded: folder)
    monkeypatch.setattr(tool, "measured", lambda folder, on: folder)
    monkeypatch.setattr(tool, "verdict", lambda folder, baseline, why: codes.get(baseline.name, 0))
    for data, argv, code in (("", ["vad"], 0), ("x", ["vad"], 1), ("", [], 2), ("x", ["dn-small", "vad"], 1)):
        monkeypatch.setenv("EDGERNN_DATA", data)
        if not data:
            monkeypatch.delenv("EDGERNN_DATA")
        monkeypatch.setattr("sys.argv", ["gate_zoo.py", *argv])
        assert tool.main() == code
    monkeypatch.setattr("sys.argv", ["gate_zoo.py", "nobody"])
    with pytest.raises(SystemExit) as error:
        tool.main()
    assert error.value.code == 2
