"""Float model to integer graph: calibrate, lower, validate (SPEC.md, "Quantization").

Calibration runs the float net over streams with carried state and keeps each tensor's largest magnitude. Lowering walks
the layers; every matrix product gets the smallest representable row scale for which overflow is impossible. The table
that comes back names every tensor's range, scale, SNR and saturation, and every row whose scale had to grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgernn.core import qmath
from edgernn.core.affine import fit_affine
from edgernn.core.cell import Floats, strip
from edgernn.core.definition import IntegerNet
from edgernn.core.floatnet import FloatNet
from edgernn.core.graph import NetGraph
from edgernn.core.primitives import PREACT, check_scheme
from edgernn.core.structure import Op, Region, State, Structure, Value
from edgernn.errors import EdgernnError

MULTIPLIER_MIN, MULTIPLIER_MAX = 16384, 32767
SHIFT_MIN, SHIFT_MAX = 8, 46
GraphT = TypeVar("GraphT", bound=NetGraph)
Build = Callable[[dict[str, Any]], GraphT]
_EXPONENTS = tuple(range(15, -1, -1))


@dataclass(frozen=True)
class EnlargedRow:
    """A row whose scale is larger than max|w|/127 asks for, because its accumulator could have overflowed."""

    tensor: str
    row: int
    factor: float


@dataclass(frozen=True)
class TensorReport:
    """How well one value survived: float range, integer step, SNR in dB against float, share of saturated entries."""

    name: str
    dtype: str
    largest: float
    step: float
    snr_db: float
    saturated: float


@dataclass(frozen=True)
class QuantizeReport:
    """What the quantizer did, one row a tensor."""

    tensors: tuple[TensorReport, ...]
    enlarged: tuple[EnlargedRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def calibrate(net: FloatNet[Any], streams: Floats) -> dict[str, float]:
    """Largest magnitude of every tap over float features [B, T, bands], state carried from step to step."""
    ranges: dict[str, float] = {}
    for _, taps in net.stream(streams):
        for name, value in taps.items():
            ranges[name] = max(ranges.get(name, 0.0), float(np.abs(value).max()))
    if not ranges:
        raise EdgernnError("calibration needs at least one step of audio; give longer recordings")
    return ranges


def row_scales(weight: Floats, bias: Floats, step_in: float, step_out: float, largest_in: int, name: str) -> tuple[
    dict[str, NDArray[Any]], list[EnlargedRow]
]:  # fmt: skip
    """Quantize a matrix [O, I] row by row.

    Returns the constants (weight int8, bias int32, multiplier int16, shift uint8) and the rows whose scale was enlarged.
    Raises EdgernnError, naming the tensor, when no scale of the contract holds a row.
    """
    count = len(weight)
    out: dict[str, NDArray[Any]] = {
        "weight": np.zeros(weight.shape, np.int8),
        "bias": np.zeros(count, np.int32),
        "multiplier": np.zeros(count, np.int16),
        "shift": np.zeros(count, np.uint8),
    }
    enlarged = []
    for row in range(count):
        m, k, factor, q, b = _row(
            weight[row].astype(np.float64), float(bias[row]), step_in, step_out, largest_in, f"{name} row {row}"
        )
        out["weight"][row], out["bias"][row], out["multiplier"][row], out["shift"][row] = q, b, m, k
        if factor > 1.0:
            enlarged.append(EnlargedRow(name, row, factor))
    return out, enlarged


def _row(
    w: NDArray[np.float64], bias: float, step_in: float, step_out: float, largest_in: int, name: str
) -> tuple[int, int, float, NDArray[np.int8], int]:
    """One row: multiplier, shift, enlargement factor, int8 weights, int32 bias."""
    smallest = float(np.abs(w).max()) / 127.0 * step_in / step_out
    wanted = smallest
    for _ in range(200):
        m, k = _representable(wanted, name)
        scale = m * 2.0**-k * step_out / step_in
        q = np.clip(np.rint(w / scale), -127, 127)
        b = round(bias / (step_in * scale))
        bound = int(np.abs(q).sum()) * largest_in + abs(b)
        if bound < 2**31:
            floor = max(smallest, MULTIPLIER_MIN * 2.0**-SHIFT_MAX)
            return m, k, wanted / floor if wanted > floor else 1.0, q.astype(np.int8), b
        wanted = max(m * 2.0**-k, wanted) * max(1.01, bound / 2.0**31)
    raise EdgernnError(f"{name}: no row scale of the contract keeps its accumulator below 2^31; retrain with weight decay")


def _representable(ratio: float, name: str) -> tuple[int, int]:
    """The smallest m * 2^-k >= ratio with m in [16384, 32767] and k in [8, 46]."""
    if ratio <= MULTIPLIER_MIN * 2.0**-SHIFT_MAX:
        return MULTIPLIER_MIN, SHIFT_MAX
    exponent = int(np.floor(np.log2(ratio)))
    shift = 14 - exponent
    m = int(np.ceil(ratio * 2.0**shift))
    if m > MULTIPLIER_MAX:
        m, shift = MULTIPLIER_MIN, shift - 1
    if not (SHIFT_MIN <= shift <= SHIFT_MAX and np.isfinite(ratio)):
        raise EdgernnError(f"{name}: scale ratio {ratio:g} lies outside what the contract can express (m * 2^-k, k in 8..46)")
    return m, shift


class GraphBuilder:
    """Collects values, ops and constants while the cells lower themselves; implements `cells._base.Builder`."""

    def __init__(self, scheme: str, ranges: Mapping[str, float]) -> None:
        self.scheme, self.ranges = scheme, ranges
        self.values: dict[str, Value] = {}
        self.ops: list[Op] = []
        self.states: dict[str, str] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.enlarged: list[EnlargedRow] = []

    def shape(self, x: str) -> tuple[int, int]:
        """[R, C] of a value."""
        return self.values[x].shape

    def operand(self, x: str) -> str:
        """Itself in int8x16; its int8 view in int8 (made once)."""
        v = self.values[x]
        if self.scheme != "int8" or v.dtype == "int8":
            return x
        name = f"{x}.int8"
        if name not in self.values:
            self._append(Op("narrow", name, (x,)), Value(v.shape, "int8", int(v.scale) - 8))
        return name

    def state(self, name: str, shape: tuple[int, int], scale: int, dtype: str = "int16") -> str:
        """Declare a carried value."""
        self.values[name] = Value(shape, dtype, scale)
        return name

    def state_like(self, name: str, rows: int, x: str) -> str:
        """Declare a carried value of `rows` rows with the type of x."""
        self.values[name] = replace(self.values[x], shape=(rows, self.shape(x)[1]))
        return name

    def carry(self, state: str, value: str) -> None:
        """Close the loop."""
        self.states[state] = value

    def exponent(
        self, *taps: str, headroom: float = 1.0, choices: tuple[int, ...] = _EXPONENTS, saturating: bool = False
    ) -> int:
        """Largest exponent in `choices` (falling) that holds the taps' calibrated range times headroom.

        saturating: where none does, the last choice, for values whose end of range does no harm; the report counts them.
        """
        largest = max(self.ranges[t] for t in taps) * headroom
        for e in choices:
            if largest * 2.0**e <= qmath.INT16_MAX:
                return e
        if saturating:
            return choices[-1]
        problem = f"{taps[0]}: calibrated range {largest:g} does not fit int16"
        raise EdgernnError(f"{problem} at any scale of the contract (2^-{choices[0]} to 2^-{choices[-1]})")

    def linear(self, kind: str, output: str, x: str, weight: Floats, bias: Floats, scale: int | str, relu: int = 0) -> str:
        """Quantize and append a matrix product."""
        source = self.values[x]
        target = Value((source.shape[0] if kind in ("matvec", "row_conv") else 1, len(weight)), "int16", scale)
        constants, enlarged = row_scales(weight, bias, source.step, target.step, source.largest, output)
        self.constants.update({f"{output}.{k}": v for k, v in constants.items()})
        self.enlarged += enlarged
        return self._append(Op(kind, output, (x,), {"relu": relu}), target)

    def op(self, kind: str, output: str, *inputs: str, scale: int | str, **attrs: int) -> str:
        """Append an elementwise primitive."""
        return self._append(Op(kind, output, inputs, attrs), Value(self.shape(inputs[0]), "int16", scale))

    def concat(self, output: str, *inputs: str) -> str:
        """Rows one after the other."""
        rows = sum(self.shape(i)[0] for i in inputs)
        return self._append(
            Op("concat", output, inputs), replace(self.values[inputs[0]], shape=(rows, self.shape(inputs[0])[1]))
        )

    def concat_columns(self, output: str, *inputs: str) -> str:
        """Channels one after the other, row by row."""
        columns = sum(self.shape(i)[1] for i in inputs)
        value = replace(self.values[inputs[0]], shape=(self.shape(inputs[0])[0], columns))
        return self._append(Op("concat_columns", output, inputs), value)

    def reshape(self, output: str, x: str, rows: int) -> str:
        """The same entries in so many equal rows."""
        shape = self.shape(x)
        value = replace(self.values[x], shape=(rows, shape[0] * shape[1] // rows))
        return self._append(Op("reshape", output, (x,), {"rows": rows}), value)

    def rows(self, output: str, x: str, begin: int, size: int) -> str:
        """Rows begin .. begin+size-1."""
        value = replace(self.values[x], shape=(size, self.shape(x)[1]))
        return self._append(Op("slice_rows", output, (x,), {"begin": begin, "size": size}), value)

    def columns(self, output: str, x: str, begin: int, size: int) -> str:
        """Channels begin .. begin+size-1."""
        value = replace(self.values[x], shape=(self.shape(x)[0], size))
        return self._append(Op("slice_columns", output, (x,), {"begin": begin, "size": size}), value)

    def _append(self, op: Op, value: Value) -> str:
        self.values[op.output] = value
        self.ops.append(op)
        return op.output


def quantize(
    net: FloatNet[Any], streams: Sequence[NDArray[np.int16]], scheme: str, posteriors: str, build: Build[GraphT]
) -> tuple[GraphT, QuantizeReport]:
    """Calibrate on streams of Q9 log-energies [T, bands] (equal lengths), lower, and report tensor by tensor.

    posteriors: what the graph calls the sigmoids of its logits; build: makes a task's graph of the net's fields.
    """
    logs = np.stack(streams)
    floats = net.features(logs)
    ranges = calibrate(net, floats)
    parts, enlarged = lower_net(net, ranges, scheme, posteriors)
    graph = build(parts)
    return graph, report(net, graph, floats, graph.affine.apply(logs), ranges, enlarged)


def lower_net(
    net: FloatNet[Any], ranges: Mapping[str, float], scheme: str, posteriors: str
) -> tuple[dict[str, Any], list[EnlargedRow]]:
    """The fields of a graph that any task's net gives; `posteriors` names the sigmoids of the logits."""
    check_scheme(scheme)
    b = GraphBuilder(scheme, ranges)
    affine = fit_affine(net.mean, net.deviation, 8 if scheme == "int8" else 16)
    b.values["features"] = Value((net.frames_per_step, len(net.mean)), f"int{affine.bits}", affine.exponent)
    regions = _lower_layers(b, net, posteriors)
    parts = {
        "name": net.recipe.name,
        "source": net.source,
        "scheme": scheme,
        "frames_per_step": net.frames_per_step,
        "affine": affine,
        "values": b.values,
        "ops": tuple(b.ops),
        "states": tuple(State(k, v) for k, v in b.states.items()),
        "regions": tuple(regions),
        "constants": b.constants,
        "posteriors": posteriors,
    }
    return parts, b.enlarged


def _lower_layers(b: GraphBuilder, net: FloatNet[Any], posteriors: str) -> list[Region]:
    x, regions = "features", []
    for layer in net.layers:
        first = len(b.ops)
        w = strip(net.weights, f"{layer.name}.")
        if layer.name == "head":
            x = b.linear("matvec", "logits", b.operand(x), w["weight"][:, 0], w["bias"], PREACT)
            b.op("sigmoid", posteriors, x, scale=15)
        else:
            x = layer.cell.lower(b, layer.name, layer.options, w, x)
        regions.append(Region(layer.cell.name, layer.name, first, len(b.ops) - first))
    return regions


def report(
    net: FloatNet[Any], graph: Structure, floats: Floats, integers: NDArray[np.int16], ranges: Mapping[str, float],
    enlarged: Sequence[EnlargedRow],
) -> QuantizeReport:  # fmt: skip
    """Float net and graph over the same streams [B, T, bands], tensor by tensor."""
    sums = _compare(net, graph, floats, integers)
    rows = tuple(_tensor_report(graph, name, ranges[name], sums[name]) for name in graph.values if name in sums)
    return QuantizeReport(rows, tuple(enlarged))


def _compare(
    net: FloatNet[Any], graph: Structure, floats: Floats, integers: NDArray[np.int16]
) -> dict[str, NDArray[np.float64]]:
    """Run both models over the calibration streams; the moments of every value that both compute."""
    integer_net = IntegerNet(graph)
    state = integer_net.zero_state(len(integers))
    sums: dict[str, NDArray[np.float64]] = {}
    per_step = graph.frames_per_step
    for i, (_, taps) in enumerate(net.stream(floats)):
        values, state = integer_net.step(integers[:, i * per_step : (i + 1) * per_step], state)
        for name in taps.keys() & graph.values.keys():
            sums[name] = sums.get(name, np.zeros(4)) + _moments(taps[name], values[name], graph.values[name])
    return sums


def _moments(reference: Floats, value: qmath.Ints, kind: Value) -> NDArray[np.float64]:
    """Signal power, error power, saturated entries, entries."""
    ref = reference.astype(np.float64)
    limit = kind.largest - 1
    saturated = np.count_nonzero((value >= limit) | (value <= -limit - 1))
    error = value * kind.step - ref
    return np.array([np.sum(ref**2), np.sum(error**2), saturated, ref.size])


def _tensor_report(graph: Structure, name: str, largest: float, s: NDArray[np.float64]) -> TensorReport:
    kind = graph.values[name]
    snr = 10 * np.log10(max(s[0], 1e-30) / max(s[1], 1e-30))
    return TensorReport(name, kind.dtype, largest, kind.step, round(float(snr), 2), float(s[2] / s[3]))
