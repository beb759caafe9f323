"""ONNX: a graph that is one chain from features to outputs, of RNN, GRU and LSTM nodes, MatMul or Gemm, and layout.

The chain is followed from the graph's input. What only moves axes (Transpose, Squeeze, Reshape ...) is checked to keep
each frame's features together and then left out; what feeds a node's initial state must be zero. ONNX stacks a GRU's
gates as z, r, h and an LSTM's as i, o, f, c. linear_before_reset = 1 is edgernn's `gru`, 0 is `gru_reset_before`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._base import Imported, Part, assemble, decoding, dense, package, recurrent, reorder

TIME, BATCH, DIRECTION, FEATURES = "time", "batch", "direction", "features"
#: cell and, for each of edgernn's gates, the position of that gate in the file
_ORDERS = {"gru": (1, 0, 2), "gru_reset_before": (1, 0, 2), "lstm": (0, 2, 3, 1), "rnn_tanh": (0,), "rnn_relu": (0,)}
_GATES = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}
_ADVICE = {
    "Conv": "train it in edgernn, whose recipes have conv and depthwise, or feed the net log-mel frames",
    "BatchNormalization": "fold it into the next layer, as exporters do with constant folding",
    "Loop": "export the layer as one GRU, LSTM or RNN node",
    "Scan": "export the layer as one GRU, LSTM or RNN node",
}


@dataclass(frozen=True)
class _Node:
    """One operator: attributes as Python values, inputs and outputs by name ("" where left out)."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def input(self, i: int) -> str:
        """The name of input i, "" where it is left out."""
        return self.inputs[i] if i < len(self.inputs) else ""


@dataclass(frozen=True)
class _File:
    """A decoded model: nodes, constants, graph inputs and outputs by name, the rank of inputs."""

    path: Path
    nodes: tuple[_Node, ...]
    constants: Mapping[str, NDArray[Any]]
    inputs: Mapping[str, int]
    outputs: tuple[str, ...]

    def refuse(self, node: _Node, why: str) -> EdgernnError:
        """The error that names the node."""
        return EdgernnError(f"{self.path}: the {node.kind} node {node.name!r} {why}")


@dataclass
class _Chain:
    """What has been read so far, and where: the current value and the meaning of its axes."""

    file: _File
    value: str
    axes: list[str]
    parts: list[Part] = field(default_factory=list)
    output: str = "logits"
    biased: bool = True  # False directly after a MatMul, to which an Add may give the bias

    def constant(self, node: _Node, i: int, ndim: int) -> NDArray[Any]:
        """Input i, which must be stored in the file."""
        value = self.file.constants.get(node.input(i))
        if value is None or value.ndim != ndim:
            problem = "is not stored in the file" if value is None else f"has shape {value.shape}"
            raise self.file.refuse(node, f"needs {ndim}-dimensional weights as input {i}, but {node.input(i)!r} {problem}")
        return value


def read(path: Path) -> Imported:
    """The model of an ONNX file; tensors in files beside it are read too."""
    file = _load(path)
    states = _state_inputs(file)
    features = [name for name in file.inputs if name not in states]
    if len(features) != 1:
        raise EdgernnError(f"{path} has the inputs {', '.join(features) or 'none'}; edgernn gives a model one: the features")
    rank = file.inputs[features[0]] or 3
    chain = _Chain(file, features[0], [f"axis {i}" for i in range(rank - 1)] + [FEATURES])
    while (node := _next(chain)) is not None:
        _apply(chain, node)
    if chain.value not in file.outputs:
        raise EdgernnError(
            f"{path}: the chain of layers ends at {chain.value!r}, which is no output of the graph; export it again"
        )
    notes = [f"the state {name!r}, an input of the graph, is carried by edgernn and starts at zero" for name in sorted(states)]
    return assemble(str(path), chain.parts, chain.output, notes)


# Decoding -------------------------------------------------------------------------


def _load(path: Path) -> _File:
    """Decode and check the file; every initializer and Constant becomes an array."""
    onnx = package("onnx", "onnx")
    with decoding(path, "ONNX file"):
        model = onnx.load(str(path), load_external_data=False)
        for tensor in model.graph.initializer:
            _load_external(path, tensor, onnx)
        onnx.checker.check_model(model)
        graph = model.graph
        constants = {t.name: np.asarray(onnx.numpy_helper.to_array(t)) for t in graph.initializer}
        nodes = tuple(_node(n, i, onnx) for i, n in enumerate(graph.node))
        for node in nodes:
            if node.kind == "Constant":
                constants[node.outputs[0]] = np.asarray(next(iter(node.attributes.values())))
        inputs = {i.name: len(i.type.tensor_type.shape.dim) for i in graph.input if i.name not in constants}
        return _File(path, nodes, constants, inputs, tuple(o.name for o in graph.output))


def _load_external(path: Path, tensor: Any, onnx: Any) -> None:
    """Fetch a tensor that lies in another file."""
    if not onnx.external_data_helper.uses_external_data(tensor):
        return
    place = next((e.value for e in tensor.external_data if e.key == "location"), "")
    try:
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
    except Exception as error:
        raise EdgernnError(
            f"{path}: the tensor {tensor.name!r} lies in {place!r}, which cannot be read ({type(error).__name__});"
            f" put that file beside the model, or save it in one file with onnx.save(model, path, save_as_external_data=False)"
        ) from None
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _node(proto: Any, index: int, onnx: Any) -> _Node:
    values = {a.name: _attribute(onnx.helper.get_attribute_value(a), onnx) for a in proto.attribute}
    name = proto.name or f"number {index}"
    return _Node(proto.op_type, name, tuple(proto.input), tuple(proto.output), values)


def _attribute(value: Any, onnx: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return np.asarray(onnx.numpy_helper.to_array(value))
    if isinstance(value, bytes):
        return value.decode()
    return [v.decode() if isinstance(v, bytes) else v for v in value] if isinstance(value, (list, tuple)) else value


# Following the chain --------------------------------------------------------------


def _next(chain: _Chain) -> _Node | None:
    """The node that reads the current value as data; None at the end. Reading only its shape does not count."""
    readers = [n for n in chain.file.nodes if chain.value in n.inputs and n.kind != "Shape"]
    if len(readers) > 1:
        names = ", ".join(repr(n.name) for n in readers)
        raise EdgernnError(
            f"{chain.file.path}: {chain.value!r} is read by {names}; edgernn imports one chain, each value read once"
        )
    return readers[0] if readers else None


def _apply(chain: _Chain, node: _Node) -> None:
    handler = _HANDLERS.get(node.kind)
    if handler is None:
        advice = _ADVICE.get(node.kind, "remove it from the model or train without it")
        raise chain.file.refuse(node, f"cannot be imported; {advice}")
    if chain.output != "logits" and handler in (_matmul, _gemm, _recurrent, _relu, _final, _add):
        raise chain.file.refuse(node, f"comes after a {chain.output}, which edgernn has only at the end")
    if not node.outputs:
        raise chain.file.refuse(node, "has no output; export the model again")
    chain.value, before = node.outputs[0], chain.value
    handler(chain, node, before)
    chain.biased = node.kind != "MatMul"


def _recurrent(chain: _Chain, node: _Node, before: str) -> None:
    if node.input(0) != before:
        raise chain.file.refuse(node, f"does not read {before!r} as its input; export it with features as X")
    _check_variant(chain, node)
    _check_layout(chain, node)
    for i in (5, 6):
        _check_start(chain, node, node.input(i))
    kind, gates = _cell(chain, node)
    order = _ORDERS[kind]
    weight, hidden = (chain.constant(node, i, 3) for i in (1, 2))
    bias = chain.constant(node, 3, 2) if node.input(3) else None
    rows = weight.shape[1]
    if len(weight) != 1 or hidden.shape[:2] != (1, rows) or rows % gates or (bias is not None and bias.shape != (1, 2 * rows)):
        raise chain.file.refuse(node, f"has W of shape {weight.shape} and R of shape {hidden.shape}, not those of a {kind}")
    biases = [None, None] if bias is None else [reorder(b, order) for b in np.split(bias[0], 2)]
    chain.parts.append(recurrent(node.name, kind, reorder(weight[0], order), reorder(hidden[0], order), *biases))
    _follow_output(chain, node)


def _check_variant(chain: _Chain, node: _Node) -> None:
    """What edgernn's cells do not have."""
    a, refuse = node.attributes, chain.file.refuse
    if a.get("direction", "forward") != "forward":
        raise refuse(node, f"has direction {a['direction']!r}, which needs the future; train it forward only")
    if node.input(7):
        raise refuse(node, "has peephole weights; train an LSTM without them")
    if a.get("clip"):
        raise refuse(node, f"clips at {a['clip']}; train without clip")
    if a.get("input_forget"):
        raise refuse(node, "couples its input and forget gates (input_forget = 1); train without")
    if node.input(4):
        raise refuse(node, "has sequence_lens; a stream has no end: export without")


def _check_layout(chain: _Chain, node: _Node) -> None:
    """X must be [time, batch, features], or batch first where layout = 1."""
    axes = chain.axes
    if len(axes) != 3 or axes[2] != FEATURES:
        raise chain.file.refuse(node, f"reads axes {axes}; edgernn needs time, batch and features, in this order")
    first, second = (axes[1], axes[0]) if node.attributes.get("layout", 0) else (axes[0], axes[1])
    if first == BATCH or second == TIME:
        raise chain.file.refuse(node, "reads the batch as time (batch and time are exchanged before it); transpose its input")


def _check_start(chain: _Chain, node: _Node, value: str) -> None:
    """An initial state must be absent, an input of the graph, or zero."""
    while value and value not in chain.file.inputs:
        stored = chain.file.constants.get(value)
        if stored is not None:
            if np.any(stored):
                raise chain.file.refuse(node, f"starts from the state {value!r}, which is not zero; edgernn's starts at zero")
            return
        maker = next((n for n in chain.file.nodes if value in n.outputs), None)
        if maker is not None and maker.kind == "ConstantOfShape":
            filled = maker.attributes.get("value")
            if filled is not None and np.any(filled):
                raise chain.file.refuse(node, f"starts from the state {value!r}, which is not zero; edgernn's starts at zero")
            return
        if maker is None or maker.kind not in (
            "Expand",
            "Identity",
            "Slice",
            "Squeeze",
            "Unsqueeze",
            "Reshape",
            "Transpose",
            "Cast",
        ):
            made = f"made by the {maker.kind} node {maker.name!r}" if maker else "made by no node"
            raise chain.file.refuse(node, f"starts from the state {value!r}, {made}; export it without an initial state")
        value = maker.input(0)


def _cell(chain: _Chain, node: _Node) -> tuple[str, int]:
    """edgernn's cell and its number of gates."""
    found = node.attributes.get("activations") or _GATES[node.kind]
    if node.kind == "RNN" and found in (["Tanh"], ["Relu"]):
        return f"rnn_{found[0].lower()}", 1
    if found != _GATES[node.kind]:
        wanted = "Tanh or Relu" if node.kind == "RNN" else ", ".join(_GATES[node.kind])
        raise chain.file.refuse(node, f"has the activations {', '.join(map(str, found))}; edgernn's cell has {wanted}")
    if node.kind == "LSTM":
        return "lstm", 4
    return "gru" if node.attributes.get("linear_before_reset", 0) else "gru_reset_before", 3


def _follow_output(chain: _Chain, node: _Node) -> None:
    """Go on with Y, or with Y_h, the last step's, whichever the graph reads."""
    late = bool(node.attributes.get("layout", 0))
    used = {name for n in chain.file.nodes for name in n.inputs} | set(chain.file.outputs)
    outputs = [*node.outputs, "", ""]
    if outputs[0] and outputs[0] in used:
        chain.value = outputs[0]
        chain.axes = [BATCH, TIME, DIRECTION, FEATURES] if late else [TIME, DIRECTION, BATCH, FEATURES]
    else:
        chain.value = outputs[1]
        chain.axes = [BATCH, DIRECTION, FEATURES] if late else [DIRECTION, BATCH, FEATURES]


def _state_inputs(file: _File) -> set[str]:
    """Inputs of the graph that are only the initial states of recurrent nodes."""
    recurrent_nodes = [n for n in file.nodes if n.kind in _GATES]
    starts = {n.input(i) for n in recurrent_nodes for i in (5, 6)} & set(file.inputs)
    data = {n.input(0) for n in file.nodes}
    return starts - data


# Dense layers and activations -----------------------------------------------------


def _matmul(chain: _Chain, node: _Node, before: str) -> None:
    if node.input(0) != before or chain.axes[-1] != FEATURES:
        raise chain.file.refuse(node, "does not multiply features by a stored matrix on their right; write it so")
    chain.parts.append(dense(node.name, chain.constant(node, 1, 2).T, None))


def _gemm(chain: _Chain, node: _Node, before: str) -> None:
    a = node.attributes
    if node.input(0) != before or chain.axes[-1] != FEATURES or a.get("transA"):
        raise chain.file.refuse(node, "does not multiply features by a stored matrix on their right; write it so")
    stored = chain.constant(node, 1, 2)
    weight = (stored if a.get("transB") else stored.T) * np.float32(a.get("alpha", 1.0))
    bias = None
    if node.input(2):
        c = chain.file.constants.get(node.input(2), np.zeros((0,)))
        bias = _bias(chain, node, c, len(weight)) * np.float32(a.get("beta", 1.0))
    chain.parts.append(dense(node.name, weight, bias))


def _add(chain: _Chain, node: _Node, before: str) -> None:
    other = [name for name in node.inputs if name != before]
    stored = chain.file.constants.get(other[0]) if len(other) == 1 else None
    if stored is None or chain.biased or not chain.parts:
        raise chain.file.refuse(node, "cannot be imported; edgernn adds a stored bias directly after a MatMul only")
    last = chain.parts[-1]
    bias = _bias(chain, node, stored, last.n_out)
    chain.parts[-1] = Part(last.name, last.cell, {**last.weights, "bias": bias})


def _bias(chain: _Chain, node: _Node, stored: NDArray[Any], outputs: int) -> NDArray[Any]:
    """A stored bias as [outputs]; one that is not the same for every frame is refused."""
    if stored.size not in (1, outputs) or (stored.ndim and stored.shape[-1] != stored.size):
        raise chain.file.refuse(node, f"has a bias of shape {stored.shape}, not one number for each of {outputs} outputs")
    return np.asarray(np.broadcast_to(stored.reshape(-1), (outputs,)))


def _relu(chain: _Chain, node: _Node, before: str) -> None:
    last = chain.parts[-1] if chain.parts else None
    if last is None or last.cell != "dense":
        raise chain.file.refuse(node, "follows no dense layer; edgernn has ReLU after dense layers only")
    chain.parts[-1] = Part(last.name, last.cell, last.weights, relu=True)


def _final(chain: _Chain, node: _Node, before: str) -> None:
    last = chain.parts[-1] if chain.parts else None
    if last is None or last.cell != "dense" or last.relu:
        raise chain.file.refuse(node, "follows no dense layer; edgernn has it after the last dense layer only")
    if node.kind != "Sigmoid" and node.attributes.get("axis", -1) % len(chain.axes) != len(chain.axes) - 1:
        raise chain.file.refuse(node, f"works on axis {node.attributes['axis']}, not over the labels; give it axis = -1")
    chain.output = node.kind.lower()


# Layout ---------------------------------------------------------------------------


def _same(chain: _Chain, node: _Node, before: str) -> None:
    """Nothing happens to the value."""


def _transpose(chain: _Chain, node: _Node, before: str) -> None:
    order = node.attributes.get("perm", list(range(len(chain.axes)))[::-1])
    if sorted(order) != list(range(len(chain.axes))):
        raise chain.file.refuse(node, f"has perm {order}, but its input has {len(chain.axes)} axes; export the model again")
    chain.axes = [chain.axes[i] for i in order]


def _integers(chain: _Chain, node: _Node, i: int, attribute: str) -> list[int] | None:
    """A list of integers that newer opsets hold as input i and older ones as an attribute; None where it is not stored."""
    stored = chain.file.constants.get(node.input(i))
    value = stored.reshape(-1).tolist() if stored is not None else node.attributes.get(attribute)
    return [int(v) for v in value] if isinstance(value, list) else None


def _squeeze(chain: _Chain, node: _Node, before: str) -> None:
    axes = _integers(chain, node, 1, "axes")
    gone = {a % len(chain.axes) for a in axes} if axes else set()
    if not gone or any(chain.axes[a] in (FEATURES, TIME) for a in gone):
        raise chain.file.refuse(node, "must name the axes it removes, and they must be neither time nor features")
    chain.axes = [a for i, a in enumerate(chain.axes) if i not in gone]


def _unsqueeze(chain: _Chain, node: _Node, before: str) -> None:
    axes = _integers(chain, node, 1, "axes")
    rank = len(chain.axes) + len(axes or [])
    new = {a % rank for a in axes} if axes else set()
    if not axes or len(new) != len(axes) or rank - 1 in new:
        raise chain.file.refuse(node, "must name the axes it adds, and the features must stay last")
    rest = iter(chain.axes)
    chain.axes = [BATCH if i in new else next(rest) for i in range(rank)]


def _reshape(chain: _Chain, node: _Node, before: str) -> None:
    """Keeps rows of features whole where the last size is theirs; which axis is time is then no longer known."""
    shape, width = _integers(chain, node, 1, "shape"), chain.parts[-1].n_out if chain.parts else 0
    tail = chain.axes[chain.axes.index(FEATURES) :] if FEATURES in chain.axes else []
    if not shape or tail != [FEATURES] or shape[-1] != width:
        raise chain.file.refuse(
            node, f"to {shape} may mix frames; edgernn imports it where the last size stays {width or 'the inputs'}"
        )
    chain.axes = ["rows"] * (len(shape) - 1) + [FEATURES]


def _last_step(chain: _Chain, node: _Node, before: str) -> None:
    """Gather or Slice that keeps the last step: the net then gives at each step what the model gives at its end."""
    if node.kind == "Gather":
        index, axes = _integers(chain, node, 1, "indices"), [node.attributes.get("axis", 0)]
        ok = index == [-1]
        keeps = chain.file.constants[node.input(1)].ndim > 0 if ok else False
    else:
        starts, axes = _integers(chain, node, 1, "starts"), _integers(chain, node, 3, "axes") or []
        steps = _integers(chain, node, 4, "steps") or [1]
        ends = _integers(chain, node, 2, "ends") or [0]
        ok, keeps = starts == [-1] and steps == [1] and ends[0] >= 1 << 31, True
    axis = axes[0] % len(chain.axes) if len(axes) == 1 else 0
    if not ok or len(axes) != 1 or chain.axes[axis] != TIME:
        raise chain.file.refuse(node, "takes something other than the last step; edgernn imports the whole sequence or its end")
    chain.axes = [BATCH if i == axis else a for i, a in enumerate(chain.axes) if keeps or i != axis]


_HANDLERS: Mapping[str, Callable[[_Chain, _Node, str], None]] = {
    "GRU": _recurrent, "LSTM": _recurrent, "RNN": _recurrent,
    "MatMul": _matmul, "Gemm": _gemm, "Add": _add, "Relu": _relu, "Sigmoid": _final, "Softmax": _final,
    "LogSoftmax": _final,
    "Identity": _same, "Dropout": _same, "Transpose": _transpose, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Reshape": _reshape, "Gather": _last_step, "Slice": _last_step,
}  # fmt: skip
