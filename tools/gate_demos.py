"""The baselines of the three demos, which CI trains anew and holds to them.

    python tools/gate_demos.py --why TEXT    write tests/fixtures/gate/demo*.json from run/demo, run/demo-denoise, run/demo-vad

A training differs between machines in its last digits, and so does what the voices say: tolerances are those of a training
anew, and the test sets are the same when their items are. What must be equal to the byte (weights, state) is; what a broken
pipeline does (lost accuracy, drift, bits) is far outside.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgernn import gate

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "gate"
#: of what every training anew moves
_COMMON = {
    "tensor_snr_db": 8.0, "logit_snr_db": 8.0, "stream_snr_db": 8.0, "stream_worst_minute_snr_db": 8.0,
    "stream_state_snr_db": 8.0, "stream_saturated": 0.02, "flash_bytes": 0.05, "graph_bytes": 0.05,
    "instructions_per_step": 0.05,
}  # fmt: skip
TOLERANCES: dict[str, dict[str, float]] = {
    "demo": {
        "int8_accuracy": 0.06, "int8_accuracy[]": 0.2, "float_accuracy": 0.06, "agreement": 0.025, "silence_taken": 0.05,
        "misses": 0.15, "misses[]": 0.3, "misses_at_baselines_rate": 0.2, "misses_at_baselines_rate[]": 0.4,
        "false_accepts_per_hour": 1.5, "false_accepts_per_hour[]": 4.0,
    },
    "demo-denoise": {
        "int8_pesq": 0.1, "int8_stoi": 0.02, "int8_estoi": 0.04, "int8_si_sdr": 1.5, "float_pesq": 0.1, "float_stoi": 0.02,
        "float_estoi": 0.04, "float_si_sdr": 1.5, "lost_si_sdr": 0.1, "stream_growth_db": 0.3, "stream_repeat_snr_db": 20.0,
    },
    "demo-vad": {
        "int8_auc": 0.02, "float_auc": 0.02, "mixture_auc": 0.03, "int8_misses": 0.08, "int8_noise_alone": 0.05, "misses": 0.05,
        "false_alarms": 0.08, "noise_alone": 0.1, "triggers_a_minute": 1.5, "onset_ms": 60.0,
    },
}  # fmt: skip


def write(run: Path, why: str) -> Path:
    """The baseline of one demo."""
    path = FIXTURES / f"{run.name}.json"
    found = gate.collect(run)
    kinds = {metric.split("[")[0].rsplit(".", 1)[-1] for metric in found.metrics}
    tolerances = {name: x for name, x in {**_COMMON, **TOLERANCES[run.name]}.items() if name.removesuffix("[]") in kinds}
    return gate.write_baseline(run, path, why, tolerances=tolerances, any_data=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--why", required=True, metavar="TEXT", help="kept in the baselines")
    parser.add_argument("--runs", type=Path, default=Path("run"), help="folder of the demos' run folders")
    given = parser.parse_args()
    for name in TOLERANCES:
        print(f"wrote {write(given.runs / name, given.why)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
