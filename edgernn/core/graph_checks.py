"""Every bound that a backend relies on, checked whenever a graph comes into being: made, loaded or changed."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from edgernn.core.primitives import PREACT, PRIMITIVES, Shape
from edgernn.core.structure import Op, Structure, Value
from edgernn.errors import EdgernnError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,99}")  #: of a value; section 11 makes C of it


def is_int(x: object, low: int, high: int) -> bool:
    """An integer between two ends; a truth value is none, nor is a float without a fraction."""
    return type(x) is int and low <= x <= high


def need(ok: bool, message: str) -> None:
    """Raise the message as an EdgernnError unless ok."""
    if not ok:
        raise EdgernnError(message)


def check_structure(g: Structure, wanted: Value, output_shape: Shape) -> None:
    """Every bound a backend relies on in the net itself; wanted: the type of its input, output_shape: of its scores."""
    _check_names(g)
    _check_affine(g, wanted.shape[1])
    _check_values(g, wanted)
    known = {g.input, *(s.read for s in g.states)}
    for op in g.ops:
        _check_op(g, op, known)
        known.add(op.output)
    _check_ends(g, known, output_shape)


def _check_names(g: Structure) -> None:
    texts = [g.name, *g.source, *g.source.values(), *g.values, *(x for r in g.regions for x in (r.kind, r.name))]
    need(all(type(x) is str for x in texts), "name, source and the names of values and regions must be strings")
    odd = [name for name in g.values if not _NAME.fullmatch(name)]
    need(not odd, f"value {odd[:1]} is no name: letters, digits, dots and underscores, beginning with a letter")
    plain = Counter(name.replace(".", "_") for name in g.values)
    need(max(plain.values(), default=1) == 1, f"values of one name in C: {[x for x, n in plain.items() if n > 1][:1]}")


def _check_affine(g: Structure, bands: int) -> None:
    a = g.affine
    need(a.offset.shape == a.gain.shape == (bands,), "the affine needs one offset and gain a band")
    need(is_int(a.exponent, -8, 24), f"affine exponent {a.exponent!r} out of range")
    need(is_int(a.shift, 1, 24) and bool(np.all(a.gain >= 1)), f"affine shift {a.shift} or gain out of range")
    need(
        type(a.bits) is int and a.bits == (8 if g.scheme == "int8" else 16),
        f"features of {a.bits} bits do not fit scheme {g.scheme}",
    )


def _check_values(g: Structure, wanted: Value) -> None:
    for name, v in g.values.items():
        need(v.dtype in ("int8", "int16"), f"value {name}: dtype {v.dtype} is not int8 or int16")
        shape_fits = len(v.shape) == 2 and all(is_int(n, 1, 65535) for n in v.shape)
        need(shape_fits, f"value {name}: shape {v.shape} out of range")
        need(v.scale == PREACT or is_int(v.scale, -8, 24), f"value {name}: scale {v.scale} unknown")
    need(g.values[g.input] == wanted, f"input {g.input} must be {wanted}")


def _check_op(g: Structure, op: Op, known: set[str]) -> None:
    where = f"op {op.output}"
    need(op.kind in PRIMITIVES, f"{where}: unknown primitive {op.kind!r}; known: {', '.join(PRIMITIVES)}")
    spec = PRIMITIVES[op.kind]
    need(op.output in g.values and op.output not in known, f"{where}: assigned twice or without a type")
    need(all(i in known for i in op.inputs), f"{where}: reads a value before it is computed: {op.inputs}")
    count = len(op.inputs)
    need(
        count >= 2 if spec.inputs is None else count == spec.inputs,
        f"{where}: {op.kind} takes {spec.inputs} operands, not {count}",
    )
    need(set(op.attrs) == set(spec.attrs), f"{where}: {op.kind} needs attributes {sorted(spec.attrs)}, not {sorted(op.attrs)}")
    for key, (low, high) in spec.attrs.items():
        value = op.attrs[key]
        need(is_int(value, low, high), f"{where}: {key} = {value} must lie in {low}..{high}")
    shapes = [g.values[i].shape for i in op.inputs]
    constants = _check_constants(g, op, where)
    try:
        shape = spec.out_shape(shapes, op.attrs, constants)
    except EdgernnError as error:
        raise EdgernnError(f"{where}: {error}") from None
    need(shape == g.values[op.output].shape, f"{where}: computes {shape}, declared {g.values[op.output].shape}")
    _check_types(g, op, where)


def _check_constants(g: Structure, op: Op, where: str) -> dict[str, tuple[int, ...]]:
    if not PRIMITIVES[op.kind].constants:
        return {}
    c = g.linear(op.output)
    for key, dtype in PRIMITIVES[op.kind].constants.items():
        need(c[key].dtype == dtype, f"{where}: {key} is {c[key].dtype}, not {dtype}")
    need(c["weight"].ndim == 2, f"{where}: weight has {c['weight'].ndim} dimensions, not 2")
    rows = c["weight"].shape[0]
    need(all(c[k].shape == (rows,) for k in ("bias", "multiplier", "shift")), f"{where}: needs one bias and scale a row")
    need(int(c["weight"].min()) >= -127, f"{where}: weight -128 is outside the contract")
    need(bool(np.all(c["multiplier"] >= 16384)), f"{where}: multiplier below 16384")
    need(bool(np.all((c["shift"] >= 8) & (c["shift"] <= 46))), f"{where}: shift outside 8..46")
    bound = np.abs(c["weight"].astype(np.int64)).sum(1) * g.values[op.inputs[0]].largest
    bound += np.abs(c["bias"].astype(np.int64))
    need(bool(np.all(bound < 2**31)), f"{where}: row {int(bound.argmax())} could overflow its int32 accumulator")
    return {key: a.shape for key, a in c.items()}


#: primitives whose result has the dtype (and scale) of their operands
_KEEPS_TYPE = ("concat", "concat_columns", "reshape", "slice_rows", "slice_columns")


def _check_types(g: Structure, op: Op, where: str) -> None:
    """Scales and dtypes that the arithmetic of each primitive implies."""
    ins, out = [g.values[i] for i in op.inputs], g.values[op.output]
    if op.kind in _KEEPS_TYPE:
        need(all((i.dtype, i.scale) == (out.dtype, out.scale) for i in ins), f"{where}: {op.kind} cannot change type or scale")
    elif op.kind == "narrow":
        need(isinstance(ins[0].scale, int) and ins[0].dtype == "int16", f"{where}: narrow needs an int16 at a power of two")
        need((out.dtype, out.scale) == ("int8", int(ins[0].scale) - 8), f"{where}: narrow gives int8 at 2^(8-b)")
    else:
        need(out.dtype == "int16", f"{where}: {op.kind} gives int16")
        if op.kind in ("add", "sub", "add_relu"):
            need(all(i.scale == out.scale and i.dtype == "int16" for i in ins), f"{where}: {op.kind} needs equal scales")
        elif op.kind == "mul":
            powers = [i.scale for i in (*ins, out)]
            need(all(i.dtype == "int16" for i in ins), f"{where}: mul needs int16 operands")
            _check_mul(powers, op.attrs["shift"], where)
        elif op.kind in ("sigmoid", "tanh"):
            need((ins[0].scale, ins[0].dtype, out.scale) == (PREACT, "int16", 15), f"{where}: {op.kind} maps 3*2^-13 to Q15")
        elif op.kind == "cell_to_preact":
            need((ins[0].scale, out.scale) == (op.attrs["exponent"], PREACT), f"{where}: maps 2^-e to 3*2^-13")


def _check_mul(scales: list[int | str], shift: int, where: str) -> None:
    a, b, out = scales
    if PREACT in scales:  # gate times pre-activation keeps the pre-activation's scale
        need(
            out == PREACT and 15 in (a, b) and PREACT in (a, b) and shift == 14,
            f"{where}: mul of {a} and {b} cannot give {out}",
        )
    else:
        need(int(a) + int(b) - int(out) == shift + 1, f"{where}: mul shift {shift} does not fit scales {scales}")


#: primitives whose result lies in the memory of their operand
_VIEWS = ("reshape", "slice_rows", "slice_columns")


def _roots(g: Structure) -> dict[str, str]:
    """For each value the one whose memory it lies in: slices lie in their operand."""
    roots = {g.input: g.input, **{s.read: s.read for s in g.states}}
    for op in g.ops:
        roots[op.output] = roots[op.inputs[0]] if op.kind in _VIEWS else op.output
    return roots


def _check_ends(g: Structure, known: set[str], shape: Shape) -> None:
    read = [s.read for s in g.states]
    need(len(set(read)) == len(read), "a state is declared twice")
    roots = _roots(g)
    for s in g.states:
        need(s.write in known, f"state {s.read}: written from unknown value {s.write}")
        need(roots[s.write] not in read, f"state {s.read}: written from state {roots[s.write]} itself; copy it by an operation")
        need(g.values[s.read] == g.values[s.write], f"state {s.read}: type changes from step to step")
    need(g.logits in known and _is_int16(g, g.logits, shape, PREACT), f"logits must be int16 {shape} at 3*2^-13")
    need(g.posteriors in known and _is_int16(g, g.posteriors, shape, 15), f"{g.posteriors} must be int16 {shape} Q15")
    need(roots[g.logits] == g.logits and roots[g.posteriors] == g.posteriors, "logits and posteriors cannot be slices")
    used = {f"{op.output}.{key}" for op in g.ops for key in PRIMITIVES[op.kind].constants}
    need(used == set(g.constants), f"constants nobody reads, or missing: {sorted(used ^ set(g.constants))[:3]}")
    for r in g.regions:
        inside = is_int(r.first, 0, len(g.ops)) and is_int(r.count, 1, len(g.ops) - r.first)
        need(inside, f"region {r.name} lies outside the ops")


def _is_int16(g: Structure, name: str, shape: Shape, scale: int | str) -> bool:
    v = g.values[name]
    return (v.shape, v.dtype, v.scale) == (shape, "int16", scale)
