"""What TensorFlow's own converter makes of the same float GRU: operators, size, accuracy, bits that differ between runtimes.

    python tools/bench_tf_converter.py RUN OUT      # RUN: a run folder, quantized; writes OUT/*.tflite and OUT/tf.json

Needs tensorflow-cpu, ai-edge-litert and, for TFLM, tflite-micro; see docs/exports.md. The net is rebuilt in Keras with the
trained weights, converted whole-clip (Keras' loop as it is, and unrolled), in float and in int8 after training.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgernn import runs
from edgernn.tasks import load_checkpoint
from edgernn.tasks.spot.clips import clip_pcm, label_indices
from edgernn.tasks.spot.judge import float_features
from edgernn.tasks.spot.recipe import SpotNet
from edgernn.tasks.spot.scoring import score_clips

keras = tf.keras


def keras_model(net: SpotNet, frames: int, unroll: bool) -> Any:
    """Whole clip in, logits of every step out. Depthwise, dense and GRU layers only: those of the sc12 and demo recipes."""
    x = given = keras.Input((frames, net.recipe.frontend.bands), batch_size=1)
    for layer in net.layers:
        w = {key: net.weights[f"{layer.name}.{key}"] for key in layer.cell.shapes(layer.options, layer.n_in)}
        x = BUILD[layer.cell.name](x, layer.options, w, unroll)
    return keras.Model(given, x)


def _depthwise(x: Any, o: Any, w: Any, unroll: bool) -> Any:
    kernel, stride = o["kernel"], o.get("stride", 1)
    x = keras.layers.ZeroPadding1D((kernel - stride, 0))(x)
    channels = x.shape[2]
    layer = keras.layers.DepthwiseConv1D(kernel, stride, depth_multiplier=o["multiplier"], activation=_relu(o))
    y = layer(x)
    # ours: [channels * multiplier, kernel], channel-major; Keras': [kernel, channels, multiplier]
    layer.set_weights([w["weight"].reshape(channels, -1, kernel).transpose(2, 0, 1), w["bias"]])
    return y


def _dense(x: Any, o: Any, w: Any, unroll: bool) -> Any:
    layer = keras.layers.Dense(len(w["bias"]), activation=_relu(o))
    y = layer(x)
    layer.set_weights([w["weight"].reshape(len(w["bias"]), -1).T, w["bias"]])
    return y


def _gru(x: Any, o: Any, w: Any, unroll: bool) -> Any:
    layer = keras.layers.GRU(o["units"], return_sequences=True, unroll=unroll)
    y = layer(x)
    order = [1, 0, 2]  # r, z, n -> z, r, h

    def turned(a: Any) -> Any:
        return np.concatenate([np.split(a, 3)[i] for i in order])

    bias = np.stack([turned(w["bias_ih"]), turned(w["bias_hh"])])
    layer.set_weights([turned(w["weight_ih"]).T, turned(w["weight_hh"]).T, bias])
    return y


def _relu(o: Any) -> str | None:
    return "relu" if o.get("relu") else None


BUILD: dict[str, Callable[..., Any]] = {"depthwise": _depthwise, "dense": _dense, "gru": _gru}


def converted(model: Any, int8: bool, sample: np.ndarray) -> bytes:
    """The converter's bytes; int8: after training, int8 operators only, calibrated on `sample` [N, T, bands]."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([clip[None]] for clip in sample)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()  # type: ignore[no-any-return]


def operators(data: bytes) -> dict[str, int]:
    interpreter = tf.lite.Interpreter(model_content=data)
    return dict(Counter(op["op_name"] for op in interpreter._get_ops_details()).most_common())


def litert(data: bytes, resolver: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    return Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType[resolver])


RUNTIMES: dict[str, Callable[[bytes], Any]] = {
    "litert": lambda data: litert(data, "AUTO"),
    "litert reference": lambda data: litert(data, "BUILTIN_REF"),
    "tf.lite": lambda data: tf.lite.Interpreter(model_content=data),
}


def run(interpreter: Any, clips: np.ndarray) -> np.ndarray:
    """Raw outputs [N, S, labels] of clips [N, T, bands]."""
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    out = []
    for clip in clips:
        interpreter.set_tensor(given["index"], _as(given, clip[None]))
        interpreter.invoke()
        out.append(interpreter.get_tensor(made["index"])[0].copy())
    return np.stack(out)


def _as(tensor: Any, x: np.ndarray) -> np.ndarray:
    scale, zero = tensor["quantization"]
    return np.clip(np.rint(x / scale + zero), -128, 127).astype(np.int8) if scale else x.astype(np.float32)


def tflm(data: bytes) -> str:
    """What TFLM does with it in ten seconds and 4 MiB, in a child process."""
    child = (
        "import sys; from tflite_micro import runtime; import numpy as np\n"
        "i = runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=4 * 2**20)\n"
        "d = i.get_input_details(0); i.set_input(np.zeros(d['shape'], d['dtype']), 0); i.invoke()"
    )
    try:
        done = subprocess.run([sys.executable, "-c", child], input=data, capture_output=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return "never ends"
    if not done.returncode:
        return "runs"
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return f"fails: {lines[0] if lines else done.returncode}"


def variant(folder: Path, frames: int, unroll: bool, int8: bool, sample: np.ndarray) -> bytes:
    """One conversion, for a process of its own: the converter may end it."""
    return converted(keras_model(load_checkpoint(folder / "model.safetensors"), frames, unroll), int8, sample)


def variants(folder: Path, frames: int, sample: np.ndarray) -> Iterator[tuple[str, bytes | str]]:
    for unroll, int8 in itertools.product((False, True), (False, True)):
        name = f"{'unrolled' if unroll else 'loop'}, {'int8' if int8 else 'float'}"
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                yield name, pool.submit(variant, folder, frames, unroll, int8, sample).result()
            except BrokenProcessPool:
                yield name, "the converter crashes"
            except Exception as error:  # whatever the converter raises is the result
                yield name, f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    net, dataset = load_checkpoint(folder / "model.safetensors"), runs.load_data(folder)
    rows = dataset.clips("test")
    x = float_features(net, clip_pcm(dataset, rows, net.recipe.frontend.sample_rate))
    sample = float_features(net, clip_pcm(dataset, dataset.clips("train")[::40], net.recipe.frontend.sample_rate))
    truth, steps = label_indices(dataset, rows), net.recipe.steps(net.recipe.decision.clip_ms)
    distance = float(np.abs(keras_model(net, x.shape[1], False).predict(x[:8], batch_size=1, verbose=0) - net.run(x[:8])).max())
    assert distance < 1e-3, f"the Keras net is not the same net: {distance}"
    results = []
    for name, data in variants(folder, x.shape[1], sample):
        row: dict[str, Any] = {"model": name}
        results.append(row)
        if isinstance(data, str):
            row["error"] = data
            continue
        (out / f"{name.replace(', ', '-')}.tflite").write_bytes(data)
        row |= {"bytes": len(data), "operators": operators(data), "tflm": tflm(data)}
        outputs = {}
        for runtime, make in RUNTIMES.items():
            try:
                outputs[runtime] = run(make(data), x)
            except (RuntimeError, ValueError) as error:
                row.setdefault("failed", {})[runtime] = str(error).splitlines()[0]
        row["accuracy"] = {
            k: round(score_clips(v.astype(float), truth, net.labels, steps).accuracy, 5) for k, v in outputs.items()
        }
        first = next(iter(outputs.values()))
        row["differing_from_first"] = {k: round(float(np.mean(v != first)), 5) for k, v in outputs.items()}
        print(json.dumps(row), flush=True)
    (out / "tf.json").write_text(
        json.dumps({"recipe": net.recipe.name, "tensorflow": tf.__version__, "rows": results}, indent=1), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
