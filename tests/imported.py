"""Models for tests of imports: made with torch and onnx, answered by them, and by edgernn's float net of what was read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fixture_runs import ROOT
from needs import need_module
from numpy.typing import NDArray

from edgernn.imports import Imported
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe
from edgernn.tasks.spot.recipe import SpotNet

KERAS = ROOT / "tests" / "fixtures" / "keras"
INPUTS, OUTPUTS = 6, 3
X = np.random.default_rng(5).normal(size=(2, 12, INPUTS)).astype(np.float32)
Weights = Mapping[str, NDArray[np.float32]]


def outputs(m: Imported, x: NDArray[np.float32]) -> NDArray[Any]:
    """What the imported model answers, with the file's own output function."""
    recipe = make_recipe(
        {"layers": [{"cell": s.cell, **s.options} for s in m.layers], "frontend": {"bands": m.n_in}},
    )
    labels = tuple(f"label{i}" for i in range(m.n_out))
    net = SpotNet(recipe, labels, make_tables(recipe.frontend), np.zeros(m.n_in), np.ones(m.n_in), m.weights)
    y = net.run(x)
    if m.output == "softmax":
        return np.exp(y) / np.exp(y).sum(-1, keepdims=True)
    return 1 / (1 + np.exp(-y)) if m.output == "sigmoid" else y


def assert_equal(m: Imported, x: NDArray[np.float32], expected: NDArray[Any]) -> None:
    """The whole sequence, or its last step where the original gives no more, within 1e-5."""
    y = outputs(m, x)
    y = y[:, -1] if expected.ndim == 2 else y
    assert np.std(expected) > 0.02, "an original that always answers the same proves nothing"
    assert np.abs(y - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())


def torch_model(core: Any, *heads: int, relu: bool = True) -> Any:
    """core, then Linear layers of these sizes with ReLU between."""
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core = core
            sizes = [core.hidden_size, *heads]
            for i, (a, b) in enumerate(zip(sizes, heads, strict=False)):
                self.add_module(f"fc{i}", nn.Linear(a, b))

        def forward(self, x: Any) -> Any:
            x = self.core(x)[0]
            for i in range(len(heads)):
                x = getattr(self, f"fc{i}")(x)
                x = torch.relu(x) if relu and i < len(heads) - 1 else x
            return x

    return Model().eval()


def torch_cores() -> dict[str, Callable[[], Any]]:
    from torch import nn

    return {
        "gru": lambda: nn.GRU(INPUTS, 5, batch_first=True),
        "gru stacked": lambda: nn.GRU(INPUTS, 5, 3, batch_first=True),
        "gru without bias": lambda: nn.GRU(INPUTS, 5, bias=False, batch_first=True),
        "lstm": lambda: nn.LSTM(INPUTS, 5, 2, batch_first=True),
        "rnn tanh": lambda: nn.RNN(INPUTS, 5, batch_first=True),
        "rnn relu": lambda: nn.RNN(INPUTS, 5, 2, nonlinearity="relu", batch_first=True),
    }


def save_torch(path: Path, tensors: Any) -> Path:
    import torch
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file({k: v.clone() for k, v in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path


def changed_config(source: str, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A .keras file with another config.json."""
    with zipfile.ZipFile(KERAS / source) as old, zipfile.ZipFile(path, "w") as new:
        config = json.loads(old.read("config.json"))
        change(config)
        new.writestr("config.json", json.dumps(config))
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    return path


def onnx_model(
    path: Path,
    kind: str = "GRU",
    tail: Sequence[Any] | None = None,
    weights: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> Path:
    """X [T, B, I] -> one recurrent node -> Squeeze -> `tail` (a dense layer if not given) -> Y."""
    from onnx import TensorProto, helper, numpy_helper, save

    rank = attributes.pop("rank", 3)
    rng, units, gates = np.random.default_rng(2), 5, {"GRU": 3, "LSTM": 4, "RNN": 1}[kind]
    stored = {
        "W": rng.normal(0, 0.5, (1, gates * units, INPUTS)), "R": rng.normal(0, 0.5, (1, gates * units, units)),
        "B": rng.normal(0, 0.5, (1, 2 * gates * units)), "K": rng.normal(size=(units, OUTPUTS)), "b": rng.normal(size=OUTPUTS),
    }  # fmt: skip
    constants = {k: v.astype(np.float32) for k, v in stored.items()} | {"one": np.array([1])} | dict(weights or {})
    inputs = ["X", "W", "R", "B", *attributes.pop("more", [])]
    node = helper.make_node(kind, inputs, ["rnn"], name="core", hidden_size=units, **attributes)
    squeeze = helper.make_node("Squeeze", ["rnn", "one"], ["h"], name="squeeze")
    tail = (
        tail
        if tail is not None
        else [helper.make_node("MatMul", ["h", "K"], ["m"]), helper.make_node("Add", ["m", "b"], ["Y"])]
    )
    used = {name for n in (node, squeeze, *tail) for name in n.input}
    graph = helper.make_graph(
        [node, squeeze, *tail], "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["t", "n", INPUTS])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["t", "n", "o"][-rank:])],
        [numpy_helper.from_array(v, k) for k, v in constants.items() if k in used],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, path)
    return path


def onnx_answers(path: Path) -> NDArray[Any]:
    """onnxruntime's, batch first."""
    need_module("onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    y = np.asarray(session.run(None, {"X": X.transpose(1, 0, 2)})[0])
    return y.transpose(1, 0, 2) if y.ndim == 3 else y


def op(kind: str, *names: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, names[:-1], names[-1:], **{"name": f"my_{kind}", **attributes})
