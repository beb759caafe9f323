"""ONNX operators of dense layers: products, constants added or multiplied to them, ReLU, and what ends a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.imports._axes import Atom, describe, position
from edgernn.imports._base import Part, dense, scaled
from edgernn.imports._onnx_cells import stored, usable, with_features
from edgernn.imports._onnx_file import File, Node
from edgernn.imports._onnx_layout import Arguments, Handler, signal
from edgernn.imports._onnx_values import Known, Signal, Value

_PRODUCT = "does not multiply features by a stored matrix on their right; write it so"
_NORMALISE = "leave the normalisation out of the model and give its mean and deviation with --normalization"


def _applied(file: File, node: Node, x: Signal, weight: NDArray[Any], bias: NDArray[Any] | None) -> Signal:
    """A dense layer, weight [O, I], over the last axis."""
    x = usable(file, node, x)
    if not x.axes:
        raise file.refuse(node, _PRODUCT)
    x = with_features(file, node, x, x.axes[-1], weight.shape[1])
    features = Atom("features", len(weight))
    part = dense(node.name, weight, bias)
    return replace(x, axes=(*x.axes[:-1], (features,)), features=features, parts=(*x.parts, part), state="")


def _matmul(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    if not isinstance(args[0], Signal) or not isinstance(args[1], Known):
        raise file.refuse(node, _PRODUCT)
    return [_applied(file, node, args[0], stored(file, node, args, 1, 2).T, None)]


def _gemm(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """alpha * A * B + beta * C, A being the features."""
    a = node.attributes
    if not isinstance(args[0], Signal) or not isinstance(args[1], Known) or a.get("transA"):
        raise file.refuse(node, _PRODUCT)
    if len(args[0].axes) != 2:
        raise file.refuse(node, f"reads axes {describe(args[0].axes)}, where it needs two; export the model again")
    matrix = stored(file, node, args, 1, 2)
    weight = (matrix if a.get("transB") else matrix.T) * np.float32(a.get("alpha", 1.0))
    bias = None
    if len(args) > 2 and args[2] is not None:
        bias = _per_output(file, node, args[2], len(weight)) * np.float32(a.get("beta", 1.0))
    return [_applied(file, node, args[0], weight, bias)]


def _per_output(file: File, node: Node, value: Value | None, outputs: int) -> NDArray[Any]:
    """A stored constant as [outputs]; one that is not the same for every frame is refused."""
    held = value.array if isinstance(value, Known) else None
    if held is None or held.size not in (1, outputs) or (held.ndim and held.shape[-1] != held.size):
        problem = "a computed value" if held is None else f"shape {held.shape}"
        raise file.refuse(node, f"has a bias of {problem}, not one stored number for each of {outputs} outputs")
    return np.asarray(np.broadcast_to(held.reshape(-1), (outputs,)))


def _open(file: File, node: Node, x: Signal) -> Part:
    """The dense layer whose plain outputs these are."""
    last = usable(file, node, x).parts[-1] if x.parts else None
    if last is None:
        raise file.refuse(node, f"works on the features before any layer; {_NORMALISE}")
    if last.cell != "dense" or last.relu:
        raise file.refuse(node, "follows no dense layer; edgernn has it directly after dense layers only")
    return last


def _changed(x: Signal, part: Part, **more: Any) -> list[Value]:
    return [replace(x, parts=(*x.parts[:-1], part), **more)]


def _affine(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """Add, Sub, Mul or Div of a dense layer's outputs and a constant: folded into its weights."""
    left = isinstance(args[0], Signal)
    x, other = (args[0], args[1]) if left else (args[1], args[0])
    if not isinstance(x, Signal) or not isinstance(other, Known):
        raise file.refuse(node, "joins two computed values; edgernn imports one chain, without branches")
    part = _open(file, node, x)
    if not x.is_features(x.axes[-1]) or (isinstance(other, Known) and other.array.ndim > len(x.axes)):
        raise file.refuse(node, f"works on axes {describe(x.axes)}, whose last is not the outputs; keep them last")
    c, one, none = _per_output(file, node, other, part.n_out), np.ones(part.n_out), np.zeros(part.n_out)
    if node.kind == "Div" and not (left and c.all()):
        raise file.refuse(node, "divides by the outputs of a layer or by zero, which edgernn has not; train without it")
    scale, shift = {
        "Add": (one, c), "Sub": (one, -c) if left else (-one, c), "Mul": (c, none), "Div": (one / np.where(c, c, 1), none),
    }[node.kind]  # fmt: skip
    return _changed(x, scaled(part, scale, shift))


def _batch_norm(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """Over axis 1, in inference: (x - mean) / sqrt(variance + epsilon) * scale + bias."""
    x = signal(file, node, args)
    if node.attributes.get("training_mode"):
        raise file.refuse(node, "is in training mode; call model.eval() and export again")
    part = _open(file, node, x)
    if len(x.axes) < 2 or not x.is_features(x.axes[1]):
        raise file.refuse(node, f"normalises axis 1 of {describe(x.axes)}, which is not the outputs; train without it")
    scale, bias, mean, variance = (_per_output(file, node, args[i], part.n_out).astype(np.float64) for i in range(1, 5))
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return _changed(x, scaled(part, factor, bias - mean * factor))


def _relu(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x = signal(file, node, args)
    return _changed(x, replace(_open(file, node, x), relu=True))


def _final(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """Sigmoid, Softmax or LogSoftmax over the labels. Before opset 13 a softmax joins all axes from `axis`, 1 by default."""
    x = signal(file, node, args)
    _open(file, node, x)
    if node.kind != "Sigmoid":
        axis = node.attributes.get("axis", -1 if file.opset >= 13 else 1)
        at = position(axis, len(x.axes))
        if not x.is_features(x.axes[at]) or (file.opset < 13 and at != len(x.axes) - 1):
            raise file.refuse(node, f"works on axis {axis} of {describe(x.axes)}, not over the labels; give it axis = -1")
    return [replace(x, output=node.kind.lower())]


DENSE: Mapping[str, Handler] = {
    "MatMul": _matmul, "Gemm": _gemm, "Add": _affine, "Sub": _affine, "Mul": _affine, "Div": _affine,
    "BatchNormalization": _batch_norm, "Relu": _relu, "Sigmoid": _final, "Softmax": _final, "LogSoftmax": _final,
}  # fmt: skip
