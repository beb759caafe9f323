"""Does another TFLite interpreter compute the graph's bits? For environments that cannot export.

    python tools/tflite_runtime_check.py export FOLDER              # where ai-edge-litert is installed
    python tools/tflite_runtime_check.py run FOLDER RUNTIME         # tflite_runtime, tensorflow, litert or tflm

`export` writes random nets of every cell, front and scheme. `run` needs NumPy, safetensors, the interpreter and this
checkout on PYTHONPATH; it compares every output and every carried state with the definition and exits 1 if a bit differs.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nets import FRONTS, log_energies, quantized, random_net, recurrent_cells

from edgernn.artifacts import write_bytes
from edgernn.core.primitives import SCHEMES
from edgernn.runtimes import make_runtime
from edgernn.tasks import load_graph
from edgernn.tasks.spot.recipe import SpotRecipe

STEPS = 10_000


def export(folder: Path) -> None:
    from edgernn.exports.tflite import model_bytes

    for cell, front, scheme in itertools.product(recurrent_cells(), FRONTS, SCHEMES):
        g = quantized(random_net(cell, 32, front), scheme)
        name = f"{cell}-{front}-{scheme}"
        g.save(folder / f"{name}.ern")
        write_bytes(folder / f"{name}.tflite", model_bytes(g))


def run(folder: Path, runtime: str) -> int:
    """Differing numbers over all exported nets."""
    make = importlib.import_module(f"edgernn.runtimes.{runtime}").RUNTIME
    total = 0
    for path in sorted(folder.glob("*.ern")):
        g = load_graph(path)
        frames = g.affine.apply(log_energies(SpotRecipe(frontend=g.frontend), STEPS * g.frames_per_step, 5))
        expected = make_runtime("numpy", g).run_features(frames)
        differing = sum(expected.differing(make(g, path.with_suffix(".tflite").read_bytes()).run_features(frames)).values())
        print(f"{path.stem:28} {STEPS} steps  {differing} differ", flush=True)
        total += differing
    return total


def main() -> None:
    mode, folder = sys.argv[1], Path(sys.argv[2])
    if mode == "export":
        export(folder)
        return
    assert list(folder.glob("*.ern")), f"nothing exported in {folder}"
    sys.exit(1 if run(folder, sys.argv[3]) else 0)


if __name__ == "__main__":
    main()
