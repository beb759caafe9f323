"""What `inspect` says of each kind of file, and that no damaged file ends in more than a sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import need_module
from nets import LABELS, quantized, random_net
from test_export_onnx import damaged

from edgernn.errors import EdgernnError
from edgernn.inspect import inspect, same_graph
from edgernn.tasks.spot.graph import SpotGraph

need_module("onnx")
need_module("ai_edge_litert")

import onnx  # noqa: E402

from edgernn.exports.onnx_files import export_onnx  # noqa: E402

FIELDS = {"kind", "producer", "graph_id", "form", "bytes", "operators", "tensors", "states", "labels", "frontend"}


@pytest.fixture(scope="module")
def graph() -> SpotGraph:
    return quantized(random_net("lstm", 8, "separable"), "int8")


@pytest.fixture(scope="module")
def files(graph: SpotGraph, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind, of one graph."""
    from edgernn.exports.tflite import model_bytes

    folder = tmp_path_factory.mktemp("models")
    graph.save(folder / "model.ern")
    (folder / "model.tflite").write_bytes(model_bytes(graph))
    integer, floats, qdq = export_onnx(graph, folder, random_net("lstm", 8, "separable"), qdq=True)[0]
    return {"ern": folder / "model.ern", "tflite": folder / "model.tflite", "onnx": integer, "float": floats, "qdq": qdq}


def tensor(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(t for t in found["tensors"] if t["name"] == name)


def test_every_kind_says_the_same_of_the_model(graph: SpotGraph, files: dict[str, Path]) -> None:
    for path in files.values():
        found = inspect(path)
        assert set(found) == FIELDS
        assert found["producer"] == "edgernn"
        assert found["graph_id"] == graph.id
        assert found["labels"] == list(LABELS)
        assert found["bytes"] == path.stat().st_size
        assert found["frontend"]["bands"] == 40
        assert len(found["states"]) == 3, path
        assert all(set(t) == {"name", "dtype", "shape", "bytes", "scale"} for t in found["tensors"])
    assert same_graph(list(files.values())) == graph.id


def test_ern(graph: SpotGraph, files: dict[str, Path]) -> None:
    found = inspect(files["ern"])
    assert (found["kind"], found["form"]) == ("ern", None)
    assert found["operators"]["sigmoid"] == 4
    assert sum(found["operators"].values()) == len(graph.ops)
    assert found["states"][1] == ["lstm2.h", "lstm2.h_next"]
    assert tensor(found, "lstm2.h") == {"name": "lstm2.h", "dtype": "int16", "shape": [1, 8], "bytes": 0, "scale": 2.0**-15}
    assert tensor(found, "lstm2.fx.weight")["bytes"] == 32 * 24


def test_onnx(files: dict[str, Path]) -> None:
    found = inspect(files["onnx"])
    assert (found["kind"], found["form"]) == ("onnx", "integer")
    assert found["operators"]["MatMul"] == 4
    assert found["states"][0] == ["state_0", "state_0_out"]
    assert tensor(found, "features") == {
        "name": "features", "dtype": "int8", "shape": ["batch", 2, 40], "bytes": 0, "scale": 0.0625,
    }  # fmt: skip
    assert tensor(found, "logits")["scale"] == 3.0 * 2.0**-13
    floats = inspect(files["float"])
    assert (floats["form"], floats["operators"]["LSTM"]) == ("float", 1)
    assert (tensor(floats, "features")["dtype"], tensor(floats, "features")["scale"]) == ("float32", None)
    assert inspect(files["qdq"])["form"] == "qdq"


def test_tflite(files: dict[str, Path]) -> None:
    found = inspect(files["tflite"])
    assert (found["kind"], found["form"]) == ("tflite", "step")
    assert found["operators"]["CONV_2D"] >= 4
    assert found["operators"]["LOGISTIC"] == 4
    scales = [t["scale"] for t in found["tensors"]]
    assert 2.0**-15 in scales
    assert any(isinstance(s, list) and 0 < s[0] < s[1] for s in scales)
    assert sum(t["bytes"] for t in found["tensors"]) > 2000


def test_other_graphs_are_not_compared(files: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.ern"
    quantized(random_net("gru", 8), "int8").save(other)
    with pytest.raises(EdgernnError, match=r"model\.onnx \(graph .*\) and .*other\.ern \(graph .*\) come from different"):
        same_graph([files["onnx"], files["ern"], other])
    with pytest.raises(EdgernnError, match="no files to compare"):
        same_graph([])


def foreign_onnx(path: Path) -> Path:
    """Another producer's model, with a branch inside."""
    make = onnx.helper
    branch = make.make_graph([make.make_node("Neg", ["x"], ["n"])], "b", [], [make.make_tensor_value_info("n", 1, [2])])
    nodes = [
        make.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        make.make_node("Special", ["y"], ["z"], domain="acme"),
    ]
    ends = [make.make_tensor_value_info(n, t, [2]) for n, t in (("x", 1), ("z", 1))]
    inputs = [ends[0], make.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])]
    weight = onnx.numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    onnx.save(make.make_model(make.make_graph(nodes, "g", inputs, ends[1:], [weight]), producer_name="acme"), path)
    return path


def test_another_producers_files(files: dict[str, Path], tmp_path: Path) -> None:
    path = foreign_onnx(tmp_path / "foreign.onnx")
    found = inspect(path)
    assert (found["kind"], found["producer"], found["graph_id"], found["labels"]) == ("onnx", "acme", None, [])
    assert found["operators"] == {"If": 1, "Neg": 2, "acme.Special": 1}
    assert tensor(found, "w") == {"name": "w", "dtype": "float32", "shape": [2, 3], "bytes": 24, "scale": None}
    with pytest.raises(EdgernnError, match=r"foreign\.onnx carries no graph id"):
        same_graph([files["ern"], path])
    strange = tmp_path / "foreign.tflite"
    strange.write_bytes(stripped(files["tflite"].read_bytes()))
    found = inspect(strange)
    assert (found["kind"], found["producer"], found["graph_id"]) == ("tflite", "unknown", None)
    assert found["operators"] == inspect(files["tflite"])["operators"]


def stripped(tflite: bytes) -> bytes:
    """The file as another producer might have written it: nothing of ours in its metadata."""
    return tflite.replace(b"edgernn", b"another")


def test_external_data_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.load(files["onnx"]), path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(EdgernnError, match=r"in 'weights.bin', which is missing"):
        inspect(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, data in {
        "a.ern": b"",
        "a.tflite": b"nothing",
        "a.onnx": b"",
        "b.onnx": b"text, not a model",
        "c": b"\0" * 40,
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(EdgernnError, match=name):
            inspect(tmp_path / name)
    with pytest.raises(EdgernnError, match="cannot read model file"):
        inspect(tmp_path / "none")


@pytest.mark.parametrize("kind", ["ern", "tflite", "onnx"])
def test_damage_to_our_files_is_found(kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / f"damaged.{kind}"
    for data in damaged(files[kind].read_bytes(), 300, seed=2):
        path.write_bytes(data)
        with pytest.raises(EdgernnError, match=rf"damaged\.{kind}"):
            inspect(path)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_damage_to_other_files_ends_in_a_sentence(kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    """No checksum guards them: whatever the bytes say, reading them ends, in a description or an error."""
    path, refused = tmp_path / f"damaged.{kind}", 0
    data = stripped(files["tflite"].read_bytes()) if kind == "tflite" else foreign_onnx(path).read_bytes()
    for broken in damaged(data, 300, seed=3):
        path.write_bytes(broken)
        with contextlib.suppress(EdgernnError):
            refused += 1
            assert inspect(path)["kind"] in ("tflite", "onnx")
            refused -= 1
    assert refused > 50


def test_an_endless_flatbuffer_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """A vector that claims four billion entries must not be walked."""
    from ai_edge_litert import schema_py_generated as schema

    data = bytearray(stripped(files["tflite"].read_bytes()))
    model = schema.Model.GetRootAs(bytes(data))
    table = model.Subgraphs(0)._tab
    vector = table.Vector(table.Offset(4)) - 4
    data[vector : vector + 4] = b"\xff\xff\xff\xff"
    path = tmp_path / "endless.tflite"
    path.write_bytes(bytes(data))
    with pytest.raises(EdgernnError, match=r"endless\.tflite is damaged .*more parts than it can hold"):
        inspect(path)
