"""Damaged model files: each loader must give one sentence, never a traceback and never a crash.

    python tools/fuzz_loaders.py [MUTATIONS]        # 50,000 a format by default

Changes, cuts and insertions at random places of one small model of every format. What a loader accepts must be the
undamaged file. Exits 1 if a loader lets anything else through or raises anything but an EdgernnError.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nets import quantized, random_net

from edgernn.errors import EdgernnError
from edgernn.tasks import graph_from_bytes
from edgernn.tasks.spot.graph import SpotGraph

Loader = tuple[bytes, Callable[[bytes], object]]
MUTATIONS = 50_000


def ern(g: SpotGraph) -> Loader:
    return g.to_bytes(), graph_from_bytes


def tflite(g: SpotGraph) -> Loader:
    from edgernn.exports.tflite import model_bytes
    from edgernn.runtimes.litert import LiteRTRuntime

    return model_bytes(g), lambda data: LiteRTRuntime(g, data)


def onnx(g: SpotGraph) -> Loader:
    from edgernn.exports.onnx import integer_model
    from edgernn.runtimes.onnx import OnnxRuntime

    path = Path(tempfile.mkdtemp()) / "model.onnx"

    def load(data: bytes) -> object:
        path.write_bytes(data)
        return OnnxRuntime(g, path)

    return integer_model(g), load


#: format -> module that must exist, loader
LOADERS: Mapping[str, tuple[str, Callable[[SpotGraph], Loader]]] = {
    "ern": ("edgernn.core.graph", ern),
    "tflite": ("edgernn.exports.tflite", tflite),
    "onnx": ("edgernn.runtimes.onnx", onnx),
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four bytes changed, some bytes cut out, inserted or doubled, or the end missing."""
    at, count = int(rng.integers(len(data))), int(rng.integers(1, 5))
    some = rng.integers(0, 256, count, np.uint8).tobytes()
    kinds = (
        data[:at] + some + data[at + count :],
        data[:at] + data[at + count :],
        data[:at] + some + data[at:],
        data[:at] + data[at : at + 64] + data[at:],
        data[:at],
    )
    return kinds[rng.integers(len(kinds))]


def attack(data: bytes, load: Callable[[bytes], object], mutations: int) -> list[str]:
    """What went wrong, at most ten."""
    rng, wrong = np.random.default_rng(0), []
    for i in range(mutations):
        bad = mutated(data, rng)
        if bad == data:
            continue
        try:
            load(bad)
            wrong.append(f"mutation {i}: accepted")
        except EdgernnError:
            continue
        except Exception as error:
            wrong.append(f"mutation {i}: {type(error).__name__}: {error}")
    return wrong


def main() -> None:
    mutations = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATIONS
    g, failed = quantized(random_net("gru", 8), "int8"), False
    for name, (module, make) in LOADERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name:8} not in this checkout")
            continue
        data, load = make(g)
        load(data)
        begin = time.monotonic()
        wrong = attack(data, load, mutations)
        print(f"{name:8} {mutations} mutations of {len(data)} bytes in {time.monotonic() - begin:.0f} s: {len(wrong)} wrong")
        print("\n".join(wrong[:10]), end="\n" if wrong else "")
        failed = failed or bool(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
