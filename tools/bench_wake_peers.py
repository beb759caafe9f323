"""Other wake-word engines on the same recordings, by the rules of bench_wake.py: those of "alexa" that come inside a package.

    pip install --no-deps --target PEERS openwakeword==0.4.0 pymicro-wakeword==2.5.0 pymicro-features
    PYTHONPATH=PEERS EDGERNN_DATA=... python tools/bench_wake_peers.py

Nothing is chosen here: their models are run as they come, their scores smoothed as they do it, each stream from a fresh start.
Adds to docs/results/wake.json under "peers".
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from bench_wake import OUT, TEST

from edgernn.artifacts import read_json, write_json
from edgernn.signal.audio import SAMPLE_RATE, Int16
from edgernn.tasks.spot.hearing import heard
from edgernn.tasks.spot.scoring import poisson_interval

WORD = "alexa"
Scores = Callable[[Int16], np.ndarray]


def open_wake_word() -> tuple[Scores, float, float]:
    """(scores of a stream, one every .. s, its usual threshold)."""
    import openwakeword
    from openwakeword.model import Model

    path = openwakeword.models[WORD]["model_path"]

    def run(pcm: Int16) -> np.ndarray:
        model = Model(wakeword_model_paths=[path])
        blocks = pcm[: len(pcm) // 1280 * 1280].reshape(-1, 1280)
        return np.array([next(iter(model.predict(block).values())) for block in blocks])

    return run, 0.08, 0.5


def micro_wake_word() -> tuple[Scores, float, float]:
    """The same; a score is the mean of its last five."""
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    def run(pcm: Int16) -> np.ndarray:
        model, front = MicroWakeWord.from_builtin(Model.ALEXA), MicroWakeWordFeatures()
        out = []
        for begin in range(0, len(pcm) - 159, 160):
            for features in front.process_streaming(pcm[begin : begin + 160].tobytes()):
                out.append(model.process_streaming_prob(features) or 0.0)
        stride = model.stride
        return np.array(out[stride - 1 :: stride])

    return run, 0.03, MicroWakeWord.from_builtin(Model.ALEXA).probability_cutoff


def measure(scores: Scores, step_s: float, threshold: float) -> dict[str, Any]:
    """Misses and false accepts at its own threshold, and its curve."""
    streams, quiet, _ = TEST.streams()
    stream = np.concatenate(quiet)
    negative, hours = as_posteriors(scores(stream)), len(stream) / SAMPLE_RATE / 3600
    apart, limit = round(0.8 / step_s), round(threshold * 32768)
    result: dict[str, Any] = {"threshold": threshold}
    for name, (pcm, spans) in streams.items():
        (e,) = heard(as_posteriors(scores(pcm)), spans, [negative], [WORD], 1, apart, 1 / step_s, SAMPLE_RATE)
        result[name] = {f"at {rate:g} an hour": round(e.misses(e.threshold(rate)), 4) for rate in (0.5, 1.0, 10.0)}
        result[name] |= {"said": len(e.said), "at the threshold": round(e.misses(limit), 4)}
        false = e.false_accepts(limit)
    return {**result, "false_accepts": false, "per_hour": [round(x / hours, 2) for x in (false, *poisson_interval(false))]}


def as_posteriors(x: np.ndarray) -> Int16:
    """Q15 [T, 1]."""
    return np.clip(np.rint(x * 32768), 0, 32767).astype(np.int16)[:, None]


def main() -> int:
    if len(sys.argv) != 1 or "EDGERNN_DATA" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    engines = {"openwakeword": open_wake_word, "pymicro-wakeword": micro_wake_word}
    peers = [{"name": f"{name} {version(name)}", "word": WORD, "date": datetime.date.today().isoformat(), **measure(*make())}
             for name, make in engines.items()]  # fmt: skip
    write_json(OUT, {**read_json(OUT), "peers": peers})  # read now: a look may have been added meanwhile
    for p in peers:
        print(p)
    return 0


if __name__ == "__main__":
    sys.exit(main())
