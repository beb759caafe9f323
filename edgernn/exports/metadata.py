"""What every exported model says about itself: (key, text) pairs, the same in each format.

A program that has only the exported file can name the labels, compute the features (SPEC.md, "Front end"), hand the
state from step to step and decide when a keyword fires. Numbers are integers; real ones are strings in C's `%a` form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgernn.core.graph import NetGraph
from edgernn.core.graph_file import FORMAT_VERSION, canonical
from edgernn.core.structure import State, Value

PREFIX = "edgernn."
GRAPH_ID_KEY = PREFIX + "graph_id"
FORM_KEY = PREFIX + "form"  #: which of the exports of one graph a file is
CHECKSUM_KEY = PREFIX + "crc32"  #: CRC-32 of the file's other bytes


@dataclass(frozen=True)
class Port:
    """One input or output of an exported model: its name there, the graph's value behind it and that value's type."""

    name: str
    value: str
    type: Value


def input_ports(g: NetGraph) -> list[Port]:
    """`features`, then `state_0`, `state_1`, .. in the graph's order of states."""
    return [Port("features", g.input, g.values[g.input]), *state_ports(g, "")]


def output_ports(g: NetGraph) -> list[Port]:
    """`logits`, `posteriors`, then `state_0_out`, .. in the same order as the inputs they become."""
    ends = [Port(name, name, g.values[name]) for name in (g.logits, g.posteriors)]
    return [*ends, *state_ports(g, "_out")]


def state_ports(g: NetGraph, suffix: str) -> list[Port]:
    """The states as read (suffix "") or as written (suffix "_out")."""
    return [Port(f"state_{i}{suffix}", _end(s, suffix), g.values[s.read]) for i, s in enumerate(g.states)]


def _end(s: State, suffix: str) -> str:
    return s.write if suffix else s.read


def metadata(g: NetGraph, inputs: list[Port] | None = None, outputs: list[Port] | None = None) -> dict[str, str]:
    """Everything needed around the network, as text; objects and lists are canonical JSON, sorted by key.

    A model that is not one step with its state outside names its own inputs and outputs.
    """
    entries: dict[str, Any] = {
        "graph_id": g.id,
        "graph_format": FORMAT_VERSION,
        "name": g.name,
        "scheme": g.scheme,
        "sample_rate": g.sample_rate,
        "frames_per_step": g.frames_per_step,
        **g.about(),
        "inputs": [_port(p) for p in inputs or input_ports(g)],
        "outputs": [_port(p) for p in outputs or output_ports(g)],
    }
    return {PREFIX + key: value if isinstance(value, str) else canonical(value) for key, value in sorted(entries.items())}


def _port(p: Port) -> dict[str, Any]:
    return {"name": p.name, "dtype": p.type.dtype, "shape": list(p.type.shape), "step": p.type.step.hex()}
