"""NetGraph to TFLite: the FlatBuffer is written directly, from builtin operators that TFLM has too, and keeps every bit.

A value [R, C] is a tensor [1, R, 1, C] with the scale of the contract and zero point 0. Where a TFLite kernel's arithmetic
depends on the runtime, another operator is taken:

- A matrix product is a CONV_2D with int16 operands, one scale a row and an int64 bias. CMSIS-NN refuses
  FULLY_CONNECTED in int16 with a scale a row, and its ties round differently from runtime to runtime.
- int8 operands are widened by CAST, since TFLM has no product of int8 to int16, and tflite-runtime 2.14 no such QUANTIZE.
- Pre-activations are at 3*2^-13: at 2^-12 and 2^-11 LiteRT's default kernels take other code for sigmoid and tanh.
- There is no SOFTMAX, no loop and, unless asked for, no resource variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_bytes
from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op, Value
from edgernn.errors import EdgernnError, needs_extra
from edgernn.exports._arena import arena_bytes
from edgernn.exports._tflite_file import AlignedBuffer, checksum_slot, pack, read_metadata, verify
from edgernn.exports._tflite_project import write_project
from edgernn.exports.metadata import CHECKSUM_KEY, FORM_KEY, PREFIX, Port, input_ports, metadata, output_ports
from edgernn.tasks import task_of

#: builtin operators in use -> the version that knows int16 (tensorflow/lite/tools/versioning/op_version.cc)
VERSIONS: Mapping[str, int] = {
    "ADD": 3, "ASSIGN_VARIABLE": 1, "CALL_ONCE": 1, "CAST": 3, "CONCATENATION": 3, "CONV_2D": 4, "DEPTHWISE_CONV_2D": 5,
    "LOGISTIC": 3, "MUL": 4, "QUANTIZE": 2, "READ_VARIABLE": 1, "RESHAPE": 1, "SLICE": 4, "SUB": 5, "TANH": 3, "VAR_HANDLE": 1,
}  # fmt: skip
SIGNATURE, RESET_SIGNATURE = "serving_default", "reset"
MAX_CLIP_STEPS = 4096
TFLM_CONCAT_INPUTS = 10  #: kMaxInputNum of its CONCATENATION


def load_schema() -> Any:
    """The generated FlatBuffers classes of TFLite's schema."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise needs_extra("TFLite export needs the package ai-edge-litert", "tflite") from None
    return schema_py_generated


@dataclass
class _Model:
    """What all subgraphs share: operator codes and constant buffers, each once."""

    schema: Any
    codes: dict[str, int] = field(default_factory=dict)
    buffers: dict[bytes, int] = field(default_factory=lambda: {b"": 0})

    def buffer(self, data: bytes) -> int:
        """Index of the buffer with this content."""
        return self.buffers.setdefault(data, len(self.buffers))

    def finish(self, subgraphs: list[Any], signatures: list[Any], entries: Mapping[str, str]) -> bytes:
        """The file's bytes."""
        texts = {**{key: text.encode() for key, text in entries.items()}, CHECKSUM_KEY: checksum_slot()}
        notes = [self.schema.MetadataT(name=key, buffer=self.buffer(text)) for key, text in texts.items()]
        return pack(
            self.schema.ModelT(
                version=3,
                operatorCodes=[self._code(name) for name in self.codes],
                subgraphs=subgraphs,
                description=entries[PREFIX + "name"],
                buffers=[AlignedBuffer(self.schema, data) for data in self.buffers],
                metadata=notes,
                signatureDefs=signatures,
            )
        )

    def _code(self, name: str) -> Any:
        number = getattr(self.schema.BuiltinOperator, name)
        # readers older than 2020 know only the one-byte field
        return self.schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=VERSIONS[name])


class _Subgraph:
    """One list of operators over numbered tensors."""

    def __init__(self, model: _Model, name: str) -> None:
        self._model = model
        self.schema = model.schema
        self.graph = self.schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[], name=name)
        self._constants: dict[tuple[Any, ...], int] = {}
        self._wide: dict[int, int] = {}

    def tensor(self, v: Value, name: str = "") -> int:
        """A new tensor of this type, [1, R, 1, C]."""
        rows, columns = v.shape
        scale = np.array([v.step], np.float32)
        return self._add((1, rows, 1, columns), v.dtype, name, scale)

    def resource(self) -> int:
        """A new handle of a variable."""
        t = self.schema.TensorT(shape=[], type=self.schema.TensorType.RESOURCE, quantization=None)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def constant(self, a: NDArray[Any], scale: NDArray[np.float32] | None = None, axis: int = 0) -> int:
        """A tensor that holds `a`; scale [1] or one for each index of `axis`. Equal constants are one tensor."""
        data = a.astype(a.dtype.newbyteorder("<")).tobytes()
        key = (data, str(a.dtype), a.shape, None if scale is None else scale.tobytes())
        if key not in self._constants:
            self._constants[key] = self._add(a.shape, str(a.dtype), "", scale, axis, self._model.buffer(data))
        return self._constants[key]

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], kind: str = "", **options: Any) -> None:
        """Append a builtin operator; `kind` names its option table."""
        number = self._model.codes.setdefault(name, len(self._model.codes))
        row = self.schema.OperatorT(opcodeIndex=number, inputs=list(inputs), outputs=list(outputs))
        if kind:
            row.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            row.builtinOptions = getattr(self.schema, kind + "T")(**options)
        self.graph.operators.append(row)

    def widened(self, x: int) -> int:
        """Tensor x as a product takes it: int16 with the same numbers at the same scale."""
        if self.graph.tensors[x].type == self.schema.TensorType.INT16:
            return x
        if x not in self._wide:
            t = self.graph.tensors[x]
            self._wide[x] = self._add(tuple(t.shape), "int16", "", t.quantization.scale)
            types = {"inDataType": self.schema.TensorType.INT8, "outDataType": self.schema.TensorType.INT16}
            self.operator("CAST", [x], [self._wide[x]], "CastOptions", **types)
        return self._wide[x]

    def _add(self, shape: tuple[int, ...], dtype: str, name: str, scale: Any = None, axis: int = 0, buffer: int = 0) -> int:
        s = self.schema
        quantization = None
        if scale is not None:
            zeros = np.zeros(len(scale), np.int64)
            quantization = s.QuantizationParametersT(scale=scale, zeroPoint=zeros, quantizedDimension=axis)
        kind = getattr(s.TensorType, dtype.upper())
        self.graph.tensors.append(
            s.TensorT(shape=list(shape), type=kind, buffer=buffer, name=name or None, quantization=quantization)
        )
        return len(self.graph.tensors) - 1


@dataclass(frozen=True)
class _Scope:
    """What lowering one operation needs: graph, op, its operands' tensors and its result's."""

    s: _Subgraph
    g: NetGraph
    op: Op
    inputs: list[int]
    output: int

    def emit(self, name: str, kind: str = "", **options: Any) -> None:
        """One operator that reads the operands and writes the result."""
        self.s.operator(name, self.inputs, [self.output], kind, **options)

    def activation(self) -> int:
        """The fused ReLU of a product, or none."""
        kinds = self.s.schema.ActivationFunctionType
        return int(kinds.RELU if self.op.attrs.get("relu") else kinds.NONE)


def _product(c: _Scope, name: str, kind: str, weight: NDArray[Any], axis: int, padding: str = "VALID", **options: Any) -> None:
    """A convolution over int16 operands; weight in TFLite's layout, rows along `axis`.

    A row's scale m*2^-k*s_out/s_in is exact in float32 (m has 15 bits, 3*m 17), and TFLite's quotient
    s_in*s_w/s_out gives m*2^-k back. The bias carries no scale: no kernel reads it.
    """
    constants = c.g.linear(c.op.output)
    ratio = np.ldexp(constants["multiplier"].astype(np.float64), -constants["shift"].astype(np.int64))
    scale = ratio * c.g.values[c.op.output].step / c.g.values[c.op.inputs[0]].step
    filters = c.s.constant(weight, scale.astype(np.float32), axis)
    bias = c.s.constant(constants["bias"].astype(np.int64))
    fixed = {
        "padding": getattr(c.s.schema.Padding, padding),
        "strideW": 1,
        "strideH": 1,
        "fusedActivationFunction": c.activation(),
    }
    c.s.operator(name, [c.s.widened(c.inputs[0]), filters, bias], [c.output], kind, **fixed, **options)


def _matvec(c: _Scope) -> None:
    weight = c.g.linear(c.op.output)["weight"]
    _product(c, "CONV_2D", "Conv2DOptions", weight.reshape(len(weight), 1, 1, -1), 0)


def _conv(c: _Scope) -> None:
    weight = c.g.linear(c.op.output)["weight"]
    rows, columns = c.g.values[c.op.inputs[0]].shape
    _product(c, "CONV_2D", "Conv2DOptions", weight.reshape(len(weight), rows, 1, columns), 0)


def _row_conv(c: _Scope) -> None:
    weight = c.g.linear(c.op.output)["weight"]
    channels = c.g.values[c.op.inputs[0]].shape[1]
    _product(c, "CONV_2D", "Conv2DOptions", weight.reshape(len(weight), -1, 1, channels), 0, padding="SAME")


def _reshape(c: _Scope) -> None:
    shape = list(c.s.graph.tensors[c.output].shape)
    operands = [c.inputs[0], c.s.constant(np.array(shape, np.int32))]
    c.s.operator("RESHAPE", operands, [c.output], "ReshapeOptions", newShape=shape)


def _depthwise(c: _Scope) -> None:
    weight = c.g.linear(c.op.output)["weight"]
    multiplier = len(weight) // c.g.values[c.op.inputs[0]].shape[1]
    filters = np.ascontiguousarray(weight.T)[None, :, None, :]
    _product(c, "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", filters, 3, depthMultiplier=multiplier)


def _sum(name: str, kind: str, activation: str = "NONE") -> Lowering:
    """ADD or SUB at equal scales. Without the power-of-two option every runtime takes its general 16-bit arithmetic."""

    def lower(c: _Scope) -> None:
        fused = getattr(c.s.schema.ActivationFunctionType, activation)
        c.emit(name, kind, fusedActivationFunction=fused, potScaleInt16=False)

    return lower


def _slice(axis: int) -> Lowering:
    def lower(c: _Scope) -> None:
        _emit_slice(c.s, c.inputs[0], c.output, axis, c.op.attrs["begin"])

    return lower


def _emit_slice(s: _Subgraph, x: int, output: int, axis: int, first: int) -> None:
    """`output`'s share of x, from `first` on along one axis."""
    begin = np.zeros(4, np.int32)
    begin[axis] = first
    size = np.array(s.graph.tensors[output].shape, np.int32)
    s.operator("SLICE", [x, s.constant(begin), s.constant(size)], [output], "SliceOptions")


def _emit_concat(s: _Subgraph, inputs: list[int], output: int, axis: int = 1) -> None:
    none = s.schema.ActivationFunctionType.NONE
    s.operator("CONCATENATION", inputs, [output], "ConcatenationOptions", axis=axis, fusedActivationFunction=none)


Lowering = Callable[[_Scope], None]

#: the TFLite backend's table: one row a primitive
LOWER: Mapping[str, Lowering] = {
    "matvec": _matvec,
    "conv": _conv,
    "depthwise": _depthwise,
    "row_conv": _row_conv,
    "add": _sum("ADD", "AddOptions"),
    "sub": _sum("SUB", "SubOptions"),
    "add_relu": _sum("ADD", "AddOptions", "RELU"),
    "mul": lambda c: c.emit("MUL", "MulOptions", fusedActivationFunction=c.activation()),
    "sigmoid": lambda c: c.emit("LOGISTIC"),
    "tanh": lambda c: c.emit("TANH"),
    "narrow": lambda c: c.emit("QUANTIZE", "QuantizeOptions"),
    "cell_to_preact": lambda c: c.emit("QUANTIZE", "QuantizeOptions"),
    "concat": lambda c: _emit_concat(c.s, c.inputs, c.output),
    "concat_columns": lambda c: _emit_concat(c.s, c.inputs, c.output, axis=3),
    "reshape": _reshape,
    "slice_rows": _slice(1),
    "slice_columns": _slice(3),
}


def export_tflite(
    g: NetGraph, folder: Path, *, stateful: bool = False, clip_steps: int | None = None, prefix: str = ""
) -> tuple[list[Path], dict[str, Any]]:
    """Write the model, named like the prefix (empty: the task's own), and a project for TFLM around it.

    Returns the files, the model first, and a report: `bytes` by name, and `arena_bytes`, what TFLM needs on this host (None
    where tflite-micro is not installed).

    stateful: the state lives in resource variables, a signature `reset` clears them. clip_steps: the model takes a whole
    clip of that many steps at once, for use on a host; it is large, and there is no project around it.
    """
    folder = Path(folder)
    data = model_bytes(g, stateful=stateful, clip_steps=clip_steps)
    path, arena = folder / f"{prefix or task_of(g).c.prefix}.tflite", arena_bytes(data)
    write_bytes(path, data)
    report = {"bytes": {path.name: len(data)}, "arena_bytes": arena}
    if clip_steps is not None:
        return [path], report
    return [path, *write_project(g, data, operators(data), arena, folder, prefix, stateful)], report


def operators(data: bytes) -> list[str]:
    """Names of the builtin operators a file uses, sorted. The bytes must have passed `verify`."""
    schema = load_schema()
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = schema.Model.GetRootAsModel(data, 0)
    return sorted(names[model.OperatorCodes(i).BuiltinCode()] for i in range(model.OperatorCodesLength()))


def model_bytes(g: NetGraph, *, stateful: bool = False, clip_steps: int | None = None) -> bytes:
    """The .tflite file of a graph: one step with state in and out, one with state inside, or a whole clip unrolled."""
    if clip_steps is not None:
        return _clip_model(g, clip_steps, stateful)
    return _stateful_model(g) if stateful else _step_model(g)


def _step_model(g: NetGraph) -> bytes:
    """One step; inputs features, state_0, ..; outputs logits, posteriors, state_0_out, .."""
    model = _Model(load_schema())
    s = _Subgraph(model, "step")
    inputs, outputs = input_ports(g), output_ports(g)
    scope = {p.value: s.tensor(p.type, p.name) for p in inputs}
    _lower(s, g, scope, {p.value: p.name for p in outputs})
    return _finish(model, g, "step", [s], inputs, outputs, [scope[p.value] for p in inputs], [scope[p.value] for p in outputs])


def _lower(s: _Subgraph, g: NetGraph, scope: dict[str, int], names: Mapping[str, str] | None = None) -> None:
    """One step's operators; `scope` maps values to tensors and grows. Tensors get no names if `names` is None."""
    for op in g.ops:
        name = "" if names is None else names.get(op.output, op.output)
        output = s.tensor(g.values[op.output], name)
        LOWER[op.kind](_Scope(s, g, op, [scope[i] for i in op.inputs], output))
        scope[op.output] = output


def _finish(
    model: _Model, g: NetGraph, form: str, subgraphs: list[_Subgraph], inputs: list[Port], outputs: list[Port],
    sources: list[int], results: list[int],
) -> bytes:  # fmt: skip
    """Set the first subgraph's ends, name them in the signature, describe them in the metadata."""
    subgraphs[0].graph.inputs, subgraphs[0].graph.outputs = sources, results
    s = model.schema
    ends = [
        [s.TensorMapT(name=p.name, tensorIndex=i) for p, i in zip(ports, tensors, strict=True)]
        for ports, tensors in ((inputs, sources), (outputs, results))
    ]
    signatures = [s.SignatureDefT(inputs=ends[0], outputs=ends[1], signatureKey=SIGNATURE, subgraphIndex=0)]
    if len(subgraphs) > 1:
        signatures.append(s.SignatureDefT(inputs=[], outputs=[], signatureKey=RESET_SIGNATURE, subgraphIndex=1))
    entries = {**metadata(g, inputs, outputs), FORM_KEY: form}
    return model.finish([x.graph for x in subgraphs], signatures, entries)


def _stateful_model(g: NetGraph) -> bytes:
    """One step with the states in resource variables; a second subgraph, called once and by `reset`, sets them to 0."""
    if not g.states:
        raise EdgernnError(f"graph {g.name} carries no state: export it without `stateful`")
    model = _Model(load_schema())
    s, start = _Subgraph(model, "step"), _Subgraph(model, "reset")
    inputs, outputs = input_ports(g)[:1], output_ports(g)[:2]
    scope = {p.value: s.tensor(p.type, p.name) for p in inputs}
    s.operator("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    handles = [_handle(s, i) for i in range(len(g.states))]
    for handle, state in zip(handles, g.states, strict=True):
        scope[state.read] = s.tensor(g.values[state.read], state.read)
        s.operator("READ_VARIABLE", [handle], [scope[state.read]], "ReadVariableOptions")
    _lower(s, g, scope, {p.value: p.name for p in outputs})
    for i, (handle, state) in enumerate(zip(handles, g.states, strict=True)):
        s.operator("ASSIGN_VARIABLE", [handle, scope[state.write]], [], "AssignVariableOptions")
        start.operator("ASSIGN_VARIABLE", [_handle(start, i), _zeros(start, g.values[state.read])], [], "AssignVariableOptions")
    ends = [[scope[p.value] for p in ports] for ports in (inputs, outputs)]
    return _finish(model, g, "stateful", [s, start], inputs, outputs, *ends)


def _handle(s: _Subgraph, number: int) -> int:
    handle = s.resource()
    s.operator("VAR_HANDLE", [], [handle], "VarHandleOptions", container="", sharedName=f"state_{number}")
    return handle


def _zeros(s: _Subgraph, v: Value) -> int:
    rows, columns = v.shape
    return s.constant(np.zeros((1, rows, 1, columns), v.dtype), np.array([v.step], np.float32))


def _clip_model(g: NetGraph, steps: int, stateful: bool) -> bytes:
    """`steps` steps from a reset, unrolled: features [steps * frames_per_step, bands] -> scores [steps, labels]."""
    if g.output_shape[0] > 1:
        raise EdgernnError(
            f"the scores of graph {g.name} have {g.output_shape[0]} rows a step; a clip of them cannot be unrolled"
        )
    if stateful or not 1 <= steps <= MAX_CLIP_STEPS:
        raise EdgernnError(
            f"clip_steps = {steps} must lie in 1..{MAX_CLIP_STEPS}, and a clip starts anew: stateful must be off"
        )
    model = _Model(load_schema())
    s = _Subgraph(model, "clip")
    frames = g.frames_per_step
    inputs = [_longer(input_ports(g)[0], steps * frames)]
    outputs = [_longer(p, steps) for p in output_ports(g)[:2]]
    clip = s.tensor(inputs[0].type, inputs[0].name)
    state = {x.read: _zeros(s, g.values[x.read]) for x in g.states}
    rows: list[dict[str, int]] = []
    for t in range(steps):
        scope = {**state, g.input: s.tensor(g.values[g.input])}
        _emit_slice(s, clip, scope[g.input], 1, t * frames)
        _lower(s, g, scope)
        state = {x.read: scope[x.write] for x in g.states}
        rows.append(scope)
    results = [s.tensor(p.type, p.name) for p in outputs]
    for p, result in zip(outputs, results, strict=True):
        _emit_long_concat(s, [row[p.value] for row in rows], replace(p.type, shape=(1, p.type.shape[1])), result)
    return _finish(model, g, "clip", [s], inputs, outputs, [clip], results)


def _emit_long_concat(s: _Subgraph, inputs: list[int], row: Value, output: int) -> None:
    """Any number of single rows to one tensor, at most TFLM's limit of inputs an operator."""
    parts = [(x, 1) for x in inputs]
    while len(parts) > TFLM_CONCAT_INPUTS:
        groups = [parts[i : i + TFLM_CONCAT_INPUTS] for i in range(0, len(parts), TFLM_CONCAT_INPUTS)]
        parts = [_joined(s, group, row) for group in groups]
    _emit_concat(s, [x for x, _ in parts], output)


def _joined(s: _Subgraph, group: list[tuple[int, int]], row: Value) -> tuple[int, int]:
    """(tensor, rows) of several such pairs, one after the other."""
    rows = sum(n for _, n in group)
    joined = s.tensor(replace(row, shape=(rows, row.shape[1])))
    _emit_concat(s, [x for x, _ in group], joined)
    return joined, rows


def _longer(p: Port, rows: int) -> Port:
    return replace(p, type=replace(p.type, shape=(rows, p.type.shape[1])))


__all__ = ["LOWER", "export_tflite", "load_schema", "model_bytes", "operators", "read_metadata", "verify"]
