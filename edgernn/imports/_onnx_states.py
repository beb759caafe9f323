"""States that are inputs and outputs of an ONNX graph: edgernn carries them itself, which must come to the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgernn.errors import EdgernnError
from edgernn.imports._onnx_values import Signal

Layers = list[tuple[int, str]]  #: (place of the layer in the chain, "h" or "c"), in the order they are stacked


def check_states(path: Path, answer: Signal, outputs: Mapping[str, Signal]) -> list[str]:
    """Notes on the states; raises where those that come out are not those that go in, or are of another chain."""
    _check_apart(path, answer)
    given = {name: _given(answer, name) for name in sorted({s.source for s in answer.starts})}
    for name, value in outputs.items():
        back = [_place(path, name, answer, x) for x in value.members or (value,)]
        for source, layers in given.items():
            if sorted(layers) == sorted(back) and layers != back:
                raise EdgernnError(
                    f"{path} takes the states {source!r} in another order of layers than it gives {name!r}; stack them alike"
                )
    return [f"the state {name!r}, an input of the graph, is carried by edgernn and starts at zero" for name in given]


def _check_apart(path: Path, answer: Signal) -> None:
    """Each state is of one layer: shared ones would run together with the second call."""
    places = [(s.source, s.index) for s in answer.starts]
    shared = next((place for place in places if places.count(place) > 1), None)
    if shared is not None:
        raise EdgernnError(f"{path} starts two states from the same input {shared[0]!r}; give each layer and state its own")


def _given(answer: Signal, source: str) -> Layers:
    starts = sorted((s for s in answer.starts if s.source == source), key=lambda s: s.index)
    return [(s.part, s.kind) for s in starts]


def _place(path: Path, name: str, answer: Signal, state: Signal) -> tuple[int, str]:
    """Which layer of the answer's chain a last state is of."""
    at = len(state.parts) - 1
    if len(answer.parts) <= at or any(a is not b for a, b in zip(answer.parts, state.parts, strict=False)):
        raise EdgernnError(
            f"{path}: the output {name!r} is the state of a layer that its answer does not use; export it without"
        )
    return at, state.state
