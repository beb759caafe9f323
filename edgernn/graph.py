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
from edgernn.graph_checks import check_frontend, check_graph, need
from edgernn.primitives import LINEAR_CONSTANTS, PREACT, Shape
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
        """Check the whole graph; see `edgernn/graph_checks.py`."""
        check_graph(self)

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
    def input_value(self) -> Value:
        """What the input must be: the features as the affine leaves them."""
        return Value((self.frames_per_step, self.bands), f"int{self.affine.bits}", self.affine.exponent)

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
        check_frontend(self)


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
