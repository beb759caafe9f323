"""The quantized graph: one file, the single source of truth for every backend (SPEC.md, "Graph file").

A graph is a typed list of primitives in single-assignment form, with its constants, the front end's tables, labels and
the decision stage. The file is safetensors with the whole description as canonical JSON in one metadata key; its id is
the sha256 of the file's bytes. Loading checks every name, shape, type and range, so that backends need not.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_bytes
from edgernn.decision import Decision
from edgernn.errors import EdgernnError
from edgernn.features import Affine, FrontEndParams, FrontEndTables
from edgernn.primitives import LINEAR_CONSTANTS, PREACT, PRIMITIVES, Shape
from edgernn.qmath import PREACT_SCALE

FORMAT_VERSION = 1
METADATA_KEY = "edgernn"
SCHEMES = ("int8", "int8x16")


@dataclass(frozen=True)
class Value:
    """Type of one value: shape [R, C], dtype int8 or int16, scale as the exponent b of 2^-b, or PREACT."""

    shape: Shape
    dtype: str
    scale: int | str

    @property
    def step(self) -> float:
        """What one integer step is worth."""
        return PREACT_SCALE if self.scale == PREACT else 2.0 ** -int(self.scale)

    @property
    def largest(self) -> int:
        """Largest magnitude the integer can take: 128 or 32768."""
        return 128 if self.dtype == "int8" else 32768


@dataclass(frozen=True)
class Op:
    """One primitive: `output` is its value's name and the prefix of its constants ("output.weight")."""

    kind: str
    output: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """A value carried to the next step: starts at 0, read as `read`, replaced by the value `write`."""

    read: str
    write: str


@dataclass(frozen=True)
class Region:
    """The span of ops that one cell was lowered to; a fused kernel may replace it, reference backends ignore it."""

    kind: str
    name: str
    first: int
    count: int


@dataclass(frozen=True)
class Graph:
    """A whole quantized model, from PCM to events. See the module docstring; fields in the order of SPEC.md."""

    name: str
    scheme: str
    labels: tuple[str, ...]
    frames_per_step: int
    frontend: FrontEndParams
    tables: FrontEndTables
    affine: Affine
    decision: Decision
    values: Mapping[str, Value]
    ops: tuple[Op, ...]
    states: tuple[State, ...]
    regions: tuple[Region, ...]
    constants: Mapping[str, NDArray[Any]]
    source: Mapping[str, str] = field(default_factory=dict)

    input: str = "features"
    logits: str = "logits"
    posteriors: str = "posteriors"

    def __post_init__(self) -> None:
        """Check the whole graph; see `_check`."""
        _check(self)

    @property
    def step_samples(self) -> int:
        """PCM samples one step consumes."""
        return self.frontend.hop * self.frames_per_step

    @property
    def steps_per_second(self) -> float:
        """Steps a second of audio takes."""
        return self.frontend.sample_rate / self.step_samples

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency in ms: window + smoothing; a sound counts in full once all N smoothed steps have heard it."""
        samples = self.frontend.window + self.decision.smoothing * self.step_samples
        return 1000.0 * samples / self.frontend.sample_rate

    @property
    def weight_bytes(self) -> int:
        """Every constant byte the network needs: weights, biases, multipliers, shifts."""
        return sum(a.nbytes for a in self.constants.values())

    @property
    def table_bytes(self) -> int:
        """Bytes of the front end's tables."""
        t, a = self.tables, self.affine
        return sum(x.nbytes for x in (t.window, t.cosine, t.mel_start, t.mel_rise, a.offset, a.gain))

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates of the network in one step."""
        rows = {op.output: self.values[op.inputs[0]].shape[0] for op in self.ops if op.kind == "matvec"}
        return sum(
            a.size * rows.get(name.removesuffix(".weight"), 1) for name, a in self.constants.items() if name.endswith(".weight")
        )

    def linear(self, output: str) -> dict[str, NDArray[Any]]:
        """The constants of the matrix product that computes `output`."""
        return {key: self.constants[f"{output}.{key}"] for key in LINEAR_CONSTANTS}

    def to_bytes(self) -> bytes:
        """The file's bytes; the same in every process."""
        from safetensors.numpy import save

        tensors = _tensors(self)
        description = _description(self)
        description["crc32"] = {name: zlib.crc32(a.tobytes()) for name, a in tensors.items()}
        return save(tensors, {METADATA_KEY: seal(description)})

    @property
    def id(self) -> str:
        """sha256 of the file's bytes, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: Path) -> str:
        """Write the file (whole or not at all); returns its id."""
        data = self.to_bytes()
        write_bytes(path, data)
        return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def seal(description: Mapping[str, Any]) -> str:
    """The description's canonical text with its own checksum in the field `crc32_json`."""
    return canonical({**description, "crc32_json": zlib.crc32(canonical(description).encode())})


_FRONTEND_TENSORS = {
    "frontend.window": ("tables", "window", "int16"),
    "frontend.cosine": ("tables", "cosine", "int16"),
    "frontend.mel_start": ("tables", "mel_start", "uint16"),
    "frontend.mel_rise": ("tables", "mel_rise", "uint16"),
    "frontend.offset": ("affine", "offset", "int16"),
    "frontend.gain": ("affine", "gain", "int16"),
}


def _tensors(g: Graph) -> dict[str, NDArray[Any]]:
    tensors = {name: getattr(getattr(g, part), attr) for name, (part, attr, _) in _FRONTEND_TENSORS.items()}
    tensors.update({f"net.{name}": a for name, a in g.constants.items()})
    return {name: np.ascontiguousarray(a) for name, a in sorted(tensors.items())}


def _description(g: Graph) -> dict[str, Any]:
    """Everything but the tensors, as JSON: integers and strings; the two frequencies as float hex."""
    frontend = {k: v.hex() if isinstance(v, float) else v for k, v in asdict(g.frontend).items()}
    affine = {"shift": g.affine.shift, "exponent": g.affine.exponent, "bits": g.affine.bits}
    return {
        "format": FORMAT_VERSION,
        "name": g.name,
        "scheme": g.scheme,
        "labels": list(g.labels),
        "frames_per_step": g.frames_per_step,
        "frontend": {**frontend, "affine": affine},
        "decision": {**asdict(g.decision), "thresholds": list(g.decision.thresholds)},
        "values": {name: [list(v.shape), v.dtype, v.scale] for name, v in g.values.items()},
        "ops": [[op.kind, op.output, list(op.inputs), dict(op.attrs)] for op in g.ops],
        "states": [[s.read, s.write] for s in g.states],
        "regions": [[r.kind, r.name, r.first, r.count] for r in g.regions],
        "source": dict(g.source),
    }


def load(path: Path) -> Graph:
    """Read and check a graph file; anything wrong is an EdgernnError that names the file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise EdgernnError(f"cannot read graph file {path}: {error.strerror}") from None
    return from_bytes(data, str(path))


def from_bytes(data: bytes, where: str = "graph") -> Graph:
    """Parse and check a graph file's bytes."""
    try:
        description, tensors = _parse(data, where)
        graph = _build(description, tensors)
        _need(graph.to_bytes() == data, "not in canonical form, or with parts that this format does not have")
        return graph
    except EdgernnError as error:
        raise EdgernnError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise EdgernnError(f"{where}: damaged graph description ({type(error).__name__}: {error}); export it again") from None


def _parse(data: bytes, where: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise EdgernnError(f"not a graph file, or damaged ({error}); export it again") from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    if text is None:
        raise EdgernnError("a safetensors file, but not an edgernn graph; run `edgernn quantize` to make one")
    description = json.loads(text)
    version = description["format"]
    if version != FORMAT_VERSION:
        raise EdgernnError(f"graph format {version}, this edgernn reads format {FORMAT_VERSION}; use a matching edgernn")
    checksum = description.pop("crc32_json")
    _need(checksum == zlib.crc32(canonical(description).encode()), "the description is damaged (checksum differs)")
    _check_crc(description["crc32"], tensors)
    return description, tensors


def _check_crc(expected: Mapping[str, int], tensors: Mapping[str, NDArray[Any]]) -> None:
    if set(expected) != set(tensors):
        raise EdgernnError(f"tensors {sorted(set(expected) ^ set(tensors))[:3]} are missing or unknown; export it again")
    for name, array in tensors.items():
        if zlib.crc32(array.tobytes()) != expected[name]:
            raise EdgernnError(f"tensor {name} is damaged (checksum differs); export it again")


def _build(d: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Graph:
    for name, (_, _, dtype) in _FRONTEND_TENSORS.items():
        if tensors[name].dtype != dtype:
            raise EdgernnError(f"tensor {name} is {tensors[name].dtype}, not {dtype}")
    fe: dict[str, Any] = {k: float.fromhex(v) if isinstance(v, str) else v for k, v in d["frontend"].items() if k != "affine"}
    parts: dict[str, dict[str, Any]] = {"tables": {}, "affine": dict(d["frontend"]["affine"])}
    for name, (part, attr, _) in _FRONTEND_TENSORS.items():
        parts[part][attr] = tensors[name]
    return Graph(
        name=d["name"],
        scheme=d["scheme"],
        labels=tuple(d["labels"]),
        frames_per_step=d["frames_per_step"],
        frontend=FrontEndParams(**fe),
        tables=FrontEndTables(**parts["tables"]),
        affine=Affine(**parts["affine"]),
        decision=Decision(**{**d["decision"], "thresholds": tuple(d["decision"]["thresholds"])}),
        values={name: Value((int(v[0][0]), int(v[0][1])), v[1], v[2]) for name, v in d["values"].items()},
        ops=tuple(Op(o[0], o[1], tuple(o[2]), o[3]) for o in d["ops"]),
        states=tuple(State(*s) for s in d["states"]),
        regions=tuple(Region(*r) for r in d["regions"]),
        constants={n.removeprefix("net."): a for n, a in tensors.items() if n.startswith("net.")},
        source=d["source"],
    )


def _need(ok: bool, message: str) -> None:
    if not ok:
        raise EdgernnError(message)


def _check(g: Graph) -> None:
    """Every bound a backend relies on. A graph object that exists is a graph that can be emitted."""
    _need(g.scheme in SCHEMES, f"unknown scheme {g.scheme!r}; known: {', '.join(SCHEMES)}")
    _need(len(g.labels) >= 2 and all(isinstance(x, str) and x for x in g.labels), "needs at least two labels")
    _need(len(set(g.labels)) == len(g.labels), f"labels repeat: {g.labels}")
    _need(1 <= g.frames_per_step <= 16, f"frames_per_step {g.frames_per_step} must lie in 1..16")
    _need(1 <= len(g.decision.thresholds) <= len(g.labels), "more thresholds than labels, or none")
    _check_frontend(g)
    _check_values(g)
    known = {g.input, *(s.read for s in g.states)}
    for op in g.ops:
        _check_op(g, op, known)
        known.add(op.output)
    _check_ends(g, known)


def _check_frontend(g: Graph) -> None:
    p, t, a = g.frontend, g.tables, g.affine
    _need(t.window.shape == (p.window,) and t.cosine.shape == (3 * p.fft // 4,), "front-end tables have the wrong length")
    turn = t.cosine.astype(np.int64)
    norm = turn[: p.fft // 2] ** 2 + turn[p.fft // 4 :] ** 2
    _need(bool(np.all(np.abs(norm - 2**30) <= 2**17)), "the cosine table is not one of cosines in Q15")
    start = t.mel_start.astype(np.int64)
    _need(start.shape == (p.bands + 2,) and bool(np.all(np.diff(start) >= 0)), "mel_start must rise over bands + 2 entries")
    _need(int(start[-1]) <= p.fft // 2 and t.mel_rise.shape == (start[-1] - start[0],), "mel filters lie outside the FFT")
    _need(int(t.mel_rise.max(initial=0)) <= 4096, "mel_rise exceeds 4096 (Q12)")
    _need(a.offset.shape == a.gain.shape == (p.bands,), "the affine needs one offset and gain a band")
    _need(1 <= a.shift <= 24 and bool(np.all(a.gain >= 1)), f"affine shift {a.shift} or gain out of range")
    _need(a.bits == (8 if g.scheme == "int8" else 16), f"features of {a.bits} bits do not fit scheme {g.scheme}")


def _check_values(g: Graph) -> None:
    for name, v in g.values.items():
        _need(v.dtype in ("int8", "int16"), f"value {name}: dtype {v.dtype} is not int8 or int16")
        _need(all(1 <= n <= 65535 for n in v.shape), f"value {name}: shape {v.shape} out of range")
        _need(v.scale == PREACT or (isinstance(v.scale, int) and -8 <= v.scale <= 24), f"value {name}: scale {v.scale} unknown")
    expected = Value((g.frames_per_step, g.frontend.bands), f"int{g.affine.bits}", g.affine.exponent)
    _need(g.values[g.input] == expected, f"input {g.input} must be {expected}")


def _check_op(g: Graph, op: Op, known: set[str]) -> None:
    where = f"op {op.output}"
    _need(op.kind in PRIMITIVES, f"{where}: unknown primitive {op.kind!r}; known: {', '.join(PRIMITIVES)}")
    spec = PRIMITIVES[op.kind]
    _need(op.output in g.values and op.output not in known, f"{where}: assigned twice or without a type")
    _need(all(i in known for i in op.inputs), f"{where}: reads a value before it is computed: {op.inputs}")
    count = len(op.inputs)
    _need(
        count >= 2 if spec.inputs is None else count == spec.inputs,
        f"{where}: {op.kind} takes {spec.inputs} operands, not {count}",
    )
    _need(set(op.attrs) == set(spec.attrs), f"{where}: {op.kind} needs attributes {sorted(spec.attrs)}, not {sorted(op.attrs)}")
    for key, (low, high) in spec.attrs.items():
        value = op.attrs[key]
        _need(isinstance(value, int) and low <= value <= high, f"{where}: {key} = {value} must lie in {low}..{high}")
    shapes = [g.values[i].shape for i in op.inputs]
    constants = _check_constants(g, op, where)
    try:
        shape = spec.out_shape(shapes, op.attrs, constants)
    except EdgernnError as error:
        raise EdgernnError(f"{where}: {error}") from None
    _need(shape == g.values[op.output].shape, f"{where}: computes {shape}, declared {g.values[op.output].shape}")
    _check_types(g, op, where)


def _check_constants(g: Graph, op: Op, where: str) -> dict[str, tuple[int, ...]]:
    if not PRIMITIVES[op.kind].constants:
        return {}
    c = g.linear(op.output)
    for key, dtype in PRIMITIVES[op.kind].constants.items():
        _need(c[key].dtype == dtype, f"{where}: {key} is {c[key].dtype}, not {dtype}")
    _need(c["weight"].ndim == 2, f"{where}: weight has {c['weight'].ndim} dimensions, not 2")
    rows = c["weight"].shape[0]
    _need(all(c[k].shape == (rows,) for k in ("bias", "multiplier", "shift")), f"{where}: needs one bias and scale a row")
    _need(int(c["weight"].min()) >= -127, f"{where}: weight -128 is outside the contract")
    _need(bool(np.all(c["multiplier"] >= 16384)), f"{where}: multiplier below 16384")
    _need(bool(np.all((c["shift"] >= 8) & (c["shift"] <= 46))), f"{where}: shift outside 8..46")
    bound = np.abs(c["weight"].astype(np.int64)).sum(1) * g.values[op.inputs[0]].largest
    bound += np.abs(c["bias"].astype(np.int64))
    _need(bool(np.all(bound < 2**31)), f"{where}: row {int(bound.argmax())} could overflow its int32 accumulator")
    return {key: a.shape for key, a in c.items()}


#: primitives whose result has the dtype (and scale) of their operands
_KEEPS_TYPE = ("concat", "slice_rows", "slice_columns")


def _check_types(g: Graph, op: Op, where: str) -> None:
    """Scales and dtypes that the arithmetic of each primitive implies."""
    ins, out = [g.values[i] for i in op.inputs], g.values[op.output]
    if op.kind in _KEEPS_TYPE:
        _need(all((i.dtype, i.scale) == (out.dtype, out.scale) for i in ins), f"{where}: {op.kind} cannot change type or scale")
    elif op.kind == "narrow":
        _need(isinstance(ins[0].scale, int) and ins[0].dtype == "int16", f"{where}: narrow needs an int16 at a power of two")
        _need((out.dtype, out.scale) == ("int8", int(ins[0].scale) - 8), f"{where}: narrow gives int8 at 2^(8-b)")
    else:
        _need(out.dtype == "int16", f"{where}: {op.kind} gives int16")
        if op.kind in ("add", "sub", "add_relu"):
            _need(all(i.scale == out.scale and i.dtype == "int16" for i in ins), f"{where}: {op.kind} needs equal scales")
        elif op.kind == "mul":
            powers = [i.scale for i in (*ins, out)]
            _need(all(i.dtype == "int16" for i in ins), f"{where}: mul needs int16 operands")
            _check_mul(powers, op.attrs["shift"], where)
        elif op.kind in ("sigmoid", "tanh"):
            _need((ins[0].scale, ins[0].dtype, out.scale) == (PREACT, "int16", 15), f"{where}: {op.kind} maps 3*2^-13 to Q15")
        elif op.kind == "cell_to_preact":
            _need((ins[0].scale, out.scale) == (op.attrs["exponent"], PREACT), f"{where}: maps 2^-e to 3*2^-13")


def _check_mul(scales: list[int | str], shift: int, where: str) -> None:
    a, b, out = scales
    if PREACT in scales:  # gate times pre-activation keeps the pre-activation's scale
        _need(
            out == PREACT and 15 in (a, b) and PREACT in (a, b) and shift == 14,
            f"{where}: mul of {a} and {b} cannot give {out}",
        )
    else:
        _need(int(a) + int(b) - int(out) == shift + 1, f"{where}: mul shift {shift} does not fit scales {scales}")


def _roots(g: Graph) -> dict[str, str]:
    """For each value the one whose memory it lies in: slices lie in their operand."""
    roots = {g.input: g.input, **{s.read: s.read for s in g.states}}
    for op in g.ops:
        roots[op.output] = roots[op.inputs[0]] if op.kind.startswith("slice") else op.output
    return roots


def _check_ends(g: Graph, known: set[str]) -> None:
    read = [s.read for s in g.states]
    _need(len(set(read)) == len(read), "a state is declared twice")
    roots = _roots(g)
    for s in g.states:
        _need(s.write in known, f"state {s.read}: written from unknown value {s.write}")
        _need(
            roots[s.write] not in read, f"state {s.read}: written from state {roots[s.write]} itself; copy it by an operation"
        )
        _need(g.values[s.read] == g.values[s.write], f"state {s.read}: type changes from step to step")
    shape = (1, len(g.labels))
    _need(g.logits in known and g.values[g.logits] == Value(shape, "int16", PREACT), f"logits must be int16 {shape} at 3*2^-13")
    _need(
        g.posteriors in known and g.values[g.posteriors] == Value(shape, "int16", 15), f"posteriors must be int16 {shape} Q15"
    )
    _need(roots[g.logits] == g.logits and roots[g.posteriors] == g.posteriors, "logits and posteriors cannot be slices")
    used = {f"{op.output}.{key}" for op in g.ops for key in PRIMITIVES[op.kind].constants}
    _need(used == set(g.constants), f"constants nobody reads, or missing: {sorted(used ^ set(g.constants))[:3]}")
    for r in g.regions:
        _need(r.first >= 0 and r.count >= 1 and r.first + r.count <= len(g.ops), f"region {r.name} lies outside the ops")
