"""What is in a model file: .ern graphs, .tflite and .onnx files, edgernn's own or another producer's.

Files are read in Python alone and with bounds, so that damaged or hostile bytes end in a sentence. Files that edgernn
wrote carry a checksum, which is verified first.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgernn.errors import EdgernnError, needs_extra
from edgernn.exports._onnx_file import metadata_of, read, text
from edgernn.exports.metadata import CHECKSUM_KEY, PREFIX, input_ports, metadata, output_ports
from edgernn.tasks import graph_from_bytes

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

Tensor = dict[str, Any]
UNKNOWN = "unknown"


def inspect(path: Path) -> dict[str, Any]:
    """Describe a file.

    kind: "ern", "tflite" or "onnx"; producer; graph_id and form (which of edgernn's exports), None where another producer
    wrote it; bytes: of the file; operators: name -> count; tensors: name, dtype, shape, bytes (of constants) and scale, a
    number or [least, largest] of several; states: [input, output] pairs; labels; frontend. A missing or damaged file is
    an EdgernnError that names it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise EdgernnError(f"cannot read model file {path}: {error.strerror}") from None
    if data[4:8] == b"TFL3":
        return _tflite(data, path)
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return _ern(data, path)
    if Path(path).suffix in (".ern", ".tflite"):
        raise EdgernnError(f"{path} is no {Path(path).suffix} file, or damaged; export it again")
    return _onnx(path, len(data))


def same_graph(paths: Sequence[Path]) -> str:
    """The graph id that all files share; an EdgernnError names two that differ, or one that has none."""
    if not paths:
        raise EdgernnError("no files to compare; name at least one")
    return _same_id({path: inspect(path)["graph_id"] for path in paths})


def inspect_together(paths: Sequence[Path]) -> dict[str, Any]:
    """`inspect` of each file by its path; several must come from one graph, see `same_graph`."""
    found = {path: inspect(path) for path in paths}
    if len(paths) > 1:
        _same_id({path: description["graph_id"] for path, description in found.items()})
    return {str(path): description for path, description in found.items()}


def _same_id(ids: Mapping[Path, str | None]) -> str:
    first, theirs = next(iter(ids.items()))
    for path, found in ids.items():
        if found is None:
            raise EdgernnError(f"{path} carries no graph id, so nothing tells which model it holds; export it with edgernn")
        if found != theirs:
            raise EdgernnError(
                f"{first} (graph {str(theirs)[:12]}) and {path} (graph {found[:12]}) come from different graphs; "
                "export both from one graph to compare them"
            )
    return str(theirs)


def _described(entries: Mapping[str, str]) -> dict[str, Any]:
    """What edgernn's metadata says; empty fields where there is none."""
    own = {key.removeprefix(PREFIX): text for key, text in entries.items() if key.startswith(PREFIX)}
    inputs, outputs = ([p["name"] for p in json.loads(own.get(key, "[]"))] for key in ("inputs", "outputs"))
    return {
        "graph_id": own.get("graph_id"),
        "form": own.get("form"),
        "labels": json.loads(own.get("labels", "[]")),
        "frontend": json.loads(own.get("frontend", "null")),
        "states": [[name, f"{name}_out"] for name in inputs if f"{name}_out" in outputs],
    }


def _ern(data: bytes, path: Path) -> dict[str, Any]:
    g = graph_from_bytes(data, str(path))
    values = [
        {"name": name, "dtype": v.dtype, "shape": list(v.shape), "bytes": 0, "scale": v.step} for name, v in g.values.items()
    ]
    constants = [
        {"name": name, "dtype": str(a.dtype), "shape": list(a.shape), "bytes": a.nbytes, "scale": None}
        for name, a in g.constants.items()
    ]
    ports = {p.name: p.value for p in (*input_ports(g), *output_ports(g))}
    about = _described(metadata(g))
    return {
        **about,
        "kind": "ern",
        "producer": "edgernn",
        "graph_id": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "operators": _counts(op.kind for op in g.ops),
        "tensors": values + constants,
        "states": [[ports[a], ports[b]] for a, b in about["states"]],
    }


def _counts(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _onnx(path: Path, size: int) -> dict[str, Any]:
    model = read(path)
    entries = metadata_of(model)
    about = _described(entries)
    return {
        **about,
        "kind": "onnx",
        "producer": f"{text(model.producer_name)} {text(model.producer_version)}".strip() or UNKNOWN,
        "bytes": size,
        "operators": _counts(_onnx_operators(model.graph)),
        "tensors": _onnx_tensors(model, _steps(entries)),
    }


def _steps(entries: Mapping[str, str]) -> dict[str, float]:
    """Scale of each integer input and output that edgernn's metadata names."""
    ports = [p for key in ("inputs", "outputs") for p in json.loads(entries.get(PREFIX + key, "[]"))]
    return {p["name"]: float.fromhex(p["step"]) for p in ports if p["dtype"] != "float32"}


def _onnx_operators(graph: GraphProto) -> Iterator[str]:
    """Operators, those of loops and branches too."""
    for node in graph.node:
        yield f"{text(node.domain)}.{text(node.op_type)}" if node.domain else text(node.op_type)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _onnx_operators(inner)


def _onnx_tensors(model: ModelProto, steps: Mapping[str, float]) -> list[Tensor]:
    """Inputs, outputs and constants."""
    tensors = []
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        shape = [text(d.dim_param) or d.dim_value for d in kind.shape.dim]
        tensors.append(_onnx_tensor(text(value.name), kind.elem_type, shape, 0, steps.get(text(value.name))))
    for t in model.graph.initializer:
        tensors.append(_onnx_tensor(text(t.name), t.data_type, list(t.dims), len(t.raw_data) or t.ByteSize(), None))
    return tensors


def _onnx_tensor(name: str, kind: int, shape: list[Any], size: int, scale: float | None) -> Tensor:
    from onnx import TensorProto

    names = {number: text.lower() for text, number in TensorProto.DataType.items()} | {TensorProto.FLOAT: "float32"}
    return {"name": name, "dtype": names.get(kind, f"type {kind}"), "shape": shape, "bytes": size, "scale": scale}


class _Budget:
    """Bounds what is read from a FlatBuffer: its offsets may overlap, so damaged ones can make a small file endless."""

    def __init__(self, size: int) -> None:
        self._left = size

    def __call__(self, items: int) -> range:
        """0 .. items - 1, if a file of this size can hold so many more."""
        self._left -= items
        if items < 0 or self._left < 0:
            raise ValueError("it names more parts than it can hold")
        return range(items)


def _tflite(data: bytes, path: Path) -> dict[str, Any]:
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        raise needs_extra("the Python package ai-edge-litert is missing", "tflite") from None
    try:
        return _tflite_parts(data, schema)
    except EdgernnError as error:
        raise EdgernnError(f"{path}: {error}") from None
    except Exception as error:  # the generated accessors follow any offset: whatever they raise means damage
        raise EdgernnError(f"{path} is damaged ({type(error).__name__}: {error}); export it again") from None


def _tflite_parts(data: bytes, schema: Any) -> dict[str, Any]:
    from edgernn.exports import _tflite_file as sealed

    ours = CHECKSUM_KEY.encode() in data
    entries = sealed.read_metadata(data) if ours else {}
    model, budget = schema.Model.GetRootAs(data), _Budget(len(data))
    graphs = [model.Subgraphs(i) for i in budget(model.SubgraphsLength())]
    names = _tflite_operators(model, schema, budget)
    return {
        **_described(entries),
        "kind": "tflite",
        "producer": "edgernn" if ours else UNKNOWN,
        "bytes": len(data),
        "operators": _counts(names[g.Operators(i).OpcodeIndex()] for g in graphs for i in budget(g.OperatorsLength())),
        "tensors": [_tflite_tensor(model, g.Tensors(i), schema, budget) for g in graphs for i in budget(g.TensorsLength())],
    }


def _tflite_operators(model: Any, schema: Any, budget: _Budget) -> list[str]:
    """Operator names by the index that operators use."""
    known = {number: text for text, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    codes = [model.OperatorCodes(i) for i in budget(model.OperatorCodesLength())]
    numbers = [max(c.BuiltinCode(), c.DeprecatedBuiltinCode()) for c in codes]
    custom = schema.BuiltinOperator.CUSTOM
    return [
        f"CUSTOM {_text(code.CustomCode(), budget)}" if number == custom else known.get(number, f"operator {number}")
        for code, number in zip(codes, numbers, strict=True)
    ]


def _tflite_tensor(model: Any, tensor: Any, schema: Any, budget: _Budget) -> Tensor:
    types = {number: text.lower() for text, number in vars(schema.TensorType).items() if isinstance(number, int)}
    buffer, quantization = tensor.Buffer(), tensor.Quantization()
    budget(1 if buffer < model.BuffersLength() else -1)
    scales = [quantization.Scale(i) for i in budget(quantization.ScaleLength())] if quantization else []
    return {
        "name": _text(tensor.Name(), budget),
        "dtype": types.get(tensor.Type(), f"type {tensor.Type()}"),
        "shape": [int(tensor.Shape(i)) for i in budget(tensor.ShapeLength())],
        "bytes": model.Buffers(buffer).DataLength(),
        "scale": _scale(scales),
    }


def _scale(scales: list[float]) -> float | list[float] | None:
    if len(scales) <= 1:
        return scales[0] if scales else None
    return [float(np.min(scales)), float(np.max(scales))]


def _text(raw: bytes | None, budget: _Budget) -> str:
    """A name's text."""
    budget(len(raw or b""))
    return (raw or b"").decode(errors="replace")
