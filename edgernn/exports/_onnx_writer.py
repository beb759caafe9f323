"""Builds ONNX graphs node by node; constants with equal contents are stored once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgernn.exports._onnx_file import IR_VERSION, OPSET, onnx_package
from edgernn.exports.metadata import Port

if TYPE_CHECKING:
    from onnx import ModelProto

Dims = Sequence[int | str]


def dims(port: Port) -> list[int | str]:
    """[batch, R, C] of an input or output; the batch is the caller's choice."""
    return ["batch", *port.type.shape]


class Writer:
    """An ONNX graph under construction. Tensors are handled by name."""

    def __init__(self) -> None:
        self._onnx = onnx_package()
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._constants: dict[tuple[Any, ...], str] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def node(self, kind: str, *inputs: str, output: str = "", **attrs: Any) -> str:
        """Append an operator with one result; returns that result's name."""
        return self.nodes(kind, inputs, [output or f"t{len(self._nodes)}"], **attrs)[0]

    def nodes(self, kind: str, inputs: Sequence[str], outputs: list[str], **attrs: Any) -> list[str]:
        """Append an operator with named results; "" leaves an optional operand or result out."""
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, outputs, **attrs))
        return outputs

    def constant(self, values: Any, dtype: DTypeLike) -> str:
        """The name of an initializer with these values."""
        array: NDArray[Any] = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self._initializers.append(self._onnx.numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def cast(self, x: str, dtype: DTypeLike, output: str = "") -> str:
        """The tensor as another type."""
        return self.node("Cast", x, output=output, to=self._type(dtype))

    def slice(self, x: str, axis: int, begin: int, size: int) -> str:
        """Some entries along an axis."""
        return self.node("Slice", x, *(self.constant([v], np.int64) for v in (begin, begin + size, axis)))

    def input(self, name: str, dtype: DTypeLike, dims: Dims) -> str:
        """Declare an input; texts in `dims` are dimensions that the caller chooses."""
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self._type(dtype), dims))
        return name

    def output(self, name: str, dtype: DTypeLike, dims: Dims) -> None:
        """Declare a result."""
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, self._type(dtype), dims))

    def model(self, name: str) -> ModelProto:
        """The finished model."""
        make = self._onnx.helper
        graph = make.make_graph(self._nodes, name, self._inputs, self._outputs, self._initializers)
        opset = make.make_opsetid("", OPSET)
        model: ModelProto = make.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="edgernn")
        return model

    def _type(self, dtype: DTypeLike) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
