"""The Python face: what `import edgernn` offers. Models as objects that hear sound, and the verbs over run folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn import pipeline
from edgernn.core.graph import NetGraph
from edgernn.runs import find_graph
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal.audio import Int16, to_int16
from edgernn.signal.condition import in_other_units
from edgernn.tasks import load_graph, task_of
from edgernn.tasks.base import Question

Sound = NDArray[np.int16] | NDArray[np.floating[Any]]
Progress = Callable[[str, int, int], None]


def _quiet(stage: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""


def load(where: str | Path, scheme: str | None = None, runtime: str = "auto") -> Model:
    """The quantized model of a graph file (.ern), of a run folder, or of a model that comes along, by its name.

    scheme: of a run folder's graphs, "int8x16" or "int8"; default: its recipe's. runtime: "c", "numpy" or another one that is
    installed; "auto": C where this machine has a compiler, else NumPy. A missing or damaged file is an EdgernnError.
    """
    return Model(load_graph(find_graph(Path(where), scheme)), runtime)


class Model:
    """A quantized model: what it is, and streams that run it. The bits are those of every board.

    graph: everything about it, for the curious; see SPEC.md.
    """

    def __init__(self, graph: NetGraph, runtime: str = "auto") -> None:
        self.graph = graph
        self._runtime = fast_runtime() if runtime == "auto" else runtime

    @property
    def id(self) -> str:
        """sha256 of the graph file, hex."""
        return self.graph.id

    @property
    def name(self) -> str:
        """Its recipe's name."""
        return self.graph.name

    @property
    def task(self) -> str:
        """What it was trained for."""
        return task_of(self.graph).name

    @property
    def labels(self) -> tuple[str, ...]:
        """What its scores are called; empty where they have no names."""
        return self.graph.labels

    @property
    def sample_rate(self) -> int:
        """Hz, of every sound that goes in or comes out."""
        return self.graph.sample_rate

    @property
    def step_samples(self) -> int:
        """Samples of one step."""
        return self.graph.step_samples

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency in ms."""
        return self.graph.latency_ms

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights, biases, multipliers and shifts."""
        return self.graph.weight_bytes

    def stream(self) -> Stream:
        """A new stream; several may run side by side."""
        return Stream(self.graph, self._runtime)

    def __call__(self, sound: Sound) -> Any:
        """A whole sound from reset: what `Stream.push` gives for it, and `Stream.finish`."""
        stream = self.stream()
        heard = stream.push(sound)
        last = stream.finish()
        return heard + last if last else heard

    def __repr__(self) -> str:
        return f"<edgernn.Model {self.name}: {self.task}, {self.weight_bytes} bytes of weights, {self.id[:12]}>"


class Stream:
    """One stream of sound through a model; it carries its state from push to push."""

    def __init__(self, graph: NetGraph, runtime: str) -> None:
        self._graph, self._task = graph, task_of(graph)
        self._runtime = make_runtime(runtime, graph)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._runtime.reset()
        self._left, self._steps = np.zeros(0, np.int16), 0

    def push(self, sound: Sound) -> Any:
        """The next samples, int16 or float in -1..1, mono, any number of them -> what the model makes of the steps they fill.

        Its task says what that is: docs/python.md shows each. Samples that do not fill a step wait for the next push.
        """
        pcm = _as_int16(sound)
        if len(self._left) or len(pcm) % self._graph.step_samples:
            pcm = np.concatenate([self._left, pcm])
            whole = len(pcm) // self._graph.step_samples * self._graph.step_samples
            pcm, self._left = pcm[:whole], pcm[whole:]
        output = self._runtime.process(pcm)
        begin, self._steps = self._steps, self._steps + len(output)
        return self._task.heard(self._graph, output, begin)

    def finish(self) -> list[Any]:
        """What had begun when the sound ended and is told only when it is over, such as an event; then reset the stream."""
        last = self._task.heard_last(self._graph, self._runtime.process, self._steps)
        self.reset()
        return last


def _as_int16(sound: Sound) -> Int16:
    x: NDArray[Any] = np.asarray(sound)
    if x.ndim != 1:
        raise ValueError(f"sound of shape {x.shape}; push mono samples, [n]")
    if x.dtype == np.int16:
        return x
    if np.issubdtype(x.dtype, np.floating):
        if units := in_other_units(float(np.abs(x).max(initial=0.0))):
            raise ValueError(f"the sound holds {units}")
        return to_int16(x)
    raise ValueError(f"sound of dtype {x.dtype}; push int16, or float in -1..1")


# Verbs over run folders ---------------------------------------------------------------------------


def prepare(recipe: str | Path, run: str | Path, seed: int = 0, progress: Progress = _quiet, **options: Any) -> str:
    """Collect a recipe's data into a run folder (`edgernn data`); returns the dataset's id. options: the task's own."""
    chosen = pipeline.chosen_recipe(str(recipe), "data", options, seed)
    return pipeline.prepare_data(chosen, Path(run), progress).id


def train(run: str | Path, device: str = "auto", progress: Progress = _quiet, **options: Any) -> dict[str, Any]:
    """Train on a run folder's data, or go on where it was interrupted (`edgernn train`)."""
    return pipeline.train_model(Path(run), progress, device, options)


def quantize(run: str | Path, scheme: str | None = None) -> dict[str, Any]:
    """A run folder's checkpoint to an integer graph (`edgernn quantize`)."""
    return pipeline.quantize_model(Path(run), scheme)


def simulate(
    run: str | Path, scheme: str | None = None, split: str = "test", seconds: float = 600.0, progress: Progress = _quiet,
    **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Float against integer, by what the run's task is judged by (`edgernn simulate`)."""
    return pipeline.simulate_model(Path(run), progress, scheme, Question(split, seconds, options=options))


def export(
    where: str | Path, out: str | Path, form: str = "c", scheme: str | None = None, prefix: str = "", package: str = ""
) -> list[Path]:
    """A run folder's graph, a graph file or a model as "c", "tflite" or "onnx" (`edgernn export`); returns the files written.

    package: the framework ("arduino", ..) that the C becomes a library for, in a folder of its own name in `out`.
    """
    options = pipeline.ExportOptions(prefix, package=package)
    result = pipeline.export_graph(Path(where), Path(out), form, scheme, options)
    return [Path(f) for f in result["files"]]
