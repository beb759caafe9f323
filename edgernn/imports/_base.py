"""What every reader makes of a file: a chain of parts, checked and turned into recipe layers and weights."""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.cell import Floats, LayerSpec
from edgernn.errors import EdgernnError, needs_extra

Arrays = Mapping[str, NDArray[Any]]
MOST_VALUES = 1 << 26  #: in one constant; far above any microcontroller, bounds what a small file can make us compute
_NO_SOFTMAX = (
    "the final softmax is left out: the largest output stays the largest, but a posterior is the sigmoid of its logit,"
    " so choose decision.threshold on recordings"
)
#: what a model applies to its logits -> what edgernn's one sigmoid a label makes of that
OUTPUTS = {
    "logits": "",
    "sigmoid": "the final sigmoid is edgernn's own: posteriors are the model's",
    "softmax": _NO_SOFTMAX,
    "logsoftmax": _NO_SOFTMAX,
}


@dataclass(frozen=True)
class Imported:
    """A model as edgernn's cells hold it.

    layers: recipe layers without the head; weights: "<layer>.<name>" -> float32, the head's included, as `FloatNet` takes
    them; n_in, n_out: inputs a frame, outputs; output: what the file applies to its logits, a key of OUTPUTS; notes:
    sentences on what was decided; half: the 16-bit type that the model stores or computes in, "" for none.
    """

    layers: tuple[LayerSpec, ...]
    weights: Mapping[str, Floats]
    n_in: int
    n_out: int
    output: str = "logits"
    notes: tuple[str, ...] = ()
    half: str = ""


@dataclass(frozen=True)
class Part:
    """One layer as a reader found it: its name in the file, edgernn's cell, weights as that cell's `shapes`."""

    name: str
    cell: str
    weights: Arrays
    relu: bool = field(default=False)

    @property
    def n_in(self) -> int:
        """Inputs."""
        return int(self._matrix.shape[-1])

    @property
    def n_out(self) -> int:
        """Outputs."""
        return int(self._matrix.shape[0] if self.cell == "dense" else self.weights["weight_hh"].shape[-1])

    @property
    def _matrix(self) -> NDArray[Any]:
        return self.weights["weight" if self.cell == "dense" else "weight_ih"]


def recurrent(name: str, cell: str, weight_ih: NDArray[Any], weight_hh: NDArray[Any], *biases: NDArray[Any] | None) -> Part:
    """A recurrent part; a bias that is None or not given is zero."""
    rows = len(weight_ih)
    bias_ih, bias_hh = (b if b is not None else np.zeros(rows, np.float32) for b in (*biases, None, None)[:2])
    return Part(name, cell, {"weight_ih": weight_ih, "weight_hh": weight_hh, "bias_ih": bias_ih, "bias_hh": bias_hh})


def dense(name: str, weight: NDArray[Any], bias: NDArray[Any] | None, relu: bool = False) -> Part:
    """A dense part; weight [O, I], bias [O] or None."""
    b = np.zeros(len(weight), np.float32) if bias is None else bias
    return Part(name, "dense", {"weight": weight[:, None], "bias": b}, relu)


def scaled(part: Part, scale: NDArray[Any], shift: NDArray[Any]) -> Part:
    """A dense part whose outputs, before ReLU, are multiplied by `scale` [O] and raised by `shift` [O]."""
    weight, bias = part.weights["weight"], part.weights["bias"]
    weights = {"weight": weight * scale[:, None, None], "bias": bias * scale + shift}
    return replace(part, weights={key: value.astype(weight.dtype) for key, value in weights.items()})


def reorder(stacked: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    """Gates stacked over the first axis in another order: gate i of the result is gate order[i] of the input."""
    gates = np.split(stacked, len(order))
    return np.concatenate([gates[i] for i in order])


def assemble(where: str, parts: Sequence[Part], output: str = "logits", notes: Sequence[str] = (), half: str = "") -> Imported:
    """The parts from input to output as one model; raises where they do not fit, are not finite, or lack a head."""
    if not parts:
        raise EdgernnError(f"{where} holds no layer; edgernn imports GRU, LSTM, RNN and dense layers")
    head = parts[-1]
    if head.cell != "dense":
        raise EdgernnError(f"{where} ends in the {head.cell} {head.name!r}; end it in a dense layer with one output a label")
    if head.relu:
        raise EdgernnError(f"{where} applies ReLU to its outputs ({head.name!r}); end it in logits, sigmoid or softmax")
    if len(parts) == 1:
        raise EdgernnError(f"{where} holds only the dense layer {head.name!r}; edgernn runs a layer before the head")
    for before, after in itertools.pairwise(parts):
        if before.n_out != after.n_in:
            raise EdgernnError(
                f"{where}: {after.name!r} takes {after.n_in} inputs, but {before.name!r} before it gives {before.n_out}"
            )
    weights = {f"{name}.{key}": value for name, part in _named(parts) for key, value in _checked(where, part).items()}
    layers = tuple(LayerSpec(p.cell, _options(p)) for p in parts[:-1])
    told = (*notes, OUTPUTS[output]) if OUTPUTS[output] else tuple(notes)
    stored = {str(w.dtype) for part in parts for w in part.weights.values() if w.dtype.itemsize == 2}
    return Imported(layers, weights, parts[0].n_in, head.n_out, output, told, half or ", ".join(sorted(stored)))


def _named(parts: Sequence[Part]) -> list[tuple[str, Part]]:
    """Parts by the names `floatnet.make_layers` gives their layers."""
    return [(f"{p.cell}{i}" if i < len(parts) - 1 else "head", p) for i, p in enumerate(parts)]


def _options(part: Part) -> dict[str, int]:
    return {"units": part.n_out, **({"relu": int(part.relu), "norm": 0} if part.cell == "dense" else {})}


def _checked(where: str, part: Part) -> dict[str, Floats]:
    """A part's weights as float32, of the cell's shapes and finite."""
    from edgernn.cells import find_cell

    shapes = find_cell(part.cell).shapes(_options(part), part.n_in)
    out = {}
    for key, shape in shapes.items():
        value = part.weights[key]
        if value.shape != shape or 0 in shape:
            raise EdgernnError(f"{where}: {part.name!r} has {key} of shape {value.shape}, a {part.cell} needs {shape}")
        if value.dtype.kind != "f":
            raise EdgernnError(f"{where}: {part.name!r} has {key} of type {value.dtype}; save the float model, not a quantized")
        with np.errstate(over="ignore"):
            out[key] = np.ascontiguousarray(value, np.float32)
        if not np.isfinite(out[key]).all():
            raise EdgernnError(
                f"{where}: {part.name!r} has NaN or infinity in {key}; train it again with a lower learning rate"
            )
    return out


def package(name: str, extra: str) -> Any:
    """A reader's library, imported now; its absence is an error that names the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise needs_extra(f"reading this file needs {name}", extra, error) from None


@contextmanager
def decoding(path: Path, what: str) -> Iterator[None]:
    """Around a library that decodes bytes we did not write: whatever it raises, the file is at fault."""
    try:
        yield
    except EdgernnError:
        raise
    except Exception as error:
        text = printable(error)
        raise EdgernnError(f"{path} is damaged or no {what} ({type(error).__name__}: {text}); export it again") from None


_TERMINAL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|.)?")


def printable(text: object, most: int = 200) -> str:
    """A library's message on one line, short, without terminal codes or other control characters."""
    plain = "".join(c for c in _TERMINAL.sub("", str(text)) if c.isprintable() or c.isspace())
    return " ".join(plain.split())[:most]
