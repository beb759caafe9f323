"""The door of a task: what the verbs, the C export, the gate and the command line ask it, and nothing more.

A task is one folder in `edgernn/tasks/` whose `__init__.py` defines TASK, an object of a subclass of `Task`. Importing it
must stay cheap: NumPy, torch and the task's own parts are imported inside its methods.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgernn.errors import EdgernnError
from edgernn.ranges import check_ranges
from edgernn.reports.parts import Section
from edgernn.show import Shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgernn.core.floatnet import FloatNet
    from edgernn.core.graph import NetGraph
    from edgernn.core.trace import Trace
    from edgernn.data.corpus import Dataset
    from edgernn.outcomes import Outcome
    from edgernn.recipe import Recipe

    Int16 = NDArray[np.int16]

Progress = Callable[[str, int, int], None]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Option:
    """An option that a task adds to verbs: `--name`, its type (bool: a flag), its help, its range, and the verbs that take it.

    many: it may be given more than once. The verb "whole" is the task's own verb for all of them in turn.
    """

    name: str
    kind: type
    help: str
    verbs: tuple[str, ...]
    many: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Whole:
    """A task's verb for everything in turn, from data to the emulated board; recipe and folder are its defaults."""

    verb: str
    recipe: str
    folder: str
    help: str


@dataclass(frozen=True)
class Figure:
    """A figure that the gate compares: +1 when more is better, else -1; the tolerance in the figure's own unit, or relative.

    points: it is a share, and its tolerance is shown in percentage points. group: the tolerance of each group of its outcomes,
    such as a label, where groups are judged too.
    """

    better: int
    tolerance: float
    relative: bool = False
    points: bool = False
    group: float | None = None


#: what every task's runs are compared by
COMMON: dict[str, Figure] = {
    "weight_bytes": Figure(-1, 0.0, relative=True),
    "graph_bytes": Figure(-1, 0.01, relative=True),
    "tensor_snr_db": Figure(+1, 3.0),
    "latency_ms": Figure(-1, 0.0, relative=True),
    "mmacs_per_second": Figure(-1, 0.01, relative=True),
    "flash_bytes": Figure(-1, 0.01, relative=True),
    "ram_bytes": Figure(-1, 0.0, relative=True),
    "state_bytes": Figure(-1, 0.0, relative=True),
    "stack_bytes": Figure(-1, 0.1, relative=True),
    "instructions_per_step": Figure(-1, 0.01, relative=True),
    "cycles_per_step": Figure(-1, 0.02, relative=True),
    "file_bytes": Figure(-1, 0.01, relative=True),
    "arena_bytes": Figure(-1, 0.01, relative=True),
}
#: what every task's stream without a reset is judged by, see `drift_figures`; 3 dB are an error 1.4 times as large
DRIFT = {
    "stream_snr_db": Figure(+1, 3.0), "stream_worst_minute_snr_db": Figure(+1, 3.0), "stream_state_snr_db": Figure(+1, 3.0),
    "stream_saturated": Figure(-1, 0.005, points=True),
}  # fmt: skip


def drift_figures(stream: Values) -> dict[str, float]:
    """The figures of `drift.drift`: SNR of the logits, whole and in the worst minute, of the worst state; most saturation."""
    found = {"stream_snr_db": stream["whole"]["logits"], "stream_saturated": max(stream["saturated"].values(), default=0.0)}
    states = [x for name, x in stream["whole"].items() if name != "logits"]
    if states:
        found["stream_state_snr_db"] = min(states)
    found["stream_worst_minute_snr_db"] = min(minute["logits"] for minute in stream["minutes"])
    return found


@dataclass(frozen=True)
class Member:
    """A member of the C state struct: an array of `count` entries of `ctype`, or with count 0 a single one."""

    ctype: str
    name: str
    count: int


@dataclass(frozen=True)
class StateMembers:
    """What a task's state struct holds beside the net's own.

    first: the widest types; scratch: in the union with the net's arena; padded: what is read word by word, each begins at a
    multiple of four bytes; last: the rest, widest types first.
    """

    first: tuple[Member, ...] = ()
    scratch: tuple[Member, ...] = ()
    padded: tuple[Member, ...] = ()
    last: tuple[Member, ...] = ()


@dataclass(frozen=True)
class CInterface:
    """A task's C: default prefix of every name and file, its sources in `firmware_export/runtime`, its examples.

    Its template (the macros that fill the skeletons) and its harness are files named like the task in `firmware_export`, or
    in the task's own folder.
    """

    prefix: str
    sources: tuple[str, ...]
    examples: tuple[str, ...] = ("main.c",)
    #: files of the runtime that a TFLM project around the net needs
    tflm_sources: tuple[str, ...] = ()
    #: a step gives as many samples as it takes, not something to be told
    gives_sound: bool = False

    def header(self, prefix: str = "") -> str:
        """The generated header's file, named like its prefix so that two models can lie in one folder."""
        return f"{prefix or self.prefix}.h"


@dataclass(frozen=True)
class Material:
    """What runtimes are compared on: clips, each from reset, and one stream; split names it.

    extras: further figures of a runtime from its traces (of the clips, of the stream) and the definition's.
    """

    stream: Int16
    split: str
    clips: Sequence[Int16] = ()
    extras: Callable[[Traces, Traces], dict[str, Any]] = lambda own, definition: {}


Traces = tuple[Sequence["Trace"], "Trace"]


@dataclass(frozen=True)
class Question:
    """What `edgernn simulate` was asked: the split to judge, seconds of the stream without a reset, runtime, and options.

    count: how much to judge where there is a choice; 0: as much as the task thinks right.
    """

    split: str = "test"
    seconds: float = 600.0
    runtime: str = "auto"
    count: int = 0
    options: Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Everything is checked before anything is spent."""
        check_ranges("", self, {"seconds": (1, 1e6), "count": (0, 1e6)})


class Task(ABC):
    """See the module docstring. Folders are run folders; every sound is int16 PCM [n] at the recipe's sample rate."""

    whole: ClassVar[Whole]
    #: what the whole verb asks `judge`
    whole_question: ClassVar[Question] = Question()
    options: ClassVar[tuple[Option, ...]] = ()
    c: ClassVar[CInterface]
    #: what the gate compares beside sizes and counts, by the names that `figures` gives
    gated: ClassVar[Mapping[str, Figure]] = {}
    #: what its models are called in messages, with the article
    noun: ClassVar[str]

    @property
    def name(self) -> str:
        """That of its folder."""
        return type(self).__module__.rsplit(".", 1)[-1]

    @property
    def known_figures(self) -> Mapping[str, Figure]:
        """Every figure that the gate compares, by name."""
        return {**COMMON, **self.gated}

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return Path(str(sys.modules[type(self).__module__].__file__)).parent

    def template(self) -> Path:
        """The macros that fill the C skeletons."""
        return self._file(f"{self.name}.jinja", "templates")

    def harness(self) -> Path:
        """The C that lets the test firmware and the host call its step."""
        return self._file(f"{self.name}.c", "harness")

    def _file(self, name: str, folder: str) -> Path:
        own = self.folder / name
        return own if own.is_file() else Path(str(files("firmware_export"))) / folder / name

    def commands(self) -> Mapping[str, Callable[..., None]]:
        """Verbs of its own, by name, as typer takes them."""
        return {}

    # Recipe and net ---------------------------------------------------------------------------

    @abstractmethod
    def recipe_class(self) -> type[Recipe]:
        """The dataclass of its recipes."""

    def check_recipe(self, recipe: Recipe, where: str) -> None:
        """What no section can tell alone; a mistake is an EdgernnError that begins with `where`."""
        return

    def adapted(self, recipe: Recipe, options: Values) -> Recipe:
        """The recipe with what the options of `data` and of the whole verb change in it."""
        return recipe

    def check_data(self, recipe: Recipe) -> None:
        """Refuse a recipe that names too little to learn from."""
        if not recipe.sources:
            raise EdgernnError("the recipe names no data: give at least one [[data.sources]] table")

    def clip_seconds(self, recipe: Recipe) -> float | None:
        """The length that classified clips are padded to; None: no clips are classified, or by their lengths."""
        return None

    @abstractmethod
    def graph_class(self) -> type[NetGraph]:
        """The class of its graphs."""

    # Verbs ------------------------------------------------------------------------------------

    def before_training(self, recipe: Recipe, options: Values) -> None:
        """Refuse options of `train` that cannot be met, before an hour of recordings is read."""
        return

    @abstractmethod
    def train(
        self, recipe: Recipe, dataset: Dataset, folder: Path, progress: Progress, device: str, options: Values
    ) -> FloatNet[Any]:
        """Train into the run folder; resumes what was interrupted."""

    @abstractmethod
    def calibration(self, net: FloatNet[Any], dataset: Dataset) -> list[Int16]:
        """Streams of training audio as Q9 log-energies [T, bands], of equal lengths."""

    def tuned(self, net: FloatNet[Any], graph: NetGraph, dataset: Dataset) -> NetGraph:
        """The graph with what is set by its own integers, such as thresholds; as it is where there is no such thing."""
        return graph

    @abstractmethod
    def lowered(self, net: FloatNet[Any], parts: dict[str, Any]) -> NetGraph:
        """The graph of the net's lowered fields."""

    #: what its graphs call the sigmoids of the logits
    posteriors: ClassVar[str] = "posteriors"

    @abstractmethod
    def judge(
        self, net: FloatNet[Any], graph: NetGraph, dataset: Dataset, question: Question, progress: Progress
    ) -> dict[str, Any]:
        """Float against integer; `runtime` is the name of the one that was used."""

    @abstractmethod
    def material(self, net: FloatNet[Any], graph: NetGraph, dataset: Dataset, split: str, seconds: float) -> Material:
        """What runtimes are compared on."""

    @abstractmethod
    def sound(self, graph: NetGraph, dataset: Dataset) -> Int16:
        """Some seconds of the test split for an emulated core, at the graph's rate."""

    @abstractmethod
    def figures(self, simulated: Values) -> tuple[str, dict[str, float]]:
        """What a result of `judge` was judged on, and its figures by their names in `gated`."""

    def outcomes(self, simulated: Values) -> dict[str, Outcome]:
        """Item by item what became of a result's figures, by their names in `gated`; those that `judge` put there."""
        from edgernn.outcomes import read_outcome

        return {name: read_outcome(values) for name, values in simulated.get("outcomes", {}).items()}

    @abstractmethod
    def summary(self, simulated: Values) -> dict[str, Any]:
        """The part of `summary.json` that says how good the model is."""

    @abstractmethod
    def heard(self, graph: NetGraph, output: NDArray[Any], begin: int) -> Any:
        """What people get of the outputs [S, width] of steps `begin` and on: events, samples, activity, .."""

    def heard_last(self, graph: NetGraph, process: Callable[[Int16], NDArray[Any]], begin: int) -> list[Any]:
        """What has begun and is not over when a stream ends after `begin` steps; process takes PCM to outputs."""
        return []

    # For people -------------------------------------------------------------------------------

    @abstractmethod
    def show_simulated(self, r: Values) -> Shown:
        """A result of `judge` as tables and lines."""

    @abstractmethod
    def show_summary(self, s: Values) -> list[list[Any]]:
        """Rows (what, result) of how good the model is."""

    @abstractmethod
    def next_steps(self, folder: str, graph: str) -> list[str]:
        """Commands to go on with."""

    # Pages ------------------------------------------------------------------------------------

    def verdict(self, simulated: Values) -> list[str]:
        """What a result of `judge` means, in plain sentences."""
        return []

    def sections(self, run: Any) -> Iterator[Section]:
        """Its own sections of `edgernn report`. run: an `edgernn.reports.facts.Facts` with results of `judge`."""
        yield Section("Float against int8", list(self.show_simulated(run.simulated)))

    def live_script(self) -> str:
        """JavaScript, one expression: what the page makes of its outputs (docs/report.md); empty: it shows the scores alone."""
        path = self.folder / "live.js"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def live_marks(self, graph: NetGraph) -> list[tuple[int, int]]:
        """Thresholds that the page draws: the score's index, and the value in Q15."""
        return []

    # C ----------------------------------------------------------------------------------------

    @abstractmethod
    def members(self, graph: NetGraph) -> StateMembers:
        """What the C state struct holds beside the net."""

    def arrays(self, graph: NetGraph) -> dict[str, NDArray[Any]]:
        """Constant arrays beside weights and tables that the user may tune, by name; no checksum covers them."""
        return {}

    # Options ----------------------------------------------------------------------------------

    def options_of(self, verb: str) -> Iterator[Option]:
        """Those it adds to a verb."""
        return (o for o in self.options if verb in o.verbs)
