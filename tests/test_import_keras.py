"""Keras configs: what leaves the function as it is, against the fixtures' answers, and what makes it another one.

Each file is a fixture with a changed config.json, so its weights and its answers are Keras' own.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported import KERAS, assert_equal, changed_config
from needs import need_module
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports import Imported, read_model

Config = dict[str, Any]


def answers(name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    with np.load(KERAS / "answers.npz") as held:
        return held["x"], held[name]


def read(source: str, folder: Path, change: Callable[[Config], object]) -> Imported:
    need_module("h5py")
    return read_model(changed_config(f"{source}.keras", folder / "m.keras", change))


def layer(config: Config, number: int) -> Config:
    """The settings of one layer of the model."""
    found: Config = config["config"]["layers"][number]["config"]
    return found


def as_layer(kind: str, **settings: Any) -> Config:
    """A layer as Keras 3 writes it."""
    config = {"name": kind.lower(), "dtype": "float32", **settings}
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def policy(name: str) -> Config:
    return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}, "registered_name": None}


def tensor(name: str, output: int = 0, call: int = 0) -> Config:
    return {"class_name": "__keras_tensor__", "config": {"shape": [None, None], "keras_history": [name, call, output]}}


def input_layer(name: str) -> Config:
    return {**as_layer("InputLayer", name=name, batch_shape=[None, 5]), "name": name, "inbound_nodes": []}


# The same function ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("gru", lambda c: layer(c, 1).update(stateful=True, unroll=True, dropout=0.4, recurrent_dropout=0.2, implementation=1)),
        ("lstm_functional", lambda c: layer(c, 3).update(activation=as_layer("ReLU", max_value=None, negative_slope=0.0))),
        ("lstm_functional", lambda c: layer(c, 3).update(activation=as_layer("Activation", activation="relu"))),
        ("gru_reset_before", lambda c: (c["config"]["layers"].pop(), layer(c, 2).update(activation=as_layer("Activation",
         activation="sigmoid")))),
        ("rnn", lambda c: layer(c, 2).update(activation=as_layer("ReLU"))),
        ("gru", lambda c: c["config"]["layers"].insert(2, as_layer("GaussianNoise", stddev=0.3))),
    ],
)  # fmt: skip
def test_what_leaves_the_function_as_it_is(source: str, change: Any, tmp_path: Path) -> None:
    x, y = answers(source)
    assert_equal(read(source, tmp_path, change), x, y)


@pytest.mark.parametrize("axis", [-1, 2, [-1], [2]])
def test_a_softmax_over_the_labels(axis: Any, tmp_path: Path) -> None:
    """In the place of a sigmoid, whose answers tell the logits."""
    x, y = answers("gru_reset_before")
    found = read("gru_reset_before", tmp_path, lambda c: c["config"]["layers"].__setitem__(3, as_layer("Softmax", axis=axis)))
    assert found.output == "softmax"
    odds = y / (1 - y)
    assert_equal(found, x, odds / odds.sum(-1, keepdims=True))


def test_sixteen_bits_are_known(tmp_path: Path) -> None:
    x, y = answers("gru")
    found = read("gru", tmp_path, lambda c: layer(c, 1).update(dtype=policy("mixed_float16")))
    assert found.half == "mixed_float16"
    assert_equal(found, x, y)
    assert read("gru", tmp_path, lambda c: None).half == ""


def streaming(config: Config) -> None:
    """States h and c as inputs and as outputs beside the answer."""
    config["config"]["layers"] += [input_layer("h0"), input_layer("c0")]
    memory = config["config"]["layers"][1]
    memory["config"]["return_state"] = True
    memory["inbound_nodes"][0]["kwargs"] = {"initial_state": [tensor("h0"), tensor("c0")]}
    config["config"]["output_layers"] = [["labels", 0, 0], ["memory", 0, 1], ["memory", 0, 2]]


def test_states_may_be_inputs_and_outputs(tmp_path: Path) -> None:
    x, y = answers("lstm_functional")
    found = read("lstm_functional", tmp_path, streaming)
    assert_equal(found, x, y)
    assert sum("carried by edgernn" in note for note in found.notes) == 2


def functional(config: Config, outputs: Config) -> None:
    """last_step as a graph whose head reads `outputs` of the GRU, which gives its states too."""
    config["class_name"] = "Functional"
    start, gru, head = config["config"]["layers"]
    gru["config"].update(return_sequences=True, return_state=True)
    read = tensor(start["config"]["name"])
    for table, source in ((start, None), (gru, read), (head, outputs)):
        table["inbound_nodes"] = [] if source is None else [{"args": [source], "kwargs": {}}]
    config["config"]["output_layers"] = [head["config"]["name"], 0, 0]


def test_the_last_state_may_be_read(tmp_path: Path) -> None:
    x, y = answers("last_step")
    found = read("last_step", tmp_path, lambda c: functional(c, tensor(layer(c, 1)["name"], 1)))
    assert_equal(found, x, y)


# Another function -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "change", "words"),
    [
        ("rnn", lambda c: c["config"]["layers"].append(as_layer("Softmax", axis=1)), "Softmax layer 'softmax' works on axis 1"),
        ("last_step", lambda c: c["config"]["layers"].append(as_layer("Softmax", axis=0)), "Softmax.*axis 0"),
        ("rnn", lambda c: c["config"]["layers"].append(as_layer("Softmax", axis=[1, 2])), r"Softmax.*axis \[1, 2\]"),
        ("gru", lambda c: layer(c, 1).update(go_backwards=True), "go_backwards=True"),
        ("gru", lambda c: layer(c, 1).update(time_major=True), "time_major=True"),
        ("gru", lambda c: layer(c, 1).update(return_sequences=False), "GRU layer.*last step only.*return_sequences=True"),
        ("gru", lambda c: layer(c, 2).update(return_sequences=False), "TimeDistributed layer.*last step only"),
        ("gru", lambda c: layer(c, 1).update(activation="relu"), "'relu' and 'sigmoid'"),
        ("gru", lambda c: layer(c, 1).update(units=6), "units = 6 in its config, but weights for 5"),
        ("gru", lambda c: layer(c, 0).update(batch_shape=[None, None, 7]), "takes 7 inputs by the model's config.*for 6"),
        ("gru", lambda c: c["config"]["layers"].insert(1, as_layer("Masking")), "Masking layer.*no gaps"),
        ("gru", lambda c: c["config"]["layers"].insert(1, as_layer("Normalization")), "Normalization layer.*--normalization"),
        ("gru", lambda c: c["config"]["layers"].insert(1, as_layer("Rescaling")), "Rescaling layer.*--normalization"),
        ("gru", lambda c: c["config"]["layers"].insert(2, as_layer("Lambda", function="x")), "Lambda layer.*is code"),
        ("gru", lambda c: c["config"]["layers"].insert(2, as_layer("GlobalAveragePooling1D")), "or its last step"),
        ("gru", lambda c: c["config"]["layers"].insert(3, as_layer("Sequential")), "Sequential layer.*nest no models"),
        ("gru", lambda c: c["config"]["layers"].insert(5, as_layer("LeakyReLU")), "LeakyReLU layer.*cannot be imported"),
        ("rnn", lambda c: c["config"]["layers"].append(as_layer("ReLU", max_value=6.0)), "max_value = 6.0"),
        ("rnn", lambda c: layer(c, 3).update(activation=as_layer("ReLU", negative_slope=0.1)), "negative_slope = 0.1"),
        ("rnn", lambda c: layer(c, 3).update(activation=as_layer("ELU")), "'ELU', which has no integer form"),
        ("rnn", lambda c: layer(c, 3).update(activation={"class_name": "function", "config": "mine"}), "'mine', which has no"),
        ("rnn", lambda c: layer(c, 3).update(dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}),
         r"Dense layer.*is quantized \(int8\).*before quantize"),
        ("rnn", lambda c: layer(c, 3).update(dtype=policy("int8_from_float32")), "is quantized"),
        ("rnn", lambda c: layer(c, 3).update(lora_rank=4), "LoRA"),
        ("gru", lambda c: c["config"]["layers"][1].update(registered_name="Mine>GRU", module=None), "its own .Mine>GRU"),
        ("gru", lambda c: c["config"]["layers"][1].update(module="mine.layers"), "class of its own .mine.layers.GRU"),
        ("gru", lambda c: c["config"]["layers"][1].update(class_name="Mine>GRU"), "class of its own .Mine>GRU"),
        ("lstm_functional", lambda c: c["config"].update(output_layers=[["labels", 0, 0], ["middle", 0, 0]]),
         "outputs 'labels', 'middle'.*save it with one"),
        ("lstm_functional", lambda c: c["config"].update(output_layers=[]), "names no output"),
        ("lstm_functional", lambda c: c["config"].update(output_layers=["absent", 0, 0]), "no layer 'absent'"),
        ("lstm_functional", lambda c: c["config"]["layers"][3].update(inbound_nodes=[{"args": [tensor("labels")]}]), "circle"),
        ("last_step", lambda c: functional(c, tensor(layer(c, 1)["name"], 2)), "GRU layer.*has no output 2"),
    ],
)  # fmt: skip
def test_what_makes_another_function(source: str, change: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(EdgernnError, match=words):
        read(source, tmp_path, change)


def test_a_computed_state_or_a_cell_state_is_refused(tmp_path: Path) -> None:
    def computed(config: Config) -> None:
        streaming(config)
        config["config"]["layers"][1]["inbound_nodes"][0]["kwargs"] = {"initial_state": [tensor("middle"), tensor("c0")]}

    with pytest.raises(EdgernnError, match=r"LSTM layer 'memory' starts from a state that 'middle' computes"):
        read("lstm_functional", tmp_path, computed)

    def cell(config: Config) -> None:
        streaming(config)
        config["config"]["layers"][2]["inbound_nodes"] = [{"args": [tensor("memory", 2)], "kwargs": {}}]

    with pytest.raises(EdgernnError, match=r"LSTM layer 'memory' gives its cell state to the next layer"):
        read("lstm_functional", tmp_path, cell)


def test_an_archive_of_weights_alone_is_told(tmp_path: Path) -> None:
    need_module("h5py")
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(KERAS / "gru.keras") as old, zipfile.ZipFile(path, "w") as new:
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    with pytest.raises(EdgernnError, match=r"config\.json"):
        read_model(path)
