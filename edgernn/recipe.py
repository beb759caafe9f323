"""The recipe: one TOML that says everything about a model, from data to thresholds.

Every section is a frozen dataclass; a key that is not a field is an error that names the nearest valid one, and all
errors are reported at once. The resolved recipe is kept in the run folder and inside the checkpoint.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from edgernn.cells import all_cells
from edgernn.data.augment import AugmentConfig
from edgernn.errors import EdgernnError
from edgernn.features import FrontEndParams
from edgernn.primitives import check_scheme


@dataclass(frozen=True)
class LayerSpec:
    """One layer: its cell and the cell's options, completed with their defaults."""

    cell: str
    options: Mapping[str, int]


@dataclass(frozen=True)
class TrainParams:
    """How to train. Times in epochs unless said otherwise."""

    epochs: int = 60
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 2e-2
    warmup: float = 0.15  #: share of the run in which the rate rises; it then falls as a cosine
    clip_norm: float = 1.0  #: gradients longer than this are shortened to it
    label_smoothing: float = 0.05
    sigmoid_loss: float = 0.3  #: weight of the per-label binary loss that calibrates the posteriors
    dropout: float = 0.1  #: on the input of each recurrent layer
    patience: int = 0  #: stop after this many epochs without a better validation score; 0: never
    average: float = 0.999  #: decay of the moving average of the weights per step (what is validated and kept); 0: off
    variants: int = 12  #: augmented copies of each clip prepared before training
    carried: float = 0.3  #: share of clips that follow other sound without a reset
    context_s: float = 0.6  #: longest such preceding sound, seconds
    silence: float = 0.08  #: silence clips (cuts of noise) per training clip
    speech: float = 0.08  #: cuts of running speech per training clip, as unknown words
    time_masks: int = 1
    time_mask_frames: int = 6
    band_masks: int = 1
    band_mask_bands: int = 6
    tilt: float = 0.15  #: random spectral slope and bend, in standard deviations of a band
    distill: float = 0.6  #: share of the target that teachers give, where `edgernn train --teacher` names some
    mixup: float = 0.0  #: Beta(a, a) parameter; 0: off
    threads: int = 1


@dataclass(frozen=True)
class QuantizeParams:
    """How to go to integers. Streams are cut from training audio and run with carried state."""

    scheme: str = "int8x16"
    streams: int = 32
    stream_seconds: float = 20.0

    def __post_init__(self) -> None:
        """A scheme that does not exist is told before training."""
        check_scheme(self.scheme)


@dataclass(frozen=True)
class DecisionParams:
    """Posteriors to events. Times in ms are rounded up to steps."""

    smoothing_ms: float = 200.0
    refractory_ms: float = 800.0
    clip_ms: float = 600.0  #: a clip's label is the argmax of the logits summed over its last so many ms
    threshold: float = 0.7


@dataclass(frozen=True)
class DataParams:
    """What to learn and from what. Each source is a table: `kind` and that kind's options (`edgernn/data/sources`).

    A path may name an environment variable as ${NAME}. clip_seconds 0: one second, or the longest keyword clip.
    """

    keywords: tuple[str, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()
    clip_seconds: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A whole model: one field a section."""

    name: str = "kws"
    seed: int = 0
    data: DataParams = field(default_factory=DataParams)
    frontend: FrontEndParams = field(default_factory=FrontEndParams)
    layers: tuple[LayerSpec, ...] = ()
    train: TrainParams = field(default_factory=TrainParams)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    quantize: QuantizeParams = field(default_factory=QuantizeParams)
    decision: DecisionParams = field(default_factory=DecisionParams)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every default spelled out."""
        return recipe_dict(self)

    @property
    def frames_per_step(self) -> int:
        """Front-end frames one step of the net consumes."""
        first = self.layers[0]
        return all_cells()[first.cell].frames(first.options)

    def steps(self, milliseconds: float) -> int:
        """Milliseconds to whole steps, rounded up, at least 1."""
        step = self.frontend.hop * self.frames_per_step / self.frontend.sample_rate
        return max(1, -int(-milliseconds / 1000.0 // step))


def read_recipe(path: Path) -> dict[str, Any]:
    """The values of a recipe file, not yet checked."""
    try:
        return tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise EdgernnError(f"cannot read recipe {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EdgernnError(f"recipe {path} is not valid TOML: {error}") from None


def make_recipe(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe for keyword spotting from plain values; every problem in one error."""
    return build_recipe(Recipe, values, where)


AnyRecipe = TypeVar("AnyRecipe")


def build_recipe(kind: type[AnyRecipe], values: Mapping[str, Any], where: str) -> AnyRecipe:
    """A recipe of a task, a dataclass with one field a section and the field `layers`; every problem in one error."""
    problems: list[str] = []
    layers = _layers(values.get("layers", []), problems)
    rest = {k: v for k, v in values.items() if k != "layers"}
    recipe = _section(kind, rest, "", problems)
    if problems or recipe is None:
        raise EdgernnError(f"{where}: " + "; ".join(problems))
    return kind(**{**{f.name: getattr(recipe, f.name) for f in fields(recipe)}, "layers": layers})


def recipe_dict(recipe: Any) -> dict[str, Any]:
    """A recipe as plain JSON types, every default spelled out."""
    return {**asdict(recipe), "layers": [{"cell": x.cell, **x.options} for x in recipe.layers]}


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
    problems.append(f"{prefix.removesuffix('.')} = {value!r} must be a table")
    return None


def _required(f: Any) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _unknown(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    return f"unknown key {path}, " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")


def _typed(value: Any, hint: Any, path: str, problems: list[str]) -> Any:
    """Check a scalar or pair against its annotation; an int is accepted where a float is wanted."""
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint == tuple[float, float]:
        if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(v, (int, float)) for v in value):
            return (float(value[0]), float(value[1]))
        problems.append(f"{path} = {value!r} must be two numbers")
    elif hint == tuple[str, ...] or hint == tuple[Mapping[str, Any], ...]:
        item = str if hint == tuple[str, ...] else Mapping
        if isinstance(value, (list, tuple)) and all(isinstance(v, item) for v in value):
            return tuple(value)
        problems.append(f"{path} must be a list of {'texts' if item is str else 'tables'}")
    elif hint in (int, float, str) and (not isinstance(value, hint) or isinstance(value, bool)):
        problems.append(f"{path} = {value!r} must be {'an integer' if hint is int else 'a ' + hint.__name__}")
    return value


def _layers(tables: Any, problems: list[str]) -> tuple[LayerSpec, ...]:
    if not isinstance(tables, (list, tuple)) or not tables:
        problems.append("layers is missing: give at least one [[layers]] table with a cell")
        return ()
    return tuple(x for i, table in enumerate(tables) if (x := _layer(dict(table), i, problems)))


def _layer(table: dict[str, Any], index: int, problems: list[str]) -> LayerSpec | None:
    where, name = f"layers[{index}]", table.pop("cell", None)
    if name not in all_cells():
        problems.append(f"{where}.cell = {name!r} is unknown, known: {', '.join(all_cells())}")
        return None
    cell = all_cells()[name]
    problems += [_unknown(f"{where}.{k}", k, list(cell.options)) for k in table if k not in cell.options]
    problems += [f"{where}.{k} = {v!r} must be an integer" for k, v in table.items() if type(v) is not int]
    problems += [f"{where}.{k} is missing" for k, v in cell.options.items() if v is None and k not in table]
    options = {**cell.options, **table}
    if any(type(v) is not int for v in options.values()):
        return None
    wrong = cell.check(options)
    if wrong:
        problems.append(f"{where}: {wrong}")
    if index > 0 and cell.frames(options) > 1:
        problems.append(f"{where}: only the first layer may have a stride above 1")
    return LayerSpec(name, options)
