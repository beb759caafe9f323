"""Keras: a .keras archive or a whole-model .h5 file, read with h5py alone; no code of the file is run.

Keras stacks a GRU's gates as z, r, h and an LSTM's as i, f, c, o; kernels are [inputs, gates * units]. A GRU with
reset_after=True (the default) is edgernn's `gru`, one without is `gru_reset_before`.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._base import Imported, Part, assemble, decoding, dense, recurrent, reorder
from edgernn.imports._h5 import MOST_BYTES, Stored, read_layers

#: layers that do nothing when a model is used
_SILENT = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "ActivityRegularization")
#: Keras' name -> key of `_base.OUTPUTS`, "" for what is no output
_ACTIVATIONS = {"relu": "", "sigmoid": "sigmoid", "softmax": "softmax", "log_softmax": "logsoftmax"}
_ADVICE = {
    "Bidirectional": "it needs the future; train one direction",
    "Conv1D": "train it in edgernn, whose recipes have conv and depthwise, or feed the net log-mel frames",
    "Normalization": "leave it out of the model and give its mean and deviation with --normalization",
    "BatchNormalization": "fold it into the next layer's kernel and bias",
    "Masking": "edgernn's streams have no gaps; remove it",
}


@dataclass(frozen=True)
class _Layer:
    """One entry of the model's config."""

    name: str
    kind: str
    config: Mapping[str, Any]
    inbound: Any


@dataclass
class _Chain:
    """What has been read so far."""

    path: Path
    parts: list[Part] = field(default_factory=list)
    output: str = "logits"

    def refuse(self, layer: _Layer, why: str) -> EdgernnError:
        """The error that names the layer."""
        return EdgernnError(f"{self.path}: the {layer.kind} layer {layer.name!r} {why}")

    def activate(self, layer: _Layer, activation: Any) -> None:
        """Apply an activation by Keras' name to the last dense part."""
        if activation == "linear":
            return
        last = self.parts[-1] if self.parts else None
        if last is None or last.cell != "dense" or last.relu or activation not in list(_ACTIVATIONS):
            raise self.refuse(layer, f"applies {activation!r}, which has no integer form here; use relu after dense layers")
        if activation == "relu":
            self.parts[-1] = Part(last.name, last.cell, last.weights, relu=True)
        else:
            self.output = _ACTIVATIONS[activation]


def read(path: Path) -> Imported:
    """The model of a .keras or .h5 file."""
    packed = path.suffix.lower() == ".keras"
    config, stored = _archive(path) if packed else _whole_file(path)
    chain, taken = _Chain(path), set[str]()
    layers = _layers(path, config)
    for layer in layers:
        place = _unique(_snake(layer.kind), taken) if packed else layer.name
        if layer.kind in _SILENT:
            continue
        if chain.output != "logits":
            raise chain.refuse(layer, f"comes after a {chain.output}, which edgernn has only at the end")
        _read_layer(chain, layer, stored.get(place, []))
    return assemble(str(path), chain.parts, chain.output)


# Containers -----------------------------------------------------------------------


def _archive(path: Path) -> tuple[Any, Stored]:
    """.keras: a zip of config.json and model.weights.h5, in which layers are named by class and number."""
    with decoding(path, ".keras file"), zipfile.ZipFile(path) as archive:
        for name in ("config.json", "model.weights.h5"):
            if archive.getinfo(name).file_size > MOST_BYTES:
                raise EdgernnError(f"{path}: {name} is larger than {MOST_BYTES >> 20} MiB, too large for edgernn")
        config = json.loads(archive.read("config.json"))
        content = archive.read("model.weights.h5")
    return config, read_layers(path, content)[1]


def _whole_file(path: Path) -> tuple[Any, Stored]:
    """.h5: the config as JSON in an attribute, layers by name."""
    config, stored = read_layers(path, path.read_bytes())
    if not config:
        raise EdgernnError(f"{path} holds weights without the model; save it with model.save('model.keras')")
    with decoding(path, "Keras file"):
        return json.loads(config), stored


def _snake(kind: str) -> str:
    """Keras' own rule from a class to the name of its group."""
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def _unique(name: str, taken: set[str]) -> str:
    numbered = (name if i == 0 else f"{name}_{i}" for i in range(len(taken) + 1))
    found = next(n for n in numbered if n not in taken)
    taken.add(found)
    return found


# Layers ---------------------------------------------------------------------------


def _layers(path: Path, model: Any) -> list[_Layer]:
    """The layers from input to output."""
    kind = model.get("class_name") if isinstance(model, Mapping) else None
    if kind not in ("Sequential", "Functional", "Model"):
        raise EdgernnError(
            f"{path} holds a model of class {kind!r}; build it as keras.Sequential or from keras.Input, then save"
        )
    config = model.get("config")
    tables = config.get("layers") if isinstance(config, Mapping) else config
    layers = [_layer(path, table) for table in (tables if isinstance(tables, list) else [])]
    if kind == "Sequential":
        return layers
    return _follow(path, layers)


def _layer(path: Path, table: Any) -> _Layer:
    config = table.get("config") if isinstance(table, Mapping) else None
    kind = table.get("class_name") if isinstance(table, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(kind, str):
        raise EdgernnError(f"{path} is damaged: a layer in its config has no class or no settings; save the model again")
    name = config.get("name", table.get("name", kind))
    return _Layer(str(name), kind, config, table.get("inbound_nodes", []))


def _follow(path: Path, layers: list[_Layer]) -> list[_Layer]:
    """The layers of a functional model in file order, once it is clear that they form one chain."""
    names = {layer.name for layer in layers}
    before = ""
    for layer in layers:
        sources = [text for text in _texts(layer.inbound) if text in names]
        if sources != ([before] if before else []):
            came = ", ".join(map(repr, sources)) or "nothing"
            raise EdgernnError(
                f"{path}: the {layer.kind} layer {layer.name!r} reads {came}; edgernn imports one chain, each layer read once"
            )
        before = layer.name
    return layers


def _texts(node: Any) -> Iterator[str]:
    """Every text in nested lists and tables: Keras 2 and 3 nest the names of a layer's inputs differently."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        yield from (t for value in node.values() for t in _texts(value))
    elif isinstance(node, list):
        yield from (t for value in node for t in _texts(value))


def _read_layer(chain: _Chain, layer: _Layer, stored: list[NDArray[Any]]) -> None:
    reader = _READERS.get(layer.kind)
    if reader is None:
        raise chain.refuse(layer, f"cannot be imported; {_ADVICE.get(layer.kind, 'remove it or train without it')}")
    reader(chain, layer, stored)


def _weights(chain: _Chain, layer: _Layer, stored: list[NDArray[Any]], *wanted: str) -> list[NDArray[Any] | None]:
    """Matrices transposed to [outputs, inputs], then the bias, None where the layer has none."""
    names = wanted if layer.config.get("use_bias", True) else wanted[:-1]
    if len(stored) != len(names):
        raise chain.refuse(layer, f"has {len(stored)} stored weights, not its {len(names)} ({', '.join(names)}); save it again")
    matrices = len(wanted) - 1
    for name, value in zip(names[:matrices], stored, strict=False):
        if value.ndim != 2:
            raise chain.refuse(layer, f"has a {name} of shape {value.shape}, which is no matrix; save it again")
    return [*(m.T for m in stored[:matrices]), stored[matrices] if len(stored) > matrices else None]


def _dense(chain: _Chain, layer: _Layer, stored: list[NDArray[Any]]) -> None:
    weight, bias = _weights(chain, layer, stored, "kernel", "bias")
    assert weight is not None
    chain.parts.append(dense(layer.name, weight, bias))
    chain.activate(layer, layer.config.get("activation", "linear"))


def _time_distributed(chain: _Chain, layer: _Layer, stored: list[NDArray[Any]]) -> None:
    inner = _layer(chain.path, layer.config.get("layer"))
    if inner.kind != "Dense":
        raise chain.refuse(layer, f"wraps a {inner.kind}; edgernn imports it around Dense only")
    _dense(chain, inner, stored)


def _activation(chain: _Chain, layer: _Layer, stored: list[NDArray[Any]]) -> None:
    name = layer.config.get("activation") if layer.kind == "Activation" else layer.kind.lower()
    odd = [k for k in ("max_value", "negative_slope", "threshold") if layer.config.get(k)]
    if odd:
        raise chain.refuse(layer, f"has {odd[0]} = {layer.config[odd[0]]}; edgernn has the plain ReLU only")
    chain.activate(layer, name)


def _recurrent(chain: _Chain, layer: _Layer, stored: list[NDArray[Any]]) -> None:
    for key in ("go_backwards", "return_state"):
        if layer.config.get(key):
            raise chain.refuse(layer, f"has {key}=True, which a stream cannot have; train and save it with {key}=False")
    cell, order = _cell(chain, layer)
    kernel, hidden, bias = _weights(chain, layer, stored, "kernel", "recurrent_kernel", "bias")
    assert kernel is not None and hidden is not None
    double = cell == "gru" and bias is not None
    rows = len(order)
    if (
        len(kernel) % rows
        or len(hidden) % rows
        or (bias is not None and bias.shape != ((2,) if double else ()) + kernel.shape[:1])
    ):
        raise chain.refuse(layer, f"has weights of shapes {[s.shape for s in stored]}, not those of its class; save it again")
    biases = list(bias) if double and bias is not None else [bias]
    kernel, hidden, *sorted_biases = (None if a is None else reorder(a, order) for a in (kernel, hidden, *biases))
    assert kernel is not None and hidden is not None
    chain.parts.append(recurrent(layer.name, cell, kernel, hidden, *sorted_biases))


def _cell(chain: _Chain, layer: _Layer) -> tuple[str, tuple[int, ...]]:
    """edgernn's cell, and which of Keras' gates is its first, second, ..."""
    activation, gate = layer.config.get("activation", "tanh"), layer.config.get("recurrent_activation", "sigmoid")
    if layer.kind == "SimpleRNN" and activation in ("tanh", "relu"):
        return f"rnn_{activation}", (0,)
    if activation != "tanh" or gate != "sigmoid":
        wanted = "tanh or relu" if layer.kind == "SimpleRNN" else "tanh, and sigmoid for the gates"
        raise chain.refuse(layer, f"uses {activation!r} and {gate!r}; edgernn's has {wanted}: train it so")
    if layer.kind == "LSTM":
        return "lstm", (0, 1, 2, 3)
    return "gru" if layer.config.get("reset_after", False) else "gru_reset_before", (1, 0, 2)


_READERS: Mapping[str, Callable[[_Chain, _Layer, list[NDArray[Any]]], None]] = {
    "Dense": _dense,
    "TimeDistributed": _time_distributed,
    "Activation": _activation,
    "ReLU": _activation,
    "Softmax": _activation,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "SimpleRNN": _recurrent,
}
