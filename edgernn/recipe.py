"""The recipe: one TOML that says everything about a model, from data to thresholds; here what every task's recipe shares.

Every section is a frozen dataclass; a key that is not a field is an error that names the nearest valid one, and all
errors are reported at once. The resolved recipe is kept in the run folder and inside the checkpoint.
"""

from __future__ import annotations

import difflib
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

from edgernn.cells import all_cells, make_layers
from edgernn.core.cell import FLAGS, Layer, LayerSpec
from edgernn.core.primitives import check_scheme
from edgernn.errors import EdgernnError
from edgernn.ranges import check_ranges as check_ranges
from edgernn.ranges import is_number, shown

#: a layer's sizes and the number of layers end here: beyond it no graph has room for the net
LARGEST_SIZE, MOST_LAYERS = 4096, 64


@dataclass(frozen=True)
class TrainParams:
    """How to train; a task adds to it. Times in epochs unless said otherwise."""

    epochs: int = 60
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    warmup: float = 0.1  #: share of the run in which the rate rises; it then falls as a cosine
    clip_norm: float = 1.0  #: gradients longer than this are shortened to it
    average: float = 0.999  #: decay of the moving average of the weights per step (what is validated and kept); 0: off
    threads: int = 1

    #: least and largest value of each number; a task's section has more of them
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "epochs": (1, 100_000), "batch": (1, 65_536), "learning_rate": (1e-9, 10), "weight_decay": (0, 10),
        "warmup": (0, 1), "clip_norm": (1e-6, 1e6), "average": (0, 0.999999), "threads": (1, 1024),
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Everything is checked before anything is spent."""
        check_ranges("train", self, self.RANGES)


@dataclass(frozen=True)
class QuantizeParams:
    """How to go to integers. Streams are cut from training audio and run with carried state."""

    scheme: str = "int8x16"
    streams: int = 32
    stream_seconds: float = 20.0

    def __post_init__(self) -> None:
        """A scheme that does not exist is told before training."""
        check_scheme(self.scheme)
        check_ranges("quantize", self, {"streams": (1, 4096), "stream_seconds": (0.1, 3600)})


@dataclass(frozen=True)
class SourceParams:
    """What to learn from: a table a source, `kind` and that kind's options (`edgernn/data/sources`).

    A path may name an environment variable as ${NAME}.
    """

    sources: tuple[Mapping[str, Any], ...] = ()


MOST_LOST = 1e9  #: a tolerance beyond it would let anything pass


@dataclass(frozen=True)
class GateParams:
    """How `edgernn check` judges runs of this recipe; what is said here goes before what the baseline says.

    A model does not depend on it: a run folder takes another one, and goes on with its training.
    """

    level: float = 0.0  #: of losses that are none, so many may fail; 1: tolerances alone decide; 0: as the baseline says
    tolerances: Mapping[str, float] = field(default_factory=dict)  #: by the figure's name; `NAME[]`: of each word or class

    def __post_init__(self) -> None:
        """A chance, and losses that are neither below 0 nor such that nothing could fail."""
        check_ranges("gate", self, {"level": (0, 1)})
        wrong = [f"gate.tolerances.{name} = {x:g}" for name, x in self.tolerances.items() if not 0 <= x <= MOST_LOST]
        if wrong:
            raise EdgernnError(f"{', '.join(wrong)} must lie in 0..{MOST_LOST:g}")


class SignalParams(Protocol):
    """What every signal path's parameters say."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def hop(self) -> int:
        """New samples a frame."""

    @property
    def bands(self) -> int:
        """Features of a frame."""

    @property
    def tables_type(self) -> type[Any]:
        """The class of its tables, whose fields are arrays."""


@dataclass(frozen=True)
class Recipe(ABC):
    """What every task's recipe has; a task adds its sections, one field each."""

    name: str = ""
    task: str = ""
    seed: int = 0
    layers: tuple[LayerSpec, ...] = ()
    train: TrainParams = field(default_factory=TrainParams)
    quantize: QuantizeParams = field(default_factory=QuantizeParams)
    gate: GateParams = field(default_factory=GateParams, compare=False)

    def __post_init__(self) -> None:
        """The name is a line of text, the seed one that every generator takes."""
        check_ranges("", self, {"seed": (0, 2**32 - 1)})
        check_text("name", self.name)

    @property
    @abstractmethod
    def signal(self) -> SignalParams:
        """The signal path the net hears through."""

    @property
    @abstractmethod
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        """The tables of [[data.sources]]."""

    @property
    def keywords(self) -> tuple[str, ...]:
        """The words to learn, where the task has any."""
        return ()

    @abstractmethod
    def scores(self, labels: Sequence[str]) -> int:
        """Scores that the head gives each row."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every default spelled out: what a model follows from."""
        values = {**asdict(self), "layers": [{"cell": x.cell, **x.options} for x in self.layers]}
        del values["gate"]
        return values

    def kept(self) -> dict[str, Any]:
        """`to_dict`, and how runs are judged where the recipe says it: what a run folder keeps."""
        return {**self.to_dict(), **({"gate": asdict(self.gate)} if self.gate != GateParams() else {})}

    def net_layers(self, labels: Sequence[str]) -> list[Layer]:
        """The layers and the head."""
        return make_layers(self.layers, self.signal.bands, self.scores(labels))

    @property
    def frames_per_step(self) -> int:
        """Frames one step of the net consumes: as the first layer says."""
        first = self.layers[0]
        return all_cells()[first.cell].frames(first.options)

    @property
    def rows(self) -> int:
        """Rows of the net's output."""
        rows = 1
        for layer in self.layers:
            rows = all_cells()[layer.cell].rows(layer.options, rows)
        return rows

    def steps(self, milliseconds: float) -> int:
        """Milliseconds to whole steps, rounded up, at least 1."""
        step = self.signal.hop * self.frames_per_step / self.signal.sample_rate
        return max(1, -int(-milliseconds / 1000.0 // step))


def check_text(what: str, text: str) -> None:
    """A name is one line of some length, in UTF-8."""
    if not text.strip() or len(text) > 200 or any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in text):
        raise EdgernnError(f"{what} = {text!r} must be one line of 1 to 200 characters")


RecipeT = TypeVar("RecipeT", bound=Recipe)


def read_recipe(path: Path) -> dict[str, Any]:
    """The values of a recipe file, not yet checked."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise EdgernnError(f"cannot read recipe {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise EdgernnError(f"recipe {path} is not valid TOML: {error}") from None


def build_recipe(kind: type[RecipeT], values: Mapping[str, Any], where: str) -> RecipeT:
    """A recipe of a task, a dataclass with one field a section and the field `layers`; every problem in one error."""
    problems: list[str] = []
    layers = _layers(values.get("layers", []), problems)
    rest = {k: v for k, v in values.items() if k != "layers"}
    recipe = _section(kind, rest, "", problems)
    if problems or recipe is None:
        raise EdgernnError(f"{where}: " + "; ".join(problems))
    return kind(**{**{f.name: getattr(recipe, f.name) for f in fields(recipe)}, "layers": layers})


def build_gate(values: Mapping[str, Any], where: str) -> GateParams:
    """The table gate of a recipe's plain values, whatever else stands in them; every problem in one error."""
    problems: list[str] = []
    own = _nested(GateParams, values.get("gate", {}), "gate.", problems)
    if problems or own is None:
        raise EdgernnError(f"{where}: " + "; ".join(problems))
    found: GateParams = own
    return found


def _section(kind: type[Any], values: Mapping[str, Any], prefix: str, problems: list[str]) -> Any:
    """Build one dataclass from a table, collecting problems; None when it cannot be built."""
    hints, known = get_type_hints(kind), {f.name: f for f in fields(kind)}
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            problems.append(_unknown(prefix + key, key, list(known)))
        elif is_dataclass(hints[key]):
            arguments[key] = _nested(hints[key], value, f"{prefix}{key}.", problems)
        else:
            arguments[key] = _typed(value, hints[key], prefix + key, problems)
    problems += [f"{prefix}{f.name} is missing" for f in known.values() if _required(f) and f.name not in values]
    if problems:
        return None
    try:
        return kind(**arguments)
    except EdgernnError as error:
        problems.append(str(error))
        return None


def _nested(kind: type[Any], value: Any, prefix: str, problems: list[str]) -> Any:
    if isinstance(value, Mapping):
        return _section(kind, value, prefix, problems)
    problems.append(f"{prefix.removesuffix('.')} = {shown(value)} must be a table")
    return None


def _required(f: Any) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _unknown(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    return f"unknown key {path}, " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")


def _typed(value: Any, hint: Any, path: str, problems: list[str]) -> Any:
    """Check a scalar or pair against its annotation; an int is accepted where a float is wanted, NaN and infinity nowhere."""
    if hint is float and is_number(value):
        return float(value)
    if hint == tuple[float, float]:
        if isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value)):
            return (float(value[0]), float(value[1]))
        problems.append(f"{path} = {shown(value)} must be two numbers")
    elif hint == tuple[str, ...] or hint == tuple[Mapping[str, Any], ...]:
        item = str if hint == tuple[str, ...] else Mapping
        if isinstance(value, (list, tuple)) and all(isinstance(v, item) for v in value):
            return tuple(value)
        problems.append(f"{path} must be a list of {'texts' if item is str else 'tables'}")
    elif hint == Mapping[str, float]:
        if isinstance(value, Mapping) and all(map(is_number, value.values())):
            return {name: float(x) for name, x in value.items()}
        problems.append(f"{path} = {shown(value)} must be a table of finite numbers")
    elif type(value) is not hint:
        problems.append(f"{path} = {shown(value)} must be {_KINDS.get(hint, f'of another kind ({hint})')}")
    return value


_KINDS = {int: "an integer", float: "a finite float", str: "a text", bool: "true or false"}


def _layers(tables: Any, problems: list[str]) -> tuple[LayerSpec, ...]:
    if not isinstance(tables, (list, tuple)) or not tables:
        problems.append("layers is missing: give at least one [[layers]] table with a cell")
        return ()
    if len(tables) > MOST_LAYERS or not all(isinstance(table, Mapping) for table in tables):
        problems.append(f"layers must be at most {MOST_LAYERS} tables")
        return ()
    return tuple(x for i, table in enumerate(tables) if (x := _layer(dict(table), i, problems)))


def _layer(table: dict[str, Any], index: int, problems: list[str]) -> LayerSpec | None:
    where, name = f"layers[{index}]", table.pop("cell", None)
    if not isinstance(name, str) or name not in all_cells():
        problems.append(f"{where}.cell = {shown(name)} is unknown, known: {', '.join(all_cells())}")
        return None
    cell = all_cells()[name]
    problems += [_unknown(f"{where}.{k}", k, list(cell.options)) for k in table if k not in cell.options]
    problems += [f"{where}.{k} = {shown(v)} must be an integer" for k, v in table.items() if type(v) is not int]
    problems += [f"{where}.{k} is missing" for k, v in cell.options.items() if v is None and k not in table]
    options = {**cell.options, **table}
    if any(type(v) is not int for v in options.values()):
        return None
    largest = {k: 1 if k in FLAGS else LARGEST_SIZE for k in options}
    problems += [
        f"{where}.{k} = {shown(v)} must lie in 0..{largest[k]}" for k, v in options.items() if not 0 <= v <= largest[k]
    ]
    wrong = cell.check(options)
    if wrong:
        problems.append(f"{where}: {wrong}")
    if index > 0 and cell.frames(options) > 1:
        problems.append(f"{where}: only the first layer may have a stride above 1")
    return LayerSpec(name, options)
