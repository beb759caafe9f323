"""The voice-activity detector beside published ones, over the same sound, by the project's own judge.

    python tools/bench_vad.py MIXTURES.csv RUN      # writes docs/results/vad.json

MIXTURES.csv: clean, noise, snr_db, noise_label. RUN: a run folder, quantized in both schemes; its test noise is heard alone for
ten minutes. Peers are those installed beside edgernn's core (torch is not needed); a missing one is named and left out:

    pip install numpy safetensors jinja2 soundfile onnxruntime ten-vad pymicro-vad webrtcvad-wheels
    pip install --no-deps silero-vad                # its ONNX model; ten-vad needs libc++.so.1 (Debian: libc++1)

All scores are taken as they come, and a step's score is known at its end. Peers decide at the threshold their makers recommend.
"""

from __future__ import annotations

import datetime
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_json
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import read_ingredients
from edgernn.runs import find_graph
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import SAMPLE_RATE, Int16
from edgernn.tasks import load_checkpoint, load_graph
from edgernn.tasks.vad.judge import Heard, case, float_heard, integer_heard, measured, noise_alone

OUT = Path(__file__).resolve().parents[1] / "docs" / "results" / "vad.json"
Scores = NDArray[np.float64]
Peer = tuple[str, int, float, Callable[[], Callable[[Int16], Scores]]]  # module, samples a step, threshold, maker


def silero() -> Callable[[Int16], Scores]:
    """Probabilities of 32 ms steps, each with the 4 ms before it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    spec = importlib.util.find_spec("silero_vad")
    assert spec is not None and spec.submodule_search_locations
    model = Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    session = onnxruntime.InferenceSession(str(model), options)

    def run(pcm: Int16) -> Scores:
        x = np.pad(pcm.astype(np.float32) / 32768, (0, -len(pcm) % 512))
        state, past, out = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
        for begin in range(0, len(x), 512):
            block = np.concatenate([past, x[begin : begin + 512]])
            p, state = session.run(None, {"input": block[None], "state": state, "sr": np.array(SAMPLE_RATE, np.int64)})
            past = block[-64:]
            out.append(float(p[0, 0]))
        return np.array(out)

    return run


def ten_vad() -> Callable[[Int16], Scores]:
    """Probabilities of 16 ms steps."""
    from ten_vad import TenVad

    def run(pcm: Int16) -> Scores:
        detector = TenVad(hop_size=256)
        return np.array([detector.process(np.ascontiguousarray(b))[0] for b in _blocks(pcm, 256)], float)

    return run


def micro_vad() -> Callable[[Int16], Scores]:
    """Probabilities of 10 ms blocks; its -1, not warm yet, counts as 0."""
    from pymicro_vad import MicroVad

    def run(pcm: Int16) -> Scores:
        detector = MicroVad()
        return np.maximum(0.0, np.array([detector.process_10ms(b.tobytes()) for b in _blocks(pcm, 160)]))

    return run


def webrtc() -> Callable[[Int16], Scores]:
    """How many of its four modes say speech in 10 ms blocks, 0 to 1; all four, where mode 3 does."""
    import webrtcvad

    def run(pcm: Int16) -> Scores:
        modes = [webrtcvad.Vad(m) for m in range(4)]
        return np.array([np.mean([m.is_speech(b.tobytes(), SAMPLE_RATE) for m in modes]) for b in _blocks(pcm, 160)])

    return run


def _blocks(pcm: Int16, size: int) -> list[Int16]:
    return [pcm[i : i + size] for i in range(0, len(pcm) - size + 1, size)]


PEERS: dict[str, Peer] = {
    "Silero VAD": ("silero_vad", 512, 0.5, silero),
    "TEN VAD": ("ten_vad", 256, 0.5, ten_vad),
    "pymicro-vad": ("pymicro_vad", 160, 0.5, micro_vad),
    "WebRTC VAD, mode 3": ("webrtcvad", 160, 0.9, webrtc),
}


def peers(cases: list[Any], alone: Int16) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seconds = (sum(len(c.pcm) for c in cases) + len(alone)) / SAMPLE_RATE
    for name, (module, step, threshold, make) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed: {name} left out")
            continue
        run, begin = make(), time.monotonic()
        scores, quiet = [run(c.pcm) for c in cases], run(alone)
        real_time = seconds / (time.monotonic() - begin)
        heard = Heard(scores, [s >= threshold for s in scores], quiet, quiet >= threshold)
        found[name] = {**measured(cases, heard, step), "real_time_factor": round(real_time, 1)}
        print(name, found[name]["auc"], flush=True)
    return found


def ours(folder: Path, cases: list[Any], alone: Int16) -> dict[str, Any]:
    net, found = load_checkpoint(folder / "model.safetensors"), {}
    for scheme in ("int8x16", "int8"):
        graph = load_graph(find_graph(folder, scheme))
        if not found:
            heard = float_heard(net, graph.decision, cases, alone)
            found[f"{net.recipe.name}, float"] = measured(cases, heard, graph.step_samples)
        runtime, begin = make_runtime("c", graph), time.monotonic()
        figures = measured(cases, integer_heard(runtime, cases, alone, lambda *_: None), graph.step_samples)
        seconds = (sum(len(c.pcm) for c in cases) + len(alone)) / SAMPLE_RATE
        found[f"{net.recipe.name}, {scheme}"] = {
            **figures, "weight_bytes": graph.weight_bytes, "graph": graph.id, "latency_ms": graph.latency_ms,
            "real_time_factor": round(seconds / (time.monotonic() - begin), 1),
        }  # fmt: skip
    return found


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    cases = [case(x) for x in read_ingredients(Path(sys.argv[1]))]
    folder = Path(sys.argv[2])
    alone = noise_alone(Dataset.load(folder / "data"), "test")
    systems = {**ours(folder, cases, alone), **peers(cases, alone)}
    result = {"date": datetime.date.today().isoformat(), "mixtures": len(cases), "noise_seconds": len(alone) / SAMPLE_RATE}
    write_json(OUT, {**result, "systems": systems})
    print(f"wrote {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
