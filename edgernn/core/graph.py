"""The quantized graph of a task: the net's structure, the signal path around it, and what comes out of both (SPEC.md, 7).

A graph object that exists is one that every backend can take: all names, shapes, types and ranges are checked when it
comes into being. How it lies in a file is `graph_file.py`'s subject.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_bytes
from edgernn.core.graph_checks import check_structure, need
from edgernn.core.graph_file import file_bytes, parse, structure_fields
from edgernn.core.primitives import Shape, check_scheme
from edgernn.core.structure import Structure, Value
from edgernn.errors import EdgernnError

Int16 = NDArray[np.int16]


@dataclass(frozen=True)
class Output:
    """What one step gives in the end: `width` entries of a NumPy dtype; names: what they are, one an entry, or one for all."""

    dtype: str
    width: int
    names: tuple[str, ...]


class SignalPath(ABC):
    """One stream through the definition of a signal path: samples to features, and the net's scores to the step's output."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything heard."""

    @abstractmethod
    def features(self, pcm: Int16) -> Int16:
        """PCM [n], whole frames -> normalised features [n // frame_samples, bands], continuing the stream."""

    @abstractmethod
    def finish(self, posteriors: Int16) -> NDArray[Any]:
        """Posteriors Q15 [S, scores] of the steps that `features` gave last -> outputs [S, width]."""


@dataclass(frozen=True, kw_only=True)
class NetGraph(Structure, ABC):
    """A net with its signal path and its task's decision: from PCM to what the task gives."""

    #: what the scores are called; empty where they have no names
    labels: tuple[str, ...] = ()

    #: what the graph file says it is for; None where the file says nothing, as the first ones did
    task: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        """Check the whole graph; see `graph_checks.py`."""
        check_scheme(self.scheme)
        self.check_task()
        check_structure(self, self.input_value, self.output_shape)

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

    @property
    @abstractmethod
    def output(self) -> Output:
        """What a step gives in the end."""

    @abstractmethod
    def path(self) -> SignalPath:
        """A new stream through the definition of the signal path."""

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
    def step_ms(self) -> float:
        """Milliseconds of audio in one step."""
        return 1000.0 / self.steps_per_second

    @property
    def table_bytes(self) -> int:
        """Bytes of the signal path's tables."""
        a = self.affine
        return sum(x.nbytes for x in (*self.task_tensors().values(), a.offset, a.gain))

    def to_bytes(self) -> bytes:
        """The graph file's bytes; the same in every process."""
        return file_bytes(self, self.task, self.task_tensors(), self.task_description())

    @property
    def id(self) -> str:
        """sha256 of the file's bytes, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def save(self, path: Path) -> str:
        """Write the file (whole or not at all); returns its id."""
        data = self.to_bytes()
        write_bytes(path, data)
        return hashlib.sha256(data).hexdigest()


def build_graph(data: bytes, where: str, kind: Callable[[Any], type[NetGraph]]) -> NetGraph:
    """Parse and check a graph file's bytes; `kind` gives the class for what the file says it is for.

    Anything wrong is an EdgernnError that begins with `where`.
    """
    try:
        description, tensors = parse(data)
        graph = kind(description.get("task")).from_parts(structure_fields(description, tensors), description, tensors)
        need(graph.to_bytes() == data, "not in canonical form, or with parts that this format does not have")
        return graph
    except EdgernnError as error:
        raise EdgernnError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise EdgernnError(f"{where}: damaged graph description ({type(error).__name__}: {error}); export it again") from None
