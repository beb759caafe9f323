"""The quantized graph: one file, the single source of truth for every backend (SPEC.md, "Graph file").

A graph is a typed list of primitives in single-assignment form, with its constants, the front end's tables, labels and
the decision stage. The file is safetensors with the whole description as canonical JSON in one metadata key; its id is
the sha256 of the file's bytes. Loading checks every name, shape, type and range, so that backends need not.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_bytes
from edgernn.decision import Decision
from edgernn.errors import EdgernnError
from edgernn.features import Affine, FrontEndParams, FrontEndTables, log_mel
from edgernn.primitives import LINEAR_CONSTANTS, PREACT, PRIMITIVES, Shape, check_scheme
from edgernn.qmath import PREACT_SCALE

FORMAT_VERSION = 1
METADATA_KEY = "edgernn"


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


@dataclass(frozen=True, kw_only=True)
class NetGraph(ABC):
    """The part that every task shares: one step of an integer net, features and states in, scores and states out.

    input, logits, posteriors: names of values; posteriors are the sigmoids of the logits (a denoiser's gains).
    source: where it came from, by name.
    """

    name: str
    scheme: str
    values: Mapping[str, Value]
    ops: tuple[Op, ...]
    states: tuple[State, ...]
    regions: tuple[Region, ...]
    constants: Mapping[str, NDArray[Any]]
    affine: Affine
    frames_per_step: int = 1
    source: Mapping[str, str] = field(default_factory=dict)

    input: str = "features"
    logits: str = "logits"
    posteriors: str = "posteriors"

    #: what the graph file says it is for; None for the first task, whose files say nothing
    task: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        """Check the whole graph; see `_check`."""
        _check(self)

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Hz."""

    @property
    @abstractmethod
    def bands(self) -> int:
        """Features of a frame."""

    @property
    @abstractmethod
    def frame_samples(self) -> int:
        """PCM samples one frame of features brings."""

    @property
    @abstractmethod
    def history_samples(self) -> int:
        """PCM samples before those that a frame looks back on."""

    @property
    @abstractmethod
    def latency_ms(self) -> float:
        """Algorithmic latency in ms."""

    @property
    @abstractmethod
    def output_shape(self) -> Shape:
        """Shape of logits and posteriors."""

    @abstractmethod
    def features(self, pcm: NDArray[np.int16], history: NDArray[np.int16]) -> NDArray[np.int16]:
        """PCM [n] after `history` -> normalised features [n // frame_samples, bands], by the definition."""

    @abstractmethod
    def task_tensors(self) -> dict[str, NDArray[Any]]:
        """Tables of the signal path by their names in the file, those of the affine left out."""

    @abstractmethod
    def task_description(self) -> dict[str, Any]:
        """What the file's JSON says beyond the net."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What an exported model says of this task, so that a program that has only the model can run it."""

    @abstractmethod
    def check_task(self) -> None:
        """Every bound that backends rely on beyond the net's."""

    @classmethod
    @abstractmethod
    def from_parts(cls, net: dict[str, Any], d: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> NetGraph:
        """The graph from the net's fields, the file's JSON and its tensors."""

    @property
    def step_samples(self) -> int:
        """PCM samples one step consumes."""
        return self.frame_samples * self.frames_per_step

    @property
    def scores(self) -> int:
        """Entries of logits, and of posteriors, in one step."""
        return self.output_shape[0] * self.output_shape[1]

    @property
    def steps_per_second(self) -> float:
        """Steps a second of audio takes."""
        return self.sample_rate / self.step_samples

    @property
    def weight_bytes(self) -> int:
        """Every constant byte the network needs: weights, biases, multipliers, shifts."""
        return sum(a.nbytes for a in self.constants.values())

    @property
    def table_bytes(self) -> int:
        """Bytes of the signal path's tables."""
        a = self.affine
        return sum(x.nbytes for x in (*self.task_tensors().values(), a.offset, a.gain))

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates of the network in one step."""
        rows = {op.output: self.values[op.inputs[0]].shape[0] for op in self.ops if op.kind in ("matvec", "row_conv")}
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


@dataclass(frozen=True, kw_only=True)
class Graph(NetGraph):
    """A whole keyword spotter, from PCM to events. See the module docstring."""

    labels: tuple[str, ...]
    frontend: FrontEndParams
    tables: FrontEndTables
    decision: Decision

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.frontend.sample_rate

    @property
    def bands(self) -> int:
        """Features of a frame."""
        return self.frontend.bands

    @property
    def frame_samples(self) -> int:
        """The front end's hop."""
        return self.frontend.hop

    @property
    def history_samples(self) -> int:
        """What a window reaches back beyond its hop."""
        return self.frontend.window - self.frontend.hop

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency in ms: window + smoothing; a sound counts in full once all N smoothed steps have heard it."""
        samples = self.frontend.window + self.decision.smoothing * self.step_samples
        return 1000.0 * samples / self.frontend.sample_rate

    @property
    def output_shape(self) -> Shape:
        """One score a label."""
        return 1, len(self.labels)

    def features(self, pcm: NDArray[np.int16], history: NDArray[np.int16]) -> NDArray[np.int16]:
        """Normalised log-mel energies."""
        return self.affine.apply(log_mel(pcm, self.frontend, self.tables, history))

    def task_tensors(self) -> dict[str, NDArray[Any]]:
        """The front end's tables."""
        return {f"frontend.{name}": getattr(self.tables, name) for name in _FRONTEND_TABLES}

    def task_description(self) -> dict[str, Any]:
        """Labels, front end and decision stage."""
        frontend = {k: v.hex() if isinstance(v, float) else v for k, v in asdict(self.frontend).items()}
        return {
            "labels": list(self.labels),
            "frames_per_step": self.frames_per_step,
            "frontend": {**frontend, "affine": describe_affine(self.affine)},
            "decision": {**asdict(self.decision), "thresholds": list(self.decision.thresholds)},
        }

    def about(self) -> dict[str, Any]:
        """Labels, front end with its affine, decision stage; real numbers as strings in C's `%a` form."""
        p, a = self.frontend, self.affine
        numbers = {"bands": p.bands, "fft": p.fft, "floor_log2": p.floor_log2, "hop": p.hop, "window": p.window}
        frontend = {**numbers, "f_max": float(p.f_max).hex(), "f_min": float(p.f_min).hex(), "affine": whole_affine(a)}
        decision = {**asdict(self.decision), "thresholds": list(self.decision.thresholds)}
        return {"labels": list(self.labels), "frontend": frontend, "decision": decision}

    @classmethod
    def from_parts(cls, net: dict[str, Any], d: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Graph:
        """See the base class."""
        fe: dict[str, Any] = {
            k: float.fromhex(v) if isinstance(v, str) else v for k, v in d["frontend"].items() if k != "affine"
        }
        return cls(
            **net,
            labels=tuple(d["labels"]),
            frames_per_step=d["frames_per_step"],
            frontend=FrontEndParams(**fe),
            tables=FrontEndTables(**typed(tensors, "frontend.", _FRONTEND_TABLES)),
            affine=build_affine(d["frontend"]["affine"], tensors, "frontend."),
            decision=Decision(**{**d["decision"], "thresholds": tuple(d["decision"]["thresholds"])}),
        )

    def check_task(self) -> None:
        """Labels, thresholds, front end."""
        need(len(self.labels) >= 2 and all(isinstance(x, str) and x for x in self.labels), "needs at least two labels")
        need(len(set(self.labels)) == len(self.labels), f"labels repeat: {self.labels}")
        need(1 <= self.frames_per_step <= 16, f"frames_per_step {self.frames_per_step} must lie in 1..16")
        need(1 <= len(self.decision.thresholds) <= len(self.labels), "more thresholds than labels, or none")
        _check_frontend(self)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def seal(description: Mapping[str, Any]) -> str:
    """The description's canonical text with its own checksum in the field `crc32_json`."""
    return canonical({**description, "crc32_json": zlib.crc32(canonical(description).encode())})


_FRONTEND_TABLES = {"window": "int16", "cosine": "int16", "mel_start": "uint16", "mel_rise": "uint16"}
_AFFINE_TABLES = {"offset": "int16", "gain": "int16"}


def typed(tensors: Mapping[str, NDArray[Any]], prefix: str, dtypes: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The tensors of these names, without their prefix, each of its dtype."""
    for name, dtype in dtypes.items():
        found = tensors[prefix + name].dtype
        need(found == dtype, f"tensor {prefix}{name} is {found}, not {dtype}")
    return {name: tensors[prefix + name] for name in dtypes}


def describe_affine(a: Affine) -> dict[str, int]:
    """The affine's integers, as the file's JSON holds them."""
    return {"shift": a.shift, "exponent": a.exponent, "bits": a.bits}


def whole_affine(a: Affine) -> dict[str, Any]:
    """The affine with its tables, for where there are no tensors."""
    return {**describe_affine(a), "gain": a.gain.tolist(), "offset": a.offset.tolist()}


def build_affine(d: Mapping[str, int], tensors: Mapping[str, NDArray[Any]], prefix: str) -> Affine:
    """The affine of a file."""
    parts: dict[str, Any] = {**typed(tensors, prefix, _AFFINE_TABLES), **d}
    return Affine(**parts)


def _tensors(g: NetGraph) -> dict[str, NDArray[Any]]:
    tensors = g.task_tensors()
    prefix = next(iter(tensors)).split(".")[0]
    tensors |= {f"{prefix}.offset": g.affine.offset, f"{prefix}.gain": g.affine.gain}
    tensors |= {f"net.{name}": a for name, a in g.constants.items()}
    return {name: np.ascontiguousarray(a) for name, a in sorted(tensors.items())}


def _description(g: NetGraph) -> dict[str, Any]:
    """Everything but the tensors, as JSON: integers and strings; real numbers as float hex."""
    return {
        "format": FORMAT_VERSION,
        **({"task": g.task} if g.task else {}),
        "name": g.name,
        "scheme": g.scheme,
        **g.task_description(),
        "values": {name: [list(v.shape), v.dtype, v.scale] for name, v in g.values.items()},
        "ops": [[op.kind, op.output, list(op.inputs), dict(op.attrs)] for op in g.ops],
        "states": [[s.read, s.write] for s in g.states],
        "regions": [[r.kind, r.name, r.first, r.count] for r in g.regions],
        "source": dict(g.source),
    }


def load(path: Path) -> Graph:
    """Read and check a keyword spotter's graph file; anything wrong is an EdgernnError that names the file."""
    graph = load_any(path)
    if not isinstance(graph, Graph):
        raise EdgernnError(f"{path} is a graph for {graph.task}, not a keyword spotter's; use it with `edgernn {graph.task}`")
    return graph


def load_any(path: Path) -> NetGraph:
    """Read and check a graph file of any task."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise EdgernnError(f"cannot read graph file {path}: {error.strerror}") from None
    return from_bytes(data, str(path))


def from_bytes(data: bytes, where: str = "graph") -> NetGraph:
    """Parse and check a graph file's bytes."""
    try:
        description, tensors = _parse(data, where)
        graph = _build(description, tensors)
        need(graph.to_bytes() == data, "not in canonical form, or with parts that this format does not have")
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
    need(checksum == zlib.crc32(canonical(description).encode()), "the description is damaged (checksum differs)")
    _check_crc(description["crc32"], tensors)
    return description, tensors


def _check_crc(expected: Mapping[str, int], tensors: Mapping[str, NDArray[Any]]) -> None:
    if set(expected) != set(tensors):
        raise EdgernnError(f"tensors {sorted(set(expected) ^ set(tensors))[:3]} are missing or unknown; export it again")
    for name, array in tensors.items():
        if zlib.crc32(array.tobytes()) != expected[name]:
            raise EdgernnError(f"tensor {name} is damaged (checksum differs); export it again")


def _build(d: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> NetGraph:
    net = {
        "name": d["name"],
        "scheme": d["scheme"],
        "values": {name: Value((int(v[0][0]), int(v[0][1])), v[1], v[2]) for name, v in d["values"].items()},
        "ops": tuple(Op(o[0], o[1], tuple(o[2]), o[3]) for o in d["ops"]),
        "states": tuple(State(*s) for s in d["states"]),
        "regions": tuple(Region(*r) for r in d["regions"]),
        "constants": {n.removeprefix("net."): a for n, a in tensors.items() if n.startswith("net.")},
        "source": d["source"],
    }
    return _kind(d.get("task")).from_parts(net, d, tensors)


def _kind(task: Any) -> type[NetGraph]:
    """The class of a task's graphs."""
    if task is None:
        return Graph
    if task == "denoise":
        from edgernn.denoise.graph import DenoiseGraph

        return DenoiseGraph
    raise EdgernnError(f"a graph for the task {task!r}, which this edgernn does not know; use a newer one")


def need(ok: bool, message: str) -> None:
    """Raise the message as an EdgernnError unless ok."""
    if not ok:
        raise EdgernnError(message)


def _check(g: NetGraph) -> None:
    """Every bound a backend relies on. A graph object that exists is a graph that can be emitted."""
    check_scheme(g.scheme)
    g.check_task()
    _check_affine(g)
    _check_values(g)
    known = {g.input, *(s.read for s in g.states)}
    for op in g.ops:
        _check_op(g, op, known)
        known.add(op.output)
    _check_ends(g, known)


def _check_frontend(g: Graph) -> None:
    p, t = g.frontend, g.tables
    need(t.window.shape == (p.window,) and t.cosine.shape == (3 * p.fft // 4,), "front-end tables have the wrong length")
    turn = t.cosine.astype(np.int64)
    norm = turn[: p.fft // 2] ** 2 + turn[p.fft // 4 :] ** 2
    need(bool(np.all(np.abs(norm - 2**30) <= 2**17)), "the cosine table is not one of cosines in Q15")
    start = t.mel_start.astype(np.int64)
    need(start.shape == (p.bands + 2,) and bool(np.all(np.diff(start) >= 0)), "mel_start must rise over bands + 2 entries")
    need(int(start[-1]) <= p.fft // 2 and t.mel_rise.shape == (start[-1] - start[0],), "mel filters lie outside the FFT")
    need(int(t.mel_rise.max(initial=0)) <= 4096, "mel_rise exceeds 4096 (Q12)")


def _check_affine(g: NetGraph) -> None:
    a = g.affine
    need(a.offset.shape == a.gain.shape == (g.bands,), "the affine needs one offset and gain a band")
    need(1 <= a.shift <= 24 and bool(np.all(a.gain >= 1)), f"affine shift {a.shift} or gain out of range")
    need(a.bits == (8 if g.scheme == "int8" else 16), f"features of {a.bits} bits do not fit scheme {g.scheme}")


def _check_values(g: NetGraph) -> None:
    for name, v in g.values.items():
        need(v.dtype in ("int8", "int16"), f"value {name}: dtype {v.dtype} is not int8 or int16")
        need(all(1 <= n <= 65535 for n in v.shape), f"value {name}: shape {v.shape} out of range")
        need(v.scale == PREACT or (isinstance(v.scale, int) and -8 <= v.scale <= 24), f"value {name}: scale {v.scale} unknown")
    expected = Value((g.frames_per_step, g.bands), f"int{g.affine.bits}", g.affine.exponent)
    need(g.values[g.input] == expected, f"input {g.input} must be {expected}")


def _check_op(g: NetGraph, op: Op, known: set[str]) -> None:
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
        need(isinstance(value, int) and low <= value <= high, f"{where}: {key} = {value} must lie in {low}..{high}")
    shapes = [g.values[i].shape for i in op.inputs]
    constants = _check_constants(g, op, where)
    try:
        shape = spec.out_shape(shapes, op.attrs, constants)
    except EdgernnError as error:
        raise EdgernnError(f"{where}: {error}") from None
    need(shape == g.values[op.output].shape, f"{where}: computes {shape}, declared {g.values[op.output].shape}")
    _check_types(g, op, where)


def _check_constants(g: NetGraph, op: Op, where: str) -> dict[str, tuple[int, ...]]:
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


def _check_types(g: NetGraph, op: Op, where: str) -> None:
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


def _roots(g: NetGraph) -> dict[str, str]:
    """For each value the one whose memory it lies in: slices lie in their operand."""
    roots = {g.input: g.input, **{s.read: s.read for s in g.states}}
    for op in g.ops:
        roots[op.output] = roots[op.inputs[0]] if op.kind in _VIEWS else op.output
    return roots


def _check_ends(g: NetGraph, known: set[str]) -> None:
    read = [s.read for s in g.states]
    need(len(set(read)) == len(read), "a state is declared twice")
    roots = _roots(g)
    for s in g.states:
        need(s.write in known, f"state {s.read}: written from unknown value {s.write}")
        need(roots[s.write] not in read, f"state {s.read}: written from state {roots[s.write]} itself; copy it by an operation")
        need(g.values[s.read] == g.values[s.write], f"state {s.read}: type changes from step to step")
    shape = g.output_shape
    need(g.logits in known and g.values[g.logits] == Value(shape, "int16", PREACT), f"logits must be int16 {shape} at 3*2^-13")
    need(
        g.posteriors in known and g.values[g.posteriors] == Value(shape, "int16", 15),
        f"{g.posteriors} must be int16 {shape} Q15",
    )
    need(roots[g.logits] == g.logits and roots[g.posteriors] == g.posteriors, "logits and posteriors cannot be slices")
    used = {f"{op.output}.{key}" for op in g.ops for key in PRIMITIVES[op.kind].constants}
    need(used == set(g.constants), f"constants nobody reads, or missing: {sorted(used ^ set(g.constants))[:3]}")
    for r in g.regions:
        need(r.first >= 0 and r.count >= 1 and r.first + r.count <= len(g.ops), f"region {r.name} lies outside the ops")
