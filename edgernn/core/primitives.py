"""The closed set of integer primitives a graph is made of (SPEC.md, "Operations").

A primitive is one row here and one row in each backend's table; a test asserts that no table lacks one. Values have two
dimensions [R, C]: R rows (frames, or bands that share one recurrence) of C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgernn.errors import EdgernnError

Shape = tuple[int, int]
Attrs = Mapping[str, int]
ConstantShapes = Mapping[str, tuple[int, ...]]

#: weights are int8 in both; activations between layers int8, or int16
SCHEMES = ("int8", "int8x16")
#: the name of the scale 3*2^-13 (range +-12), that of gate pre-activations and logits
PREACT = "preact"

#: constant tensors of a matrix product: name -> dtype. Row o is scaled by multiplier[o] * 2^-shift[o].
LINEAR_CONSTANTS = {"weight": "int8", "bias": "int32", "multiplier": "int16", "shift": "uint8"}


def check_scheme(scheme: str) -> None:
    """Refuse what is none of SCHEMES."""
    if scheme not in SCHEMES:
        raise EdgernnError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}")


@dataclass(frozen=True)
class Primitive:
    """What a graph may say about one operation.

    inputs: number of operands (None: two or more); attrs: the integers it needs, with their allowed range;
    constants: the tensors it reads; out_shape: result shape from operand shapes, attributes and constant shapes.
    """

    inputs: int | None
    out_shape: Callable[[list[Shape], Attrs, ConstantShapes], Shape]
    attrs: Mapping[str, tuple[int, int]]
    constants: Mapping[str, str]
    doc: str


def _same(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    if any(s != shapes[0] for s in shapes):
        raise EdgernnError(f"operands differ in shape: {shapes}")
    return shapes[0]


def _matvec(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    rows, columns = constants["weight"]
    if shapes[0][1] != columns:
        raise EdgernnError(f"weight has {columns} columns, the operand {shapes[0][1]}")
    return shapes[0][0], rows


def _row_conv(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    rows, columns = constants["weight"]
    kernel, rest = divmod(columns, shapes[0][1])
    if rest or kernel % 2 == 0:
        raise EdgernnError(f"weight has {columns} columns, not an odd number of rows of {shapes[0][1]} channels")
    return shapes[0][0], rows


def _conv(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    rows, columns = constants["weight"]
    if shapes[0][0] * shapes[0][1] != columns:
        raise EdgernnError(f"weight has {columns} columns, the window {shapes[0][0]} x {shapes[0][1]}")
    return 1, rows


def _depthwise(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    rows, kernel = constants["weight"]
    if shapes[0][0] != kernel or rows % shapes[0][1]:
        raise EdgernnError(f"weight {rows} x {kernel} does not fit a window {shapes[0][0]} x {shapes[0][1]}")
    return 1, rows


def _concat(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    if any(s[1] != shapes[0][1] for s in shapes):
        raise EdgernnError(f"operands differ in channels: {shapes}")
    return sum(s[0] for s in shapes), shapes[0][1]


def _concat_columns(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    if any(s[0] != shapes[0][0] for s in shapes):
        raise EdgernnError(f"operands differ in rows: {shapes}")
    return shapes[0][0], sum(s[1] for s in shapes)


def _reshape(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    entries, rows = shapes[0][0] * shapes[0][1], attrs["rows"]
    if entries % rows:
        raise EdgernnError(f"{shapes[0]} cannot be cut into {rows} equal rows")
    return rows, entries // rows


def _slice_rows(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    if attrs["begin"] + attrs["size"] > shapes[0][0]:
        raise EdgernnError(f"rows {attrs['begin']}+{attrs['size']} lie outside {shapes[0]}")
    return attrs["size"], shapes[0][1]


def _slice_columns(shapes: list[Shape], attrs: Attrs, constants: ConstantShapes) -> Shape:
    if attrs["begin"] + attrs["size"] > shapes[0][1]:
        raise EdgernnError(f"channels {attrs['begin']}+{attrs['size']} lie outside {shapes[0]}")
    return shapes[0][0], attrs["size"]


_RELU = {"relu": (0, 1)}
_SPAN = {"begin": (0, 65535), "size": (1, 65535)}

PRIMITIVES: Mapping[str, Primitive] = {
    "matvec": Primitive(1, _matvec, _RELU, LINEAR_CONSTANTS, "requantize(bias + weight . row), each row of the operand"),
    "conv": Primitive(1, _conv, _RELU, LINEAR_CONSTANTS, "matvec of a whole window [K, C], taken row by row, to [1, O]"),
    "depthwise": Primitive(
        1, _depthwise, _RELU, LINEAR_CONSTANTS, "channel c of a window [K, C] to channels c*m .. c*m+m-1 of [1, C*m]"
    ),
    "row_conv": Primitive(
        1,
        _row_conv,
        _RELU,
        LINEAR_CONSTANTS,
        "matvec of each row with its K/2 neighbours on either side, zeros beyond the ends",
    ),
    "add": Primitive(2, _same, {}, {}, "sat16(a + b), equal scales"),
    "sub": Primitive(2, _same, {}, {}, "sat16(a - b), equal scales"),
    "add_relu": Primitive(2, _same, {}, {}, "min(max(a + b, 0), 32767), equal scales"),
    "mul": Primitive(2, _same, {"shift": (14, 20)}, {}, "a * b / 2^(shift+1) in the contract's two roundings"),
    "sigmoid": Primitive(1, _same, {}, {}, "3*2^-13 -> Q15 by table"),
    "tanh": Primitive(1, _same, {}, {}, "3*2^-13 -> Q15 by table"),
    "narrow": Primitive(1, _same, {}, {}, "int16 at 2^-b -> int8 at 2^(8-b)"),
    "cell_to_preact": Primitive(1, _same, {"exponent": (9, 12)}, {}, "LSTM cell 2^-e -> 3*2^-13"),
    "concat": Primitive(None, _concat, {}, {}, "rows one after the other"),
    "concat_columns": Primitive(None, _concat_columns, {}, {}, "channels one after the other, row by row"),
    "reshape": Primitive(1, _reshape, {"rows": (1, 65535)}, {}, "the same entries in so many equal rows"),
    "slice_rows": Primitive(1, _slice_rows, _SPAN, {}, "rows begin .. begin+size-1"),
    "slice_columns": Primitive(1, _slice_columns, _SPAN, {}, "channels begin .. begin+size-1"),
}
