"""The graph file: one file, its id is its sha256, and nothing wrong gets past the loader."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import quantized, random_net
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from edgernn.core.graph_file import METADATA_KEY, seal
from edgernn.core.structure import State
from edgernn.errors import EdgernnError
from edgernn.tasks import graph_from_bytes, load_graph
from edgernn.tasks.spot.graph import SpotGraph


@pytest.fixture(scope="module")
def graph() -> SpotGraph:
    return quantized(random_net("gru", 16, "separable"), "int8")


def test_round_trip_and_id(graph: SpotGraph, tmp_path: Path) -> None:
    path = tmp_path / "g.ern"
    assert graph.save(path) == graph.id == hashlib.sha256(path.read_bytes()).hexdigest()
    again = load_graph(path)
    assert again.to_bytes() == graph.to_bytes()
    assert again.labels == graph.labels
    assert again.decision == graph.decision
    assert [p.name for p in tmp_path.iterdir()] == ["g.ern"]


def test_two_processes_write_identical_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\nfrom nets import quantized, random_net\n"
        "print(quantized(random_net('lstm', 8), 'int8').id)"
    )
    root = Path(__file__).parent.parent
    ids = {
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert ids == {quantized(random_net("lstm", 8), "int8").id + "\n"}


def edited(graph: SpotGraph, path: list[str | int], value: object) -> bytes:
    """The file's bytes with one field of the description changed."""
    data = graph.to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"][METADATA_KEY])
    at = description
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    del description["crc32_json"]
    return save_tensors(load_tensors(data), {METADATA_KEY: seal(description)})


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], 2, "graph format 2, this edgernn reads format 1"),
        (["scheme"], "int4", "unknown scheme 'int4'"),
        (["labels"], ["a", "a", "c", "d", "e"], "labels repeat"),
        (["labels"], ["a", "b", "c", "d", "e", "f"], "logits must be int16"),
        (["frames_per_step"], 99, "frames_per_step 99"),
        (["decision", "smoothing"], 0, "smoothing = 0"),
        (["frontend", "window"], 481, "wrong length"),
        (["frontend", "affine", "shift"], 40, "affine shift 40"),
        (["ops", 1, 0], "matmul", "unknown primitive 'matmul'"),
        (["ops", 1, 2], ["nowhere"], "reads a value before it is computed"),
        (["states", 0, 1], "nowhere", "written from unknown value"),
        (["values", "gru2.h", 2], 14, "gru2.h"),
        (["values", "gru2.h", 1], "int32", "dtype int32"),
        (["crc32"], {}, "missing or unknown"),
        (["regions", 0, 2], 500, "outside the ops"),
        (["states", 1, 1], "gru2.h", "written from state gru2.h itself"),
        (["extra"], 1, "parts that this format does not have"),
    ],
)
def test_wrong_descriptions_are_refused(graph: SpotGraph, path: list[str | int], value: object, message: str) -> None:
    assert graph_from_bytes(edited(graph, ["name"], "another")).labels == graph.labels
    with pytest.raises(EdgernnError, match=message):
        graph_from_bytes(edited(graph, path, value), "x.ern")


def test_a_changed_number_without_its_checksum_is_noticed(graph: SpotGraph) -> None:
    old = f'refractory\\":{graph.decision.refractory},'.encode()
    changed = graph.to_bytes().replace(old, old.replace(b'":2', b'":3'))
    assert changed != graph.to_bytes()
    with pytest.raises(EdgernnError, match="description is damaged"):
        graph_from_bytes(changed)


def test_front_end_tables_are_checked(graph: SpotGraph) -> None:
    flat = replace(graph.tables, cosine=np.full_like(graph.tables.cosine, 32767))
    with pytest.raises(EdgernnError, match="cosine table"):
        replace(graph, tables=flat)


def test_a_graph_that_could_overflow_is_refused(graph: SpotGraph) -> None:
    bias = graph.constants["gru2.fx.bias"].copy()
    bias[3] = 2**31 - 1
    with pytest.raises(EdgernnError, match=r"op gru2\.fx: row 3 could overflow"):
        replace(graph, constants={**graph.constants, "gru2.fx.bias": bias})


def test_unread_constants_and_double_states_are_refused(graph: SpotGraph) -> None:
    with pytest.raises(EdgernnError, match="constants nobody reads"):
        replace(graph, constants={**graph.constants, "extra.weight": np.zeros((1, 1), np.int8)})
    with pytest.raises(EdgernnError, match="declared twice"):
        replace(graph, states=(*graph.states, State("gru2.h", "gru2.h_next")))


def test_flipped_weight_is_noticed(graph: SpotGraph) -> None:
    data = bytearray(graph.to_bytes())
    data[-1000] ^= 1
    with pytest.raises(EdgernnError, match=r"tensor .* is damaged"):
        graph_from_bytes(bytes(data))


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "foreign.safetensors").write_bytes(save_tensors({"x": np.zeros(3)}))
    (tmp_path / "text").write_text("hello")
    for name, message in (
        ("foreign.safetensors", "not an edgernn graph"),
        ("text", "not a graph file, or damaged"),
        ("absent", "cannot read graph file"),
    ):
        with pytest.raises(EdgernnError, match=message):
            load_graph(tmp_path / name)


def test_corrupted_bytes_never_crash(graph: SpotGraph) -> None:
    """Flips, cuts and insertions: an EdgernnError, or (where the change says nothing) the same graph."""
    rng = np.random.default_rng(0)
    good = graph.to_bytes()
    refused = 0
    for _ in range(400):
        data = bytearray(good)
        at = int(rng.integers(len(data) if rng.random() < 0.5 else 6000))
        kind = rng.integers(3)
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[at:]
        else:
            data[at:at] = bytes(rng.integers(0, 256, 5).astype(np.uint8))
        try:
            graph_from_bytes(bytes(data))
        except EdgernnError:
            refused += 1
    assert refused > 350
