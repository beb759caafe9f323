"""What is shown and how a verb ends: each figure in its own column, and exit code 1 wherever something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from edgernn import boards, cli, pipeline, show
from edgernn.exports import onnx_files
from edgernn.gate.as_table import checked
from edgernn.show import Table
from edgernn.tasks.denoise import show as denoise_show
from edgernn.tasks.spot import show as spot_show
from edgernn.tasks.vad import show as vad_show

# Exit codes ---------------------------------------------------------------------------


def exit_code(*args: object) -> int:
    result = CliRunner().invoke(cli.app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code


@pytest.mark.parametrize(("differing", "code"), [([0, 0, 0], 0), ([0, 1, 0], 1), ([0, 0, 7], 1)])
def test_a_runtime_that_differs_ends_the_comparison_with_1(
    differing: list[int], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [{"runtime": "x", "differing": n, "entries": 9, "steps": 2, "first": None, "us_per_step": 1.0, "file_bytes": 0,
             "arena_bytes": 0} for n in differing]  # fmt: skip
    found = {"graph": "g" * 12, "scheme": "int8", "split": "test", "rows": rows, "skipped": {}}
    monkeypatch.setattr(pipeline, "compare_model", lambda *_: found)
    for more in ((), ("--json",)):
        assert exit_code("simulate", tmp_path, "--compare", "c", *more) == code


@pytest.mark.parametrize(("bits", "code"), [(0, 0), (1, 1), (10**6, 1)])
def test_a_board_that_differs_ends_with_1(bits: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = dict.fromkeys(("board", "cpu", "emulator", "toolchain", "kernel"), "x") | dict.fromkeys(
        ("flash_bytes", "ram_bytes", "state_bytes", "stack_bytes", "steps", "instructions_per_step", "instructions_per_second"),
        1,
    )
    monkeypatch.setattr(boards, "run_board", lambda *_: {**found, "bits_differing": bits})
    for more in ((), ("--json",)):
        assert exit_code("run", tmp_path, *more) == code


@pytest.mark.parametrize(("ok", "code"), [([True, True], 0), ([True, False], 1), ([False, True], 1)])
def test_a_figure_that_is_worse_ends_with_1(ok: list[bool], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgernn import gate

    rows = [
        {"metric": "m", "baseline": 1, "value": 2, "tolerance": "0", "ok": x, "verdict": "ok" if x else "worse"} for x in ok
    ]
    monkeypatch.setattr(gate, "check", lambda *_: {**CHECKED, "rows": rows})
    for more in ((), ("--json",)):
        assert exit_code("check", tmp_path, *more) == code


CHECKED: dict[str, Any] = {
    "run": "run", "graph": "g" * 64, "baseline": "b.json", "unjudged": [], "notes": ["old"], "level": 0.1,
    "written": {"who": "ann", "when": "2026-01-01", "why": "larger set"},
}  # fmt: skip


# Tables ---------------------------------------------------------------------------


def shown(lines: Any) -> tuple[list[Table], str]:
    found = list(lines)
    return [x for x in found if isinstance(x, Table)], "\n".join(x for x in found if isinstance(x, str))


def test_checked_rows_say_ok_or_worse() -> None:
    rows = [{"metric": "a", "baseline": 1, "value": 2, "tolerance": "1 %", "ok": True, "verdict": "ok"},
            {"metric": "b", "baseline": 3, "value": 2.5, "tolerance": "0", "ok": False, "verdict": "worse", "chance": 0.0123,
             "paired": "3 lost, 1 won of 9", "lost": {"x.wav": "left"}, "won": ["y.wav"]},
            {"metric": "c", "baseline": 3, "value": None, "tolerance": "0", "ok": False, "verdict": "missing"}]  # fmt: skip
    (table,), text = shown(checked({**CHECKED, "rows": rows, "unjudged": ["x", "y"]}))
    assert [row[0::4] for row in table.rows] == [["b", "WORSE"], ["c", "MISSING"], ["a", "ok"]], "what matters comes first"
    assert table.rows[0] == ["b", "3", "2.5", "0", "WORSE"] and table.rows[1][2] == "none"
    assert (
        "WORSE: b was 3, is 2.5; tolerance 0; 3 lost, 1 won of 9; the chance of that where nothing was lost is 0.0123" in text
    )
    assert "lost: x.wav (left)\n  won: y.wav" in text
    assert "MISSING: c was 3 in the baseline and is missing now" in text
    assert "not in the baseline, so not judged: x, y" in text
    assert "the baseline is ann's of 2026-01-01: larger set" in text
    assert "note: old" in text
    assert text.endswith("run, graph gggggggggggg: 1 of 3 figures are worse, 1 are missing (baseline b.json)")


def test_compared_rows_show_what_differs_and_where() -> None:
    row = {
        "runtime": "c",
        "steps": 5,
        "entries": 900,
        "differing": 3,
        "first": (4, "gru.h"),
        "us_per_step": 2.5,
        "file_bytes": 7,
        "arena_bytes": None,
        "accuracy": 0.5,
        "events_differing": 2,
    }
    (table,), text = shown(
        show.compared({"graph": "g", "scheme": "int8", "split": "test", "rows": [row], "skipped": {"tflm": "gone"}})
    )
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "runtime": "c", "accuracy": "50.00 %", "events differing": 2, "entries differing": "3 of 900",
        "first difference": "step 4, gru.h", "us a step": 2.5, "file": 7, "arena": "",
    }  # fmt: skip
    assert text == "tflm skipped: gone"


def test_emulated_rows_show_the_bits_that_differ() -> None:
    found = {
        "board": "b",
        "cpu": "m0",
        "flash_bytes": 1,
        "ram_bytes": 2,
        "state_bytes": 3,
        "stack_bytes": 4,
        "steps": 5,
        "bits_differing": 6,
        "instructions_per_step": 7.4,
        "instructions_per_second": 8e6,
        "emulator": "q",
        "toolchain": "t",
        "kernel": "plain",
    }
    (table,), _ = shown(show.emulated(found))
    assert table.rows == [["b", "m0", 1, 2, 3, 4, 5, 6, "7", "8.00 M"]]
    assert table.columns[7] == "bits differing"


def test_quantized_rows_show_every_tensor_and_every_enlarged_row() -> None:
    tensor = {"name": "t", "dtype": "int8", "largest": 1.5, "step": 0.25, "snr_db": 40.5, "saturated": 0.031}
    found = {"graph": "g", "scheme": "int8", "weight_bytes": 1, "table_bytes": 2, "macs_per_step": 3, "tensors": [tensor],
             "enlarged": [{"tensor": "fx", "row": 7, "factor": 1.25}], "path": "p"}  # fmt: skip
    (table,), text = shown(show.quantized(found))
    assert table.rows == [["t", "int8", "1.5", "0.25", 40.5, "3.10 %"]]
    assert "fx row 7: scale enlarged x1.25" in text


CLIPS = {
    "float": {"clips": 6, "accuracy": 0.5, "per_class": {"a": 1.0, "b": 0.0}},
    "integer": {"accuracy": 0.75, "per_class": {"a": 0.25, "b": 0.125}, "confusion": [[1, 2], [0, 0]]},
    "labels": ["a", "b"], "split": "test", "agreement": 0.875, "logit_snr_db": 33.0,
    "silence": {"cuts": 500, "taken_for_keyword": {"float": 3, "integer": 4}},
}  # fmt: skip


def test_a_spotters_floats_and_integers_stand_each_in_their_column() -> None:
    streaming = {name: {"frr": x, "keywords": 5, "fa_per_hour": 2 * x, "fa_per_hour_95": [x / 2, 9 * x]}
                 for name, x in (("float", 0.1), ("integer", 0.2))}  # fmt: skip
    stream = {"seconds": 60.0, "minutes": [{"minute": 0, "logits": 30.0}], "whole": {"logits": 31.0}, "saturated": {"h": 0.25},
              "streaming": streaming}  # fmt: skip
    tables, text = shown(
        spot_show.simulated({"graph": "g", "scheme": "int8", "clips": CLIPS, "stream": stream, "latency_ms": 5, "step_ms": 20})
    )
    assert tables[0].columns == ["label", "float", "int8"]
    assert tables[0].rows == [["all", "50.00 %", "75.00 %"], ["a", "100.00 %", "25.00 %"], ["b", "0.00 %", "12.50 %"]]
    assert tables[1].rows == [["a", 1, 2]]
    assert tables[2].rows == [[0, 30.0], ["all", 31.0]]
    assert "agreement 87.50 %, logit SNR 33.0 dB" in text
    assert "float 3, int8 4 of 500" in text
    assert "streaming, float: 10.00 % of 5 keywords missed, 0.2 false accepts an hour (95 %: 0.05 to 0.9)" in text
    assert "streaming, integer: 20.00 % of 5 keywords missed" in text and "saturated: h 25.00 %" in text
    rows = spot_show.summary({"float_accuracy": 0.5, "int8_accuracy": 0.75, "agreement": 0.875, "clips": 6, "split": "test",
                              "scheme": "int8"})  # fmt: skip
    assert [r[1] for r in rows] == ["50.00 % of 6 test clips", "75.00 % (int8)", "87.50 %"]


def test_a_detectors_floats_and_integers_stand_each_in_their_column() -> None:
    def figures(x: float) -> dict[str, Any]:
        five = {"threshold": 0.0, "misses": x, "noise_alone": x / 2}
        return {
            "auc": 1 - x,
            "auc_by_snr": {"0": 1 - 2 * x},
            "at_5_percent_false_alarms": five,
            "misses": 3 * x,
            "false_alarms": 4 * x,
            "noise_alone": 5 * x,
            "triggers_a_minute": 60 * x,
            "onset_ms": {"median": 100 * x, "mean": 200 * x},
        }

    r = {
        "graph": "g",
        "scheme": "int8",
        "mixtures": 7,
        "list": None,
        "split": "test",
        "noise_seconds": 60.0,
        "float": figures(0.01),
        "integer": figures(0.02),
        "stream": {"seconds": 9, "whole": {"logits": 30.0}, "saturated": {"h": 0.5}},
        "latency_ms": 5,
        "delay_ms": 20.0,
        "step_ms": 10,
    }
    tables, _ = shown(vad_show.simulated(r))
    assert [row[1:] for row in tables[0].rows] == [
        [0.99, 0.98],
        ["1.00 %", "2.00 %"],
        ["0.50 %", "1.00 %"],
        ["3.00 %", "6.00 %"],
        ["4.00 %", "8.00 %"],
        ["5.00 %", "10.00 %"],
        [0.6, 1.2],
        ["1.0 / 2.0 ms", "2.0 / 4.0 ms"],
    ]
    assert tables[1].rows == [["float", 0.98], ["int8", 0.96]]
    assert [row[1] for row in vad_show.summary(r)] == [
        "0.99 over 7 mixtures of the test split",
        "0.98 (int8)",
        "misses 6.00 %, false alarms 8.00 %",
        1.2,
    ]


def test_a_denoisers_systems_stand_each_in_their_row() -> None:
    mean = {
        name: {"pesq": x, "stoi": x / 10, "si_sdr": 10 * x} for name, x in (("noisy", 1.0), ("float", 2.0), ("integer", 3.0))
    }
    gaps = {m: {"mean": i + 0.5, "largest": i + 0.75} for i, m in enumerate(("pesq", "stoi", "si_sdr"))}
    stream = {"seconds": 9, "repeat_snr_db": 50.0, "growth_db": 0.1, "change": 2, "jump": 1.5, "silence": 3}
    r = {
        "graph": "g",
        "scheme": "int8",
        "mixtures": 7,
        "list": None,
        "split": "test",
        "mean": mean,
        "by_snr": {"5": mean},
        "integer_minus_float": gaps,
        "stream": stream,
        "latency_ms": 5,
        "step_ms": 10,
        "weight_bytes": 1,
        "mmacs_per_second": 2,
    }
    tables, text = shown(denoise_show.simulated(r))
    assert tables[0].rows[:3] == [["noisy", 1.0, 0.1, 10.0], ["float", 2.0, 0.2, 20.0], ["integer", 3.0, 0.3, 30.0]]
    assert tables[0].rows[3:] == [["integer - float, mean", 0.5, 1.5, 2.5], ["integer - float, largest", 0.75, 1.75, 2.75]]
    assert tables[1].rows[2] == ["5 dB, integer", 3.0, 0.3, 30.0]
    stream = {"seconds": 70, "whole": {"logits": 31.5, "h": 21.5}, "saturated": {"h": 0.25},
              "minutes": [{"minute": 0, "logits": 32.5, "h": 22.5}, {"minute": 1, "logits": 30.5, "h": 20.5}]}  # fmt: skip
    drifting, more = shown(denoise_show.simulated({**r, "drift": stream}))
    assert drifting[2].title == "SNR in dB over 70 s without a reset"
    assert drifting[2].rows == [[0, 32.5, 22.5], [1, 30.5, 20.5], ["all", 31.5, 21.5]] and "saturated: h 25.00 %" in more
    assert "no sample off by more than 2 of 32768" in text and "silence gives at most 3" in text and "50.0 dB SNR" in text
    assert denoise_show.summary({"mean": mean})[0] == ["PESQ: noisy, float, int8", "1.000, 2.000, 3.000"]


def test_the_summary_shows_the_bits_of_every_board() -> None:
    board = {"cpu": "m0", "flash_bytes": 1, "ram_bytes": 2, "stack_bytes": 3, "state_bytes": 4, "instructions_per_second": 5e6,
             "bits_differing": 6, "entries": 7, "steps": 8}  # fmt: skip
    s = {"weight_bytes": 1, "mmacs_per_second": 2, "latency_ms": 3, "graph": "g", "folder": "f", "scheme": "int8",
         "real_time_factor": 12.0, "boards": [board, {**board, "cpu": "m4", "bits_differing": 0}]}  # fmt: skip
    (table,), _ = shown(show.summary(s, [["quality", "x"]], ["next"], "model.h"))
    rows = {row[0]: row[1] for row in table.rows}
    assert (
        rows["m0: bits differing"] == "6 of 7 entries in 8 steps" and rows["m4: bits differing"] == "0 of 7 entries in 8 steps"
    )
    assert rows["m0: flash, RAM, stack"] == "1, 2, 3 bytes" and rows["this PC, the same C"] == "12 x real time"


# QDQ ---------------------------------------------------------------------------


def test_a_qdq_model_that_is_spoilt_here_is_told_of() -> None:
    for written, optimised, warned in ((40.0, 19.9, True), (40.0, 20.0, False), (19.9, 5.0, False), (20.0, 5.0, True)):
        distance = {"as_written": written, "optimised": optimised}
        assert (onnx_files.qdq_warning(distance, 8) is not None) is warned
    assert "--qdq-bits 7" in str(onnx_files.qdq_warning({"as_written": 40.0, "optimised": 5.0}, 8))
    assert "--qdq-bits" not in str(onnx_files.qdq_warning({"as_written": 40.0, "optimised": 5.0}, 7))


def test_the_distance_is_to_the_integers_and_by_level(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    exact = np.array([[100, 200]], np.int16)
    off = {"disable_all": exact * 1.01, "enable_all": exact * 1.1}
    monkeypatch.setattr(onnx_files, "_noise", lambda g, frames: frames)
    monkeypatch.setattr(
        onnx_files, "make_runtime", lambda name, g: SimpleNamespace(run_features=lambda x: SimpleNamespace(logits=exact))
    )
    monkeypatch.setattr(
        onnx_files,
        "OnnxRuntime",
        lambda g, level, form: SimpleNamespace(run_features=lambda x: SimpleNamespace(logits=off[level])),
    )
    found = onnx_files.qdq_distance(SimpleNamespace(frames_per_step=2))  # type: ignore[arg-type]
    assert found == {"as_written": 40.0, "optimised": 20.0}


def test_json_is_the_result_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = {"board": "b", "bits_differing": 0, "x": [1, 2]}
    monkeypatch.setattr(boards, "run_board", lambda *_: found)
    assert json.loads(CliRunner().invoke(cli.app, ["run", str(tmp_path), "--json"]).stdout) == found
