"""Keras: a .keras archive or a whole-model .h5 file, read with h5py alone; no code of the file is run.

Keras stacks a GRU's gates as z, r, h and an LSTM's as i, f, c, o; kernels are [inputs, gates * units]. A GRU with
reset_after=True (the default) is edgernn's `gru`, one without is `gru_reset_before`.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._base import Imported, Part, assemble, decoding, dense, recurrent, reorder
from edgernn.imports._h5 import MOST_BYTES, Stored, read_layers
from edgernn.imports._keras_graph import Call, Layer, chain_of, make_layer, model_layers

#: layers that do nothing when a model is used
_SILENT = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "ActivityRegularization")
#: Keras' name -> key of `_base.OUTPUTS`, "" for what is no output
_ACTIVATIONS = {"relu": "", "sigmoid": "sigmoid", "softmax": "softmax", "log_softmax": "logsoftmax"}
_MEAN = "edgernn answers at every step; give the whole sequence or its last step"
_NORMALISE = "leave it out of the model and give its mean and deviation with --normalization"
_CELL = "build it from layers.GRU, layers.LSTM or layers.SimpleRNN"
_ADVICE = {
    "Bidirectional": "it needs the future; train one direction",
    "Conv1D": "train it in edgernn, whose recipes have conv and depthwise, or feed the net log-mel frames",
    "Normalization": _NORMALISE, "Rescaling": _NORMALISE,
    "BatchNormalization": "fold it into the next layer's kernel and bias",
    "Masking": "edgernn's streams have no gaps; remove it",
    "Lambda": "its function is code, which is not run; write it with layers that edgernn has",
    "GlobalAveragePooling1D": _MEAN, "GlobalMaxPooling1D": _MEAN, "RNN": _CELL, "StackedRNNCells": _CELL,
    "Sequential": "nest no models; put its layers into the one you save",
    "Functional": "nest no models; put its layers into the one you save",
}  # fmt: skip


@dataclass
class _Chain:
    """What has been read so far; time: whether the value still has a time axis; half: a 16-bit type it computes in."""

    path: Path
    parts: list[Part] = field(default_factory=list)
    output: str = "logits"
    time: bool = True
    half: str = ""
    notes: list[str] = field(default_factory=list)

    def refuse(self, layer: Layer, why: str) -> EdgernnError:
        """The error that names the layer."""
        return EdgernnError(f"{self.path}: the {layer.kind} layer {layer.name!r} {why}")

    def activate(self, layer: Layer, name: str) -> None:
        """Apply an activation by Keras' name to the last dense part."""
        if name == "linear":
            return
        last = self.parts[-1] if self.parts else None
        if last is None or last.cell != "dense" or (last.relu and name != "relu") or name not in _ACTIVATIONS:
            raise self.refuse(layer, f"applies {name!r}, which has no integer form here; use relu after dense layers")
        if name == "relu":
            self.parts[-1] = replace(last, relu=True)
        else:
            self.output = _ACTIVATIONS[name]


def read(path: Path) -> Imported:
    """The model of a .keras or .h5 file."""
    packed = path.suffix.lower() == ".keras"
    config, stored = _archive(path) if packed else _whole_file(path)
    with decoding(path, "Keras file"):
        chain = _read_chain(path, config, stored, packed)
    return assemble(str(path), chain.parts, chain.output, chain.notes, chain.half)


def _read_chain(path: Path, config: Any, stored: Stored, packed: bool) -> _Chain:
    """Every layer from input to output; in an archive, weights are found by class and number."""
    layers = model_layers(path, config)
    taken = set[str]()
    places = {layer.name: _unique(_snake(layer.kind), taken) if packed else layer.name for layer in layers}
    calls, notes = chain_of(path, config, layers)
    chain = _Chain(path, notes=notes)
    for call in calls:
        _read_call(chain, call, stored.get(places[call.layer.name], []))
    return chain


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


def _read_call(chain: _Chain, call: Call, stored: list[NDArray[Any]]) -> None:
    layer = call.layer
    _check_class(chain, layer)
    _check_type(chain, layer)
    if layer.kind == "InputLayer":
        chain.time = len(layer.shape or (0, 0, 0)) == 3
    if layer.kind in _SILENT:
        return
    if chain.output != "logits":
        raise chain.refuse(layer, f"comes after a {chain.output}, which edgernn has only at the end")
    reader = _READERS.get(layer.kind)
    if reader is None:
        raise chain.refuse(layer, f"cannot be imported; {_ADVICE.get(layer.kind, 'remove it or train without it')}")
    had = len(chain.parts)
    reader(chain, layer, stored)
    if len(chain.parts) > had:
        _check_sizes(chain, layer, call.inputs)
    if call.state == "c":
        raise chain.refuse(layer, "gives its cell state to the next layer, which edgernn keeps to itself; give its output")
    chain.time = chain.time and call.state != "h"


def _check_class(chain: _Chain, layer: Layer) -> None:
    """A class of the user's own may bear the name of Keras' and compute something else."""
    if layer.own:
        raise chain.refuse(layer, f"is of a class of its own ({layer.own}), whose code is not run; build it from keras.layers")


def _check_type(chain: _Chain, layer: Layer) -> None:
    """The type a layer computes in: 16 bits are told, quantized ones refused."""
    policy = layer.config.get("dtype", "float32")
    kind = str(policy.get("class_name", "")) if isinstance(policy, Mapping) else ""
    config = policy.get("config") if isinstance(policy, Mapping) else None
    name = str(config.get("name", config.get("mode", ""))) if isinstance(config, Mapping) else str(policy)
    if "Quantized" in kind or "_from_" in name or layer.config.get("quantization_config"):
        raise chain.refuse(
            layer, f"is quantized ({name}); save the float model, before quantize(): edgernn quantizes it itself"
        )
    if layer.config.get("lora_rank"):
        raise chain.refuse(layer, "has LoRA matrices beside its kernel; merge them and save again")
    if "float16" in name:
        chain.half = name


def _check_sizes(chain: _Chain, layer: Layer, inputs: Any) -> None:
    """What the config says of sizes, against the weights."""
    part, units = chain.parts[-1], layer.config.get("units")
    if units is not None and units != part.n_out:
        raise chain.refuse(layer, f"has units = {units} in its config, but weights for {part.n_out}; save it again")
    if inputs is not None and inputs != part.n_in:
        raise chain.refuse(
            layer, f"takes {inputs} inputs by the model's config, but has weights for {part.n_in}; save it again"
        )


def _weights(chain: _Chain, layer: Layer, stored: list[NDArray[Any]], *wanted: str) -> list[NDArray[Any] | None]:
    """Matrices transposed to [outputs, inputs], then the bias, None where the layer has none."""
    names = wanted if layer.config.get("use_bias", True) else wanted[:-1]
    if len(stored) != len(names):
        raise chain.refuse(layer, f"has {len(stored)} stored weights, not its {len(names)} ({', '.join(names)}); save it again")
    matrices = len(wanted) - 1
    for name, value in zip(names[:matrices], stored, strict=False):
        if value.ndim != 2:
            raise chain.refuse(layer, f"has a {name} of shape {value.shape}, which is no matrix; save it again")
    return [*(m.T for m in stored[:matrices]), stored[matrices] if len(stored) > matrices else None]


def _dense(chain: _Chain, layer: Layer, stored: list[NDArray[Any]]) -> None:
    weight, bias = _weights(chain, layer, stored, "kernel", "bias")
    assert weight is not None
    chain.parts.append(dense(layer.name, weight, bias))
    chain.activate(layer, _activation_name(chain, layer, layer.config.get("activation")))


def _time_distributed(chain: _Chain, layer: Layer, stored: list[NDArray[Any]]) -> None:
    inner = make_layer(chain.path, layer.config.get("layer"))
    if inner.kind not in ("Dense", "Dropout", "Activation", "ReLU"):
        raise chain.refuse(layer, f"wraps a {inner.kind}; edgernn imports it around Dense only")
    if not chain.time:
        raise chain.refuse(layer, "comes after a layer that gives its last step only; apply its layer directly")
    _check_class(chain, inner)
    _check_type(chain, inner)
    if inner.kind != "Dropout":
        _READERS[inner.kind](chain, inner, stored)


def _activation(chain: _Chain, layer: Layer, stored: list[NDArray[Any]]) -> None:
    chain.activate(layer, _activation_layer(chain, layer))


def _activation_layer(chain: _Chain, layer: Layer) -> str:
    """Keras' name of what an Activation, ReLU or Softmax layer does."""
    if layer.kind == "Activation":
        return _activation_name(chain, layer, layer.config.get("activation"))
    odd = [k for k in ("max_value", "negative_slope", "threshold") if layer.config.get(k)]
    if odd:
        raise chain.refuse(layer, f"has {odd[0]} = {layer.config[odd[0]]}; edgernn has the plain ReLU only")
    rank, axis = 3 if chain.time else 2, layer.config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    if layer.kind == "Softmax" and axes not in ([-1], [rank - 1]):
        raise chain.refuse(layer, f"works on axis {axis}, not over the labels; give it axis = -1")
    return layer.kind.lower()


def _activation_name(chain: _Chain, layer: Layer, given: Any) -> str:
    """An activation's name, where it is written as one, as nothing, or as a layer."""
    if given is None or isinstance(given, str):
        return given or "linear"
    if not isinstance(given, Mapping) or given.get("class_name") not in ("Activation", "ReLU", "Softmax"):
        name = given.get("class_name") if isinstance(given, Mapping) else given
        name = given.get("config") if name == "function" else name
        raise chain.refuse(layer, f"applies {name!r}, which has no integer form here; use relu after dense layers")
    inner = make_layer(chain.path, given)
    _check_class(chain, inner)
    return _activation_layer(chain, inner)


def _recurrent(chain: _Chain, layer: Layer, stored: list[NDArray[Any]]) -> None:
    if layer.config.get("go_backwards"):
        raise chain.refuse(
            layer, "has go_backwards=True, which a stream cannot have; train and save it with go_backwards=False"
        )
    if layer.config.get("time_major"):
        raise chain.refuse(layer, "has time_major=True, which exchanges batch and time; save it with time_major=False")
    if not chain.time:
        raise chain.refuse(layer, "comes after a layer that gives its last step only; give that return_sequences=True")
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
    chain.time = bool(layer.config.get("return_sequences", False))


def _cell(chain: _Chain, layer: Layer) -> tuple[str, tuple[int, ...]]:
    """edgernn's cell, and which of Keras' gates is its first, second, ..."""
    activation = _activation_name(chain, layer, layer.config.get("activation", "tanh"))
    gate = _activation_name(chain, layer, layer.config.get("recurrent_activation", "sigmoid"))
    if layer.kind == "SimpleRNN" and activation in ("tanh", "relu"):
        return f"rnn_{activation}", (0,)
    if activation != "tanh" or gate != "sigmoid":
        wanted = "tanh or relu" if layer.kind == "SimpleRNN" else "tanh, and sigmoid for the gates"
        raise chain.refuse(layer, f"uses {activation!r} and {gate!r}; edgernn's has {wanted}: train it so")
    if layer.kind == "LSTM":
        return "lstm", (0, 1, 2, 3)
    return "gru" if layer.config.get("reset_after", False) else "gru_reset_before", (1, 0, 2)


_READERS: Mapping[str, Callable[[_Chain, Layer, list[NDArray[Any]]], None]] = {
    "Dense": _dense,
    "TimeDistributed": _time_distributed,
    "Activation": _activation,
    "ReLU": _activation,
    "Softmax": _activation,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "SimpleRNN": _recurrent,
}
