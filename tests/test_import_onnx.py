"""ONNX graphs: what both of torch's exporters write, and by hand what other tools write; the same numbers or a reason."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_runs import ROOT
from imported import INPUTS, OUTPUTS, X, assert_equal, onnx_answers, onnx_model, op
from needs import need_module
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports import read_model

UNITS = 5
EXPORTERS = pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])


# torch's exporters ----------------------------------------------------------------


def core(cell: str, layers: int = 1, batch_first: bool = True, **more: Any) -> Any:
    """gru, lstm, rnn tanh or rnn relu."""
    from torch import nn

    kind, _, follows = cell.partition(" ")
    if follows:
        more["nonlinearity"] = follows
    return getattr(nn, kind.upper())(INPUTS, UNITS, layers, batch_first=batch_first, **more)


def module(recurrent: Any, answer: Callable[[Any, Any, Any], Any], width: int = UNITS) -> Any:
    """`answer(head, y, h)`, where y and h are what the recurrent module gives for the inputs."""
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core, self.head = recurrent, nn.Linear(width, OUTPUTS)

        def forward(self, x: Any, *states: Any) -> Any:
            given = (states if len(states) > 1 else states[0],) if states else ()
            return answer(self.head, *self.core(x, *given))

    torch.manual_seed(3)
    return Model().eval()


def exported(path: Path, model: Any, x: Any, dynamo: bool, **options: Any) -> tuple[Path, NDArray[Any]]:
    """The model's file, and its answers to x (a tensor or several)."""
    import torch

    given = x if isinstance(x, tuple) else (x,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, given, str(path), dynamo=dynamo, verbose=False, **options)
    with torch.no_grad():
        y = model(*given)
    return path, (y[0] if isinstance(y, tuple) else y).numpy()


def needed(dynamo: bool) -> Any:
    """torch, onnx and what its exporter wants."""
    for name in ("torch", "onnx", *(["onnxscript"] if dynamo else [])):
        need_module(name)
    import torch

    return torch.from_numpy(X)


def whole(head: Any, y: Any, h: Any) -> Any:
    return head(y)


def last(head: Any, y: Any, h: Any) -> Any:
    return head(y[:, -1])


def hidden(head: Any, y: Any, h: Any) -> Any:
    return head((h[0] if isinstance(h, tuple) else h)[-1])


def streaming(head: Any, y: Any, h: Any) -> Any:
    return (head(y), *h) if isinstance(h, tuple) else (head(y), h)


@EXPORTERS
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn tanh", "rnn relu"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("answer", [whole, last, hidden])
def test_torch_exports_are_read(cell: str, layers: int, answer: Any, dynamo: bool, tmp_path: Path) -> None:
    x = needed(dynamo)
    path, y = exported(tmp_path / "m.onnx", module(core(cell, layers), answer), x, dynamo)
    found = read_model(path)
    assert [s.cell for s in found.layers] == [cell.replace(" ", "_")] * layers
    assert_equal(found, X, y)


@EXPORTERS
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn tanh"])
def test_time_may_come_first(cell: str, dynamo: bool, tmp_path: Path) -> None:
    x = needed(dynamo).transpose(0, 1).contiguous()
    path, y = exported(tmp_path / "m.onnx", module(core(cell, 2, batch_first=False), whole), x, dynamo)
    assert_equal(read_model(path), X, y.transpose(1, 0, 2))
    path, y = exported(tmp_path / "n.onnx", module(core(cell, batch_first=False), lambda head, y, h: head(y[-1])), x, dynamo)
    assert_equal(read_model(path), X, y)


@EXPORTERS
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn tanh"])
@pytest.mark.parametrize("layers", [1, 2])
def test_states_may_be_inputs_and_outputs(cell: str, layers: int, dynamo: bool, tmp_path: Path) -> None:
    import torch

    given = (needed(dynamo), *(torch.zeros(layers, len(X), UNITS) for _ in range(2 if cell == "lstm" else 1)))
    path, y = exported(tmp_path / "m.onnx", module(core(cell, layers), streaming), given, dynamo)
    found = read_model(path)
    assert_equal(found, X, y)
    assert sum("carried by edgernn" in note for note in found.notes) == len(given) - 1


@EXPORTERS
def test_one_step_a_call_is_a_stream(dynamo: bool, tmp_path: Path) -> None:
    import torch

    model = module(core("gru", 2), streaming)
    one = (needed(dynamo)[:1, :1], torch.zeros(2, 1, UNITS))
    path, _ = exported(tmp_path / "m.onnx", model, one, dynamo)
    with torch.no_grad():
        assert_equal(read_model(path), X, model(torch.from_numpy(X))[0].numpy())


@EXPORTERS
def test_weights_may_be_tied_or_unfolded(dynamo: bool, tmp_path: Path) -> None:
    x = needed(dynamo)
    unfolded = {"optimize": False} if dynamo else {"do_constant_folding": False}
    for cell in ("gru", "lstm", "rnn tanh"):
        path, y = exported(tmp_path / "m.onnx", module(core(cell, 2), last), x, dynamo, **unfolded)
        assert_equal(read_model(path), X, y)
    import torch
    from torch import nn

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core, self.head = nn.GRU(INPUTS, INPUTS, batch_first=True), nn.Linear(INPUTS, OUTPUTS)

        def forward(self, x: Any) -> Any:
            return self.head(self.core(self.core(x)[0])[0])

    torch.manual_seed(3)
    path, y = exported(tmp_path / "m.onnx", Twice().eval(), x, dynamo)
    found = read_model(path)
    assert len(found.layers) == 2
    assert_equal(found, X, y)


@EXPORTERS
def test_axes_may_be_dynamic(dynamo: bool, tmp_path: Path) -> None:
    """In a process of its own: torch's default exporter takes sizes for fixed once it has exported any other model."""
    needed(dynamo)
    script = "import sys, test_import_onnx as t; t.export_dynamic(t.Path(sys.argv[1]), sys.argv[2] == 'True')"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "m.onnx"), str(dynamo)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal(read_model(tmp_path / "m.onnx"), X, np.load(tmp_path / "m.npy"))


def export_dynamic(path: Path, dynamo: bool) -> None:
    """Two layers and the last step, for any number of sequences and steps; answers in a .npy beside the model."""
    axes = {0: "batch", 1: "time"}
    options = {"dynamic_shapes": (axes,)} if dynamo else {"input_names": ["x"], "dynamic_axes": {"x": axes}}
    model = module(core("gru", 2), lambda head, y, h: head(y[:, -1]))
    np.save(path.with_suffix(".npy"), exported(path, model, needed(dynamo), dynamo, **options)[1])


@EXPORTERS
def test_a_batch_of_one_may_be_squeezed_or_selected(dynamo: bool, tmp_path: Path) -> None:
    x = needed(dynamo)[:1]
    for number, answer in enumerate(
        (lambda head, y, h: head(y.squeeze(0)), lambda head, y, h: head(y[0]), lambda head, y, h: head(y.reshape(-1, UNITS)))
    ):
        path, y = exported(tmp_path / f"{number}.onnx", module(core("gru"), answer), x, dynamo)
        assert_equal(read_model(path), X[:1], y[None])


@EXPORTERS
@pytest.mark.parametrize(
    ("recurrent", "answer", "words"),
    [
        (lambda: core("gru", batch_first=False), last, "not the last step"),
        (lambda: core("gru"), lambda head, y, h: head(y[-1]), r"not the last step.*y\[:, -1\]"),
        (lambda: core("gru"), lambda head, y, h: head(y[:, 3]), "element 3|step 3"),
        (lambda: core("gru"), lambda head, y, h: head(y.mean(1)), "ReduceMean.*whole sequence or its last step"),
        (lambda: core("gru"), lambda head, y, h: head(y + 1.0), "Add.*directly after dense"),
        (lambda: core("gru"), lambda head, y, h: head(y).softmax(1), "Softmax.*over the labels"),
        (lambda: core("gru"), lambda head, y, h: head(y).argmax(-1), "ArgMax.*export the logits"),
        (lambda: core("gru"), lambda head, y, h: head(y) + head(y[:, -1:]), "joins two computed values"),
        (lambda: core("gru"), lambda head, y, h: (head(y), y), "the outputs.*export it with one"),
        (lambda: core("gru"), lambda head, y, h: head(y.flip(1)), "Slice|ReverseSequence|dynamo|flip"),
        (lambda: core("lstm"), lambda head, y, h: head(h[1][-1]), "cell state"),
        (lambda: core("gru", 2), lambda head, y, h: head(h).sum(0), "states of 2 layers.*h_n|ReduceSum"),
        (lambda: core("rnn tanh"), lambda head, y, h: head(y[:, 0]), "element 0|step 0"),
    ],
)  # fmt: skip
def test_torch_exports_that_mean_something_else(recurrent: Any, answer: Any, words: str, dynamo: bool, tmp_path: Path) -> None:
    x = needed(dynamo)
    path, _ = exported(tmp_path / "m.onnx", module(recurrent(), answer), x, dynamo)
    with pytest.raises(EdgernnError, match=words):
        read_model(path)


@EXPORTERS
def test_both_directions_are_refused(dynamo: bool, tmp_path: Path) -> None:
    x = needed(dynamo)
    path, _ = exported(tmp_path / "m.onnx", module(core("gru", bidirectional=True), whole, 2 * UNITS), x, dynamo)
    with pytest.raises(EdgernnError, match=r"bidirectional.*forward only"):
        read_model(path)


def test_a_projection_is_refused(tmp_path: Path) -> None:
    """The default exporter writes an LSTM of another size, which only its state contradicts."""
    x = needed(True)
    path, _ = exported(tmp_path / "m.onnx", module(core("lstm", proj_size=3), whole, 3), x, True)
    with pytest.raises(EdgernnError, match=r"3 units, but starts from a state of shape.*proj_size=0"):
        read_model(path)


# By hand --------------------------------------------------------------------------


def edited(path: Path, change: Callable[[Any], object]) -> Path:
    """The file with a change to its model."""
    import onnx

    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path


DENSE = [("MatMul", "h", "K", "m"), ("Add", "m", "b", "a")]


def tail(*steps: Sequence[Any]) -> list[Any]:
    """Operators after the recurrent layer; a table at the end of a step holds attributes."""
    return [op(*s[:-1], **s[-1]) if isinstance(s[-1], Mapping) else op(*s) for s in steps]


CONSTANTS = {
    "last": np.array(-1), "all": np.array([0, 0, -1]), "flat": np.array([-1, UNITS]), "two": np.array(2.0, np.float32),
    "scale": np.array([0.5, 1.5, -2.0], np.float32), "var": np.array([0.5, 1.0, 2.0], np.float32), "axis0": np.array([0]),
    "batched": np.array([-1, 2, OUTPUTS]), "true": np.array(True), "half": np.array(0.5, np.float32),
    "KT": np.random.default_rng(1).normal(size=(OUTPUTS, UNITS)).astype(np.float32), "start": np.array([0]),
    "end": np.array([2**62]), "first": np.array([1]), "row": np.array([[0.5, -1.0, 2.0]], np.float32),
}  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        [*DENSE, ("Identity", "a", "i"), ("Cast", "i", "c", {"to": 1}), ("Dropout", "c", "Y")],
        [("Dropout", "h", "half", "d"), ("MatMul", "d", "K", "Y")],
        [*DENSE, ("Mul", "a", "two", "s"), ("Sub", "s", "scale", "t"), ("Div", "t", "var", "Y")],
        [*DENSE, ("Sub", "scale", "a", "Y")],
        [("MatMul", "h", "K", "m"), ("Add", "row", "m", "Y")],
        [("Reshape", "h", "all", "r"), ("MatMul", "r", "K", "m"), ("Add", "m", "b", "Y")],
        [("Unsqueeze", "h", "axis0", "u"), ("Squeeze", "u", "axis0", "s"), ("MatMul", "s", "K", "Y")],
        [("Slice", "h", "start", "end", "axis0", "s"), ("MatMul", "s", "K", "Y")],
        [*DENSE, ("Softmax", "a", "Y", {"axis": 2})],
        [*DENSE, ("LogSoftmax", "a", "Y")],
    ],
)  # fmt: skip
def test_operators_that_change_nothing_or_can_be_folded(steps: Any, tmp_path: Path) -> None:
    need_module("onnx")
    path = onnx_model(tmp_path / "m.onnx", tail=tail(*steps), weights=CONSTANTS)
    found, y = read_model(path), onnx_answers(path)
    if found.output == "logsoftmax":
        y = np.exp(y)
        found = type(found)(found.layers, found.weights, found.n_in, found.n_out, "softmax")
    assert_equal(found, X, y)


def test_batch_and_time_may_be_one_axis_for_a_while(tmp_path: Path) -> None:
    """Where the sizes are declared; an open batch that a Reshape takes for 2 is refused."""
    need_module("onnx")
    steps = [("Reshape", "h", "flat", "f"), ("Gemm", "f", "KT", "b", "g", {"transB": 1, "alpha": 0.5, "beta": 3.0}),
             ("Reshape", "g", "batched", "Y", {"name": "back"})]  # fmt: skip
    path = onnx_model(tmp_path / "m.onnx", tail=tail(*steps), weights=CONSTANTS)
    with pytest.raises(EdgernnError, match=r"Reshape node 'back'.*to \[-1, 2, 3\], which would mix"):
        read_model(path)
    y = onnx_answers(path)
    edited(
        path, lambda m: [setattr(m.graph.input[0].type.tensor_type.shape.dim[i], "dim_value", n) for i, n in ((0, 12), (1, 2))]
    )
    assert_equal(read_model(path), X, y)


def test_batch_normalisation_is_folded(tmp_path: Path) -> None:
    need_module("onnx")
    steps = tail(
        ("Gather", "h", "last", "l", {"axis": 0}), ("MatMul", "l", "K", "m"),
        ("BatchNormalization", "m", "scale", "b", "b", "var", "n", {"epsilon": 0.01}), ("Relu", "n", "r"),
        ("Gemm", "r", "K2", "Y"),
    )  # fmt: skip
    square = np.random.default_rng(4).normal(size=(OUTPUTS, OUTPUTS)).astype(np.float32)
    path = onnx_model(tmp_path / "m.onnx", tail=steps, weights=CONSTANTS | {"K2": square}, rank=2)
    assert_equal(read_model(path), X, onnx_answers(path))
    edited(path, lambda m: m.graph.node[-3].attribute.append(_int("training_mode", 1)))
    with pytest.raises(EdgernnError, match=r"BatchNormalization.*training mode|breaks a rule"):
        read_model(path)


def _int(name: str, value: int) -> Any:
    from onnx import helper

    return helper.make_attribute(name, value)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([*DENSE, ("Softmax", "a", "Y", {"axis": 0})], "Softmax.*axis 0"),
        ([*DENSE, ("LogSoftmax", "a", "Y", {"axis": 1})], "LogSoftmax.*axis 1"),
        ([*DENSE, ("ArgMax", "a", "Y")], "ArgMax.*export the logits"),
        ([*DENSE, ("Cast", "a", "Y", {"to": 7})], "Cast.*whole numbers"),
        ([*DENSE, ("Dropout", "a", "half", "true", "Y")], "Dropout.*training mode"),
        ([*DENSE, ("Flatten", "a", "Y")], "Flatten.*would mix"),
        ([("Flatten", "h", "f"), ("MatMul", "f", "K", "Y")], "Flatten.*would mix"),
        ([("Transpose", "h", "t", {"perm": [2, 1, 0]}), ("MatMul", "t", "K", "Y")], "MatMul.*last is not the features"),
        ([("Squeeze", "h", "axis0", "s"), ("MatMul", "s", "K", "Y")], "Squeeze.*size is open"),
        ([("Squeeze", "h", "s"), ("MatMul", "s", "K", "Y")], "Squeeze.*name them"),
        ([("Slice", "h", "first", "end", "axis0", "s"), ("MatMul", "s", "K", "Y")], "Slice.*whole sequence or its last step"),
        ([*DENSE, ("Softmax", "a", "s"), ("MatMul", "s", "KK", "Y")], "MatMul.*after a softmax"),
        ([*DENSE, ("Clip", "a", "Y")], "Clip.*cannot be imported"),
        ([("MatMul", "K2", "h", "Y")], "MatMul.*stored matrix on their right"),
        ([*DENSE, ("QuantizeLinear", "a", "two", "Y")], "QuantizeLinear.*quantized model"),
        ([*DENSE, ("Add", "a", "wide", "Y")], "my_Add.*bias of shape"),
        ([("Gemm", "h", "K", "Y", {"transA": 1})], "Gemm.*stored matrix on their right"),
        ([("Tanh", "h", "t"), ("MatMul", "t", "K", "Y")], "Tanh.*cannot be imported"),
        ([*DENSE, ("Gelu", "a", "Y", {"domain": "com.microsoft"})], "domain 'com.microsoft'.*not ONNX's own"),
        ([*DENSE, ("Softmax", "a", "Y", {"domain": "ai.onnx.ml"})], "domain 'ai.onnx.ml'|breaks a rule"),
        ([*DENSE, ("Sigmoid", "a", "Y", {"domain": "mine"})], "domain 'mine'"),
    ],
)  # fmt: skip
def test_operators_that_mean_something_else(steps: Any, words: str, tmp_path: Path) -> None:
    need_module("onnx")
    more = {
        "KK": np.ones((OUTPUTS, OUTPUTS), np.float32), "K2": np.ones((2, 2), np.float32), "wide": np.ones((4, 1, 3), np.float32)
    }  # fmt: skip
    path = onnx_model(tmp_path / "m.onnx", tail=tail(*steps), weights=CONSTANTS | more)
    domains = {n.domain for n in _loaded(path).graph.node} - {""}
    edited(path, lambda m: m.opset_import.extend(_opset(d, 1) for d in domains))
    with pytest.raises(EdgernnError, match=words):
        read_model(path)


def _loaded(path: Path) -> Any:
    import onnx

    return onnx.load(path)


def _opset(domain: str, version: int) -> Any:
    from onnx import helper

    return helper.make_opsetid(domain, version)


def test_a_softmax_before_opset_13_joins_axes(tmp_path: Path) -> None:
    """Its axis is 1 by default, and it normalises over that and all behind."""
    need_module("onnx")

    def old(steps: Any) -> Path:
        path = onnx_model(tmp_path / "m.onnx", tail=tail(*DENSE, steps))

        def change(m: Any) -> None:
            m.opset_import[0].version = 12
            squeeze = next(n for n in m.graph.node if n.op_type == "Squeeze")
            del squeeze.input[1:]
            squeeze.attribute.append(_ints("axes", [1]))

        return edited(path, change)

    path = old(("Softmax", "a", "Y", {"axis": 2}))
    assert_equal(read_model(path), X, onnx_answers(path))
    for step in (("Softmax", "a", "Y"), ("Softmax", "a", "Y", {"axis": 1})):
        with pytest.raises(EdgernnError, match=r"Softmax.*works on axis 1"):
            read_model(old(step))


def _ints(name: str, values: list[int]) -> Any:
    from onnx import helper

    return helper.make_attribute(name, values)


# Recurrent nodes ------------------------------------------------------------------


def test_batch_first_layout_and_lengths(tmp_path: Path) -> None:
    """layout = 1, which no runtime here computes: the same numbers as layout = 0 on transposed input."""
    need_module("onnx")
    plain = onnx_model(tmp_path / "m.onnx", linear_before_reset=1)
    y = onnx_answers(plain)
    late = edited(
        onnx_model(tmp_path / "n.onnx", linear_before_reset=1, layout=1),
        lambda m: m.graph.initializer[[t.name for t in m.graph.initializer].index("one")].CopyFrom(_tensor("one", [2])),
    )
    assert_equal(read_model(late), X, y)
    given = {"lens": np.array([3, 3], np.int32)}
    with pytest.raises(EdgernnError, match="sequence_lens"):
        read_model(onnx_model(tmp_path / "m.onnx", more=["lens"], weights=given))


def _tensor(name: str, value: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value), name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"direction": "bidirectional"}, "direction 'bidirectional'"),
        ({"clip": 0.0}, "clips at 0"),
        ({"weights": {"W": np.ones((1, 15, INPUTS + 1), np.float32)}}, f"weights for {INPUTS + 1} inputs, but reads {INPUTS}"),
        ({"weights": {"W": np.ones((1, 12, INPUTS), np.float32)}}, r"W of shape \(1, 12, 6\)"),
        ({"weights": {"W": np.ones((2, 15, INPUTS), np.float32)}}, r"W of shape \(2, 15, 6\)"),
        ({"weights": {"R": np.ones((1, 15, 4), np.float32)}}, "hidden_size = 5, but R"),
        ({"weights": {"B": np.ones((1, 15), np.float32)}}, r"B \(1, 15\)"),
        ({"more": ["", "h0"], "weights": {"h0": np.zeros((1, 1, 4), np.float32)}}, r"5 units, but starts from.*\[1, 1, 4\]"),
        ({"more": ["", "h0"], "weights": {"h0": np.zeros((2, 1, 5), np.float32)}}, r"starts from.*\[2, 1, 5\]"),
        ({"more": ["", "h0"], "weights": {"h0": np.full((1, 1, 5), 0.1, np.float32)}}, "not zero"),
        ({"kind": "LSTM", "more": ["", "", "c0"], "weights": {"c0": np.ones((1, 1, 5), np.float32)}}, "'c0', which is not"),
        ({"kind": "RNN", "activations": ["LeakyRelu"], "activation_alpha": [0.1]}, "LeakyRelu"),
        ({"kind": "LSTM", "activations": ["Sigmoid", "Tanh", "Relu"]}, "Sigmoid, Tanh, Relu"),
    ],
)  # fmt: skip
def test_nodes_that_are_other_cells_or_contradict_themselves(arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    need_module("onnx")
    with pytest.raises(EdgernnError, match=words):
        read_model(onnx_model(tmp_path / "m.onnx", **arguments))


def test_peepholes_of_zero_are_none(tmp_path: Path) -> None:
    need_module("onnx")
    path = onnx_model(tmp_path / "m.onnx", "LSTM", more=["", "", "", "P"], weights={"P": np.zeros((1, 15), np.float32)})
    assert_equal(read_model(path), X, onnx_answers(path))


def test_sizes_that_the_graph_declares_are_checked(tmp_path: Path) -> None:
    need_module("onnx")

    def declare(value: Any, axis: int, size: int) -> None:
        value.type.tensor_type.shape.dim[axis].dim_value = size

    path = onnx_model(tmp_path / "m.onnx")
    with pytest.raises(EdgernnError, match="declares an output of shape"):
        read_model(edited(path, lambda m: declare(m.graph.output[0], 2, OUTPUTS + 1)))
    path = onnx_model(tmp_path / "m.onnx")
    with pytest.raises(EdgernnError, match=f"weights for {INPUTS} inputs, but reads 7"):
        read_model(edited(path, lambda m: declare(m.graph.input[0], 2, 7)))
    path = onnx_model(tmp_path / "m.onnx")
    edited(path, lambda m: (declare(m.graph.input[0], 0, 1), declare(m.graph.input[0], 1, 30)))
    with pytest.raises(EdgernnError, match="takes the batch for time"):
        read_model(path)
    path = onnx_model(tmp_path / "m.onnx")
    with pytest.raises(EdgernnError, match="input 'X' of type int64"):
        read_model(edited(path, lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 7)))


def test_a_batch_that_is_named_so_is_no_time(tmp_path: Path) -> None:
    need_module("onnx")
    path = onnx_model(tmp_path / "m.onnx")
    edited(path, lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "batch_size"))
    with pytest.raises(EdgernnError, match=r"runs over the axis 'batch_size'.*takes the batch for time"):
        read_model(path)


def test_versions_and_missing_shapes(tmp_path: Path) -> None:
    need_module("onnx")
    path = onnx_model(tmp_path / "m.onnx")
    y = onnx_answers(path)
    edited(path, lambda m: m.graph.output[0].type.tensor_type.ClearField("shape"))
    assert_equal(read_model(path), X, y)
    edited(path, lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"))
    assert_equal(read_model(path), X, y)
    newer = edited(onnx_model(tmp_path / "n.onnx"), lambda m: setattr(m, "ir_version", 99))
    with pytest.raises(EdgernnError, match=r"IR version 99.*knows.*update it, or export"):
        read_model(newer)
    newer = edited(onnx_model(tmp_path / "n.onnx"), lambda m: setattr(m.opset_import[0], "version", 99))
    with pytest.raises(EdgernnError, match=r"opset 99.*knows"):
        read_model(newer)
    with pytest.raises(EdgernnError, match=r"opset 6.*opset 13"):
        read_model(edited(onnx_model(tmp_path / "n.onnx"), lambda m: setattr(m.opset_import[0], "version", 6)))


def test_states_must_come_out_as_they_go_in(tmp_path: Path) -> None:
    """Two layers' states stacked one way at the input and the other way at the output would be exchanged by every call."""
    need_module("torch")
    need_module("onnx")
    import torch
    from torch import nn

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.GRU(INPUTS, UNITS, batch_first=True), nn.GRU(UNITS, UNITS, batch_first=True)
            self.head = nn.Linear(UNITS, OUTPUTS)

        def forward(self, x: Any, h: Any) -> Any:
            y, one = self.a(x, h[:1])
            y, two = self.b(y, h[1:])
            return self.head(y), torch.cat([two, one])

    class Shared(Crossed):
        def forward(self, x: Any, h: Any) -> Any:
            y, _ = self.a(x, h[:1])
            y, two = self.b(y, h[:1])
            return self.head(y), two

    for model, words in ((Crossed(), "another order of layers"), (Shared(), "two states from the same input")):
        path, _ = exported(tmp_path / "m.onnx", model.eval(), (needed(False), torch.zeros(2, 2, UNITS)), False)
        with pytest.raises(EdgernnError, match=words):
            read_model(path)


def test_functions_of_the_file_are_unfolded(tmp_path: Path) -> None:
    need_module("onnx")
    from onnx import helper

    path = onnx_model(tmp_path / "m.onnx", tail=[op("Head", "h", "K", "Y", domain="local")])
    y = onnx_answers(onnx_model(tmp_path / "n.onnx", tail=tail(("MatMul", "h", "K", "Y"))))

    def define(m: Any) -> None:
        body = [helper.make_node("MatMul", ["x", "k"], ["y"])]
        m.functions.append(helper.make_function("local", "Head", ["x", "k"], ["y"], body, [_opset("", 17)]))
        m.opset_import.append(_opset("local", 1))

    assert_equal(read_model(edited(path, define)), X, y)


def test_a_file_cannot_ask_for_huge_constants(tmp_path: Path) -> None:
    need_module("onnx")
    huge = {"huge": np.array([1 << 20, 1 << 20], np.int64)}
    steps = tail(("ConstantOfShape", "huge", "z"), ("MatMul", "h", "z", "Y"))
    with pytest.raises(EdgernnError, match=r"ConstantOfShape.*too large"):
        read_model(onnx_model(tmp_path / "m.onnx", tail=steps, weights=huge))
