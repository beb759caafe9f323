"""ONNX files decoded and held to the standard's rules: versions, local functions, tensors beside the file, constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._axes import Size
from edgernn.imports._base import MOST_VALUES, decoding, package, printable
from edgernn.imports._onnx_values import Known, Value

#: operators that make constants of constants
_FOLDED = {
    "Add", "BatchNormalization", "Cast", "CastLike", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Flatten", "Gather",
    "Gemm", "Identity", "MatMul", "Max", "Min", "Mul", "Neg", "Pow", "ReduceProd", "ReduceSum", "Reshape", "Shape", "Size",
    "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
_GROWING = ("ConstantOfShape", "Expand", "Tile")
_STANDARD = ("", "ai.onnx")
Shape = tuple[str | int, ...] | None  #: axes by size or, where open, by name ("" without one); None where not declared


@dataclass(frozen=True)
class Node:
    """One operator: attributes as Python values, inputs and outputs by name ("" where left out)."""

    kind: str
    name: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: Any

    @property
    def standard(self) -> bool:
        """Whether it is an operator of ONNX itself: other domains reuse the names for other functions."""
        return self.domain in _STANDARD


@dataclass(frozen=True)
class File:
    """A decoded model. inputs and outputs: each name and its declared shape."""

    path: Path
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]

    def refuse(self, node: Node, why: str) -> EdgernnError:
        """The error that names the node."""
        return EdgernnError(f"{self.path}: the {node.kind} node {node.name!r} {why}")


def load(path: Path) -> File:
    """Decode and check the file; tensors in files beside it are read too."""
    onnx = package("onnx", "onnx")
    with decoding(path, "ONNX file"):
        model = onnx.load(str(path), load_external_data=False)
        opset = _check_versions(path, model, onnx)
        for tensor in model.graph.initializer:
            _load_external(path, tensor, onnx)
        _check_rules(path, model, onnx)
        if model.functions:
            model = package("onnx.inliner", "onnx").inline_local_functions(model)
        graph = model.graph
        constants = {t.name: _array(t, onnx) for t in graph.initializer}
        nodes = tuple(_node(n, i, onnx) for i, n in enumerate(graph.node))
        inputs = {v.name: _shape(path, v, onnx) for v in graph.input if v.name not in constants}
        outputs = {v.name: _declared(v) for v in graph.output}
    if graph.sparse_initializer:
        raise EdgernnError(f"{path} stores sparse tensors, which edgernn does not read; export it with dense weights")
    return File(path, opset, nodes, constants, inputs, outputs)


def _check_versions(path: Path, model: Any, onnx: Any) -> int:
    """The version of the standard operators; raises where the installed onnx is older than the file."""
    opset = max((o.version for o in model.opset_import if o.domain in _STANDARD), default=0)
    newest = onnx.defs.onnx_opset_version()
    for what, found, known in (("IR version", model.ir_version, onnx.IR_VERSION), ("opset", opset, newest)):
        if found > known:
            raise EdgernnError(
                f"{path} is of ONNX {what} {found}, and the onnx {onnx.__version__} installed here knows {known} at most;"
                f" update it, or export with {what} {known} or lower"
            )
    if 0 < opset < 7:
        raise EdgernnError(
            f"{path} is of ONNX opset {opset}, whose operators broadcast otherwise; export with opset 13 or newer"
        )
    return opset


def _check_rules(path: Path, model: Any, onnx: Any) -> None:
    """ONNX's own checker, over the declarations that a reader needs: outputs may lack a shape, as runtimes allow."""
    del model.graph.value_info[:]
    bare = [v for v in (*model.graph.input, *model.graph.output) if v.type.HasField("tensor_type")]
    bare = [v for v in bare if not v.type.tensor_type.HasField("shape")]
    for value in bare:
        value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise EdgernnError(f"{path} breaks a rule of ONNX ({printable(error)}); export it again") from None
    for value in bare:
        value.type.tensor_type.ClearField("shape")


def _shape(path: Path, value: Any, onnx: Any) -> Shape:
    """An input's declared shape; its elements must be floating-point numbers."""
    kind = value.type.tensor_type.elem_type
    if value.type.WhichOneof("value") != "tensor_type" or kind not in _float_types(onnx):
        shown = onnx.TensorProto.DataType.Name(kind).lower() if kind else "no tensor"
        raise EdgernnError(f"{path} has the input {value.name!r} of type {shown}; edgernn gives a model float features alone")
    return _declared(value)


def _float_types(onnx: Any) -> tuple[int, ...]:
    t = onnx.TensorProto
    return t.FLOAT, t.DOUBLE, t.FLOAT16, t.BFLOAT16


def _declared(value: Any) -> Shape:
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim)


def _load_external(path: Path, tensor: Any, onnx: Any) -> None:
    """The data of a tensor that lies in a file beside the model."""
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


def _array(tensor: Any, onnx: Any) -> NDArray[Any]:
    """A stored tensor; bfloat16, which NumPy lacks, as float32."""
    value = np.asarray(onnx.numpy_helper.to_array(tensor))
    return value.astype(np.float32) if tensor.data_type == onnx.TensorProto.BFLOAT16 else value


def _node(proto: Any, index: int, onnx: Any) -> Node:
    values = {a.name: _attribute(onnx.helper.get_attribute_value(a), onnx) for a in proto.attribute}
    name = proto.name or f"number {index}"
    return Node(proto.op_type, name, proto.domain, tuple(proto.input), tuple(proto.output), values, proto)


def _attribute(value: Any, onnx: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return _array(value, onnx)
    if isinstance(value, bytes):
        return value.decode()
    return [v.decode() if isinstance(v, bytes) else v for v in value] if isinstance(value, (list, tuple)) else value


# Constants ------------------------------------------------------------------------


def foldable(node: Node) -> bool:
    """Whether the node makes constants of constants."""
    return node.kind in ("Constant", *_FOLDED)


def folded(file: File, node: Node, args: list[Known | None]) -> list[Value]:
    """The node's outputs for constant inputs, as ONNX's own reference computes them."""
    if node.kind == "Constant":
        return [Known(_constant(file, node))]
    arrays = [a.array if a is not None else None for a in args]
    thin = any(a.thin for a in args if a is not None)
    if node.kind in ("Shape", "Size") and thin:
        raise file.refuse(node, "asks for a size that the file leaves open; export it without")
    if node.kind in _GROWING:
        arrays, widened = _bounded(file, node, arrays)
        thin = thin or widened
    if any(a is not None and a.dtype == object for a in arrays) and node.kind in ("Cast", "Gather"):
        return [Known(_of_sizes(node, arrays))]
    if sum(a.size for a in arrays if a is not None) > MOST_VALUES:
        raise file.refuse(node, "makes a constant too large for edgernn; export the model with constant folding")
    return [Known(value, thin) for value in _evaluated(file, node, arrays)]


def _constant(file: File, node: Node) -> NDArray[Any]:
    """The value of a Constant node, whichever attribute holds it."""
    held = [v for k, v in node.attributes.items() if k.startswith("value") and not k.endswith(("string", "strings"))]
    if len(held) != 1:
        raise file.refuse(node, "holds no number; export the model again")
    value = np.asarray(held[0])
    return value.astype(np.float32) if value.dtype == np.float64 and "value" not in node.attributes else value


def _bounded(file: File, node: Node, arrays: list[NDArray[Any] | None]) -> tuple[list[NDArray[Any] | None], bool]:
    """The target shape with 1 for open sizes, and whether there are any; raises where the result would be huge."""
    at = 0 if node.kind == "ConstantOfShape" else 1
    target = arrays[at]
    if target is None:
        return arrays, False
    plain = np.array([1 if isinstance(x, Size) else int(x) for x in target.reshape(-1).tolist()], np.int64)
    grown = float(np.prod(np.abs(plain).astype(np.float64))) * (
        arrays[0].size if node.kind == "Tile" and arrays[0] is not None else 1
    )
    if grown > MOST_VALUES:
        raise file.refuse(node, f"makes a constant of {grown:.3g} values, too large for edgernn; export the model again")
    return [plain if i == at else a for i, a in enumerate(arrays)], target.dtype == object


def _of_sizes(node: Node, arrays: list[NDArray[Any] | None]) -> NDArray[Any]:
    """Cast and Gather of a shape with open sizes, which the reference does not take."""
    held = arrays[0]
    assert held is not None
    if node.kind == "Cast" or arrays[1] is None:
        return held
    return np.asarray(np.take(held, arrays[1], axis=node.attributes.get("axis", 0)), object)


def _evaluated(file: File, node: Node, arrays: list[NDArray[Any] | None]) -> list[NDArray[Any]]:
    onnx = package("onnx", "onnx")
    from onnx.reference import ReferenceEvaluator

    h = onnx.helper
    given = {name: a for name, a in zip(node.inputs, arrays, strict=True) if a is not None}
    kinds = [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in given]
    outs = [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.outputs if name]
    graph = h.make_graph([node.proto], "folded", kinds, outs)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", file.opset)])
    try:
        found = dict(zip((v.name for v in outs), ReferenceEvaluator(model).run(None, given), strict=True))
    except Exception as error:
        raise file.refuse(node, f"cannot be computed ({type(error).__name__}: {printable(error)}); export it again") from None
    return [np.asarray(found[name]) if name else np.zeros(0) for name in node.outputs]
