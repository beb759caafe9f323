"""Models from elsewhere: each reader against the original's own answers, refusals by name, damaged files, the whole path."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_runs import ROOT, gate_fixture
from imported import (
    INPUTS,
    KERAS,
    OUTPUTS,
    X,
    assert_equal,
    changed_config,
    onnx_answers,
    onnx_model,
    op,
    save_torch,
    torch_cores,
    torch_model,
)  # fmt: skip
from needs import need_module
from numpy.typing import NDArray

from edgernn import pipeline, runs
from edgernn.errors import EdgernnError
from edgernn.imports import _h5, read_model
from edgernn.signal.log_mel import log_mel, make_tables
from edgernn.tasks import load_checkpoint, make_recipe
from edgernn.tasks.base import Question
from edgernn.tasks.spot.clips import clip_pcm
from edgernn.tasks.spot.importing import import_model

# PyTorch --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("core", ["gru", "gru stacked", "gru without bias", "lstm", "rnn tanh", "rnn relu"])
@pytest.mark.parametrize("heads", [(OUTPUTS,), (4, OUTPUTS)])
def test_torch_answers_are_kept(core: str, heads: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    need_module("torch")
    import torch

    torch.manual_seed(1)
    model = torch_model(torch_cores()[core](), *heads)
    path = save_torch(tmp_path / f"m{suffix}", model.state_dict())
    follows = f":{core.split()[1]}" if core.startswith("rnn") else ""
    told = f"core{follows}," + ("fc0:relu,fc1" if len(heads) == 2 else "fc0")
    with torch.no_grad():
        expected = model(torch.from_numpy(X)).numpy()
    assert_equal(read_model(path, told), X, expected)
    if len(heads) == 1 and not follows:
        assert_equal(read_model(path), X, expected)


@pytest.mark.parametrize(
    ("change", "layers", "words"),
    [
        (lambda t: t | {"core.weight_ih_l0_reverse": t["core.weight_ih_l0"]}, "", "bidirectional.*bidirectional=False"),
        (lambda t: t | {"core.weight_hr_l0": t["core.weight_hh_l0"]}, "", "core.weight_hr_l0.*proj_size"),
        (lambda t: {k: v for k, v in t.items() if k != "core.weight_hh_l0"}, "", "'core.weight_hh_l0' is missing"),
        (lambda t: {k: v for k, v in t.items() if k != "core.bias_ih_l0"}, "", "'core.bias_ih_l0' is missing"),
        (lambda t: {k: v for k, v in t.items() if k != "fc0.weight"}, "", "'fc0.weight' is missing"),
        (lambda t: {k: v for k, v in t.items() if "fc0" not in k}, "", "ends in the gru 'core_l0'; end it in a dense"),
        (lambda t: {k.replace("_l0", "_l1"): v for k, v in t.items()}, "", "lacks the tensors of layer 0"),
        (lambda t: t | {"norm.running_mean": t["fc0.bias"]}, "", "'norm.running_mean'.*fold"),
        (lambda t: t | {"fc0.weight": t["fc0.weight"] * float("nan")}, "", "'fc0' has NaN or infinity in weight"),
        (lambda t: t | {"fc0.weight": t["fc0.weight"][:, :3].clone()}, "", "'fc0' takes 3 inputs.*'core_l0'.*gives 5"),
        (lambda t: t | {"fc1.weight": t["fc0.weight"][:, :3].clone()}, "", "order and activations of 'fc0', 'fc1'.*--layers"),
        (lambda t: t | {"core.weight_hh_l0": t["core.weight_hh_l0"][:13].clone()}, "", "of no GRU, LSTM or RNN"),
        (lambda t: t | {"core.weight_ih_l0": t["core.weight_ih_l0"].int()}, "", "int32|I32"),
        (lambda t: t, "core,fc7", "no module 'fc7'"),
        (lambda t: t, "core", "'fc0' is missing or named twice"),
        (lambda t: t, "core:relu,fc0", "'core' is no nn.RNN"),
        (lambda t: t, "core,fc0:gelu", "'gelu' after 'fc0'"),
        (lambda t: t, "core,fc0:relu", "ReLU to its outputs"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_torch_refusals_name_the_tensor(change: Any, layers: str, words: str, suffix: str, tmp_path: Path) -> None:
    need_module("torch")
    tensors = dict(torch_model(torch_cores()["gru"](), OUTPUTS).state_dict())
    path = save_torch(tmp_path / f"m{suffix}", change(tensors))
    with pytest.raises(EdgernnError, match=words):
        read_model(path, layers)


def test_torch_rnn_needs_its_nonlinearity_and_a_pt_file_tensors(tmp_path: Path) -> None:
    need_module("torch")
    import torch

    rnn = torch_model(torch_cores()["rnn tanh"](), OUTPUTS)
    with pytest.raises(EdgernnError, match=r"nonlinearity of the RNN 'core'.*--layers, such as core:tanh,fc0"):
        read_model(save_torch(tmp_path / "rnn.pt", rnn.state_dict()))
    gru = torch_model(torch.nn.GRU(INPUTS, 5), OUTPUTS)
    assert len(read_model(save_torch(tmp_path / "wrapped.pt", {"epoch": 3, "state_dict": gru.state_dict()})).layers) == 1
    with pytest.raises(EdgernnError, match=r"state_dict\(\)"):
        read_model(save_torch(tmp_path / "module.pt", gru.core))
    with pytest.raises(EdgernnError, match="'epoch' is no tensor"):
        read_model(save_torch(tmp_path / "mixed.pt", {"epoch": 3, **gru.state_dict()}))


# Keras ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", ["gru", "gru_reset_before", "lstm_functional", "rnn", "last_step"])
def test_keras_answers_are_kept(name: str, suffix: str) -> None:
    need_module("h5py")
    with np.load(KERAS / "answers.npz") as held:
        assert_equal(read_model(KERAS / f"{name}{suffix}"), held["x"], held[name])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bidirectional", "Bidirectional layer 'bidirectional.*train one direction"),
        ("gates", "LSTM layer.*hard_sigmoid"),
        ("layer", "Conv1D layer 'conv1d.*cannot be imported"),
        ("nan", "NaN or infinity in weight_ih"),
    ],
)
def test_keras_refusals_name_the_layer(name: str, words: str) -> None:
    need_module("h5py")
    with pytest.raises(EdgernnError, match=words):
        read_model(KERAS / f"bad_{name}.keras")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(class_name="Mine"), "class 'Mine'"),
        (lambda c: c["config"]["layers"][1]["config"].update(go_backwards=True), "'gru.*go_backwards=True"),
        (lambda c: c["config"]["layers"][1].update(class_name="LSTM"), "LSTM layer 'gru.*0 stored weights"),
        (lambda c: c["config"]["layers"][1]["config"].update(reset_after=True), "'gru.*weights of shapes"),
        (lambda c: c["config"]["layers"][2]["config"].update(activation="selu"), "'dense.*'selu'"),
        (lambda c: c["config"]["layers"].insert(2, c["config"]["layers"][-1]), "Activation layer 'activation.*'sigmoid'"),
        (lambda c: c["config"].update(layers=[]), "holds no layer"),
        (lambda c: c["config"].update(layers=[7]), "no class or no settings"),
    ],
)
def test_keras_config_is_checked(change: Any, words: str, tmp_path: Path) -> None:
    need_module("h5py")
    with pytest.raises(EdgernnError, match=words):
        read_model(changed_config("gru_reset_before.keras", tmp_path / "m.keras", change))


def test_keras_graph_with_a_branch_is_refused(tmp_path: Path) -> None:
    need_module("h5py")

    def branch(config: dict[str, Any]) -> None:
        config["config"]["layers"][-1]["inbound_nodes"] = config["config"]["layers"][1]["inbound_nodes"]

    with pytest.raises(EdgernnError, match=r"Dense layer 'labels' reads '.*one chain"):
        read_model(changed_config("lstm_functional.keras", tmp_path / "m.keras", branch))


# ONNX -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "attributes", "cell"),
    [
        ("GRU", {"linear_before_reset": 1}, "gru"),
        ("GRU", {}, "gru_reset_before"),
        ("LSTM", {}, "lstm"),
        ("RNN", {}, "rnn_tanh"),
        ("RNN", {"activations": ["Relu"]}, "rnn_relu"),
    ],
)
def test_onnx_answers_are_kept(kind: str, attributes: dict[str, Any], cell: str, tmp_path: Path) -> None:
    need_module("onnx")
    path = onnx_model(tmp_path / "m.onnx", kind, **attributes)
    found = read_model(path)
    assert [layer.cell for layer in found.layers] == [cell]
    assert_equal(found, X, onnx_answers(path))


def test_onnx_heads_and_layout(tmp_path: Path) -> None:
    need_module("onnx")
    second = {"K2": np.random.default_rng(1).normal(size=(OUTPUTS, 4)).astype(np.float32), "last": np.array(-1)}
    dense = [op("MatMul", "h", "K", "m"), op("Add", "b", "m", "a")]
    tails = {
        "relu, softmax": [
            *dense,
            op("Relu", "a", "r"),
            op("MatMul", "r", "K2", "s", name="second"),
            op("Softmax", "s", "Y", axis=-1),
        ],
        "linear, sigmoid": [*dense, op("MatMul", "a", "K2", "s", name="second"), op("Sigmoid", "s", "Y")],
        "last step": [op("Gather", "h", "last", "l", axis=0), op("Gemm", "l", "K", "b", "Y", alpha=0.5, beta=2.0)],
    }
    for name, tail in tails.items():
        path = onnx_model(tmp_path / "m.onnx", tail=tail, weights=second, rank=2 if name == "last step" else 3)
        assert_equal(read_model(path), X, onnx_answers(path)), name


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("core", ["gru stacked", "lstm", "rnn relu"])
def test_onnx_as_torch_exports_it(core: str, batch_first: bool, tmp_path: Path) -> None:
    need_module("onnx")
    need_module("torch")
    import torch

    torch.manual_seed(2)
    made = torch_cores()[core]()
    made.batch_first = batch_first
    model, x = torch_model(made, 4, OUTPUTS), torch.from_numpy(X if batch_first else X.transpose(1, 0, 2).copy())
    axes = {"x": {0: "b", 1: "t"}}
    torch.onnx.export(model, (x,), str(tmp_path / "m.onnx"), dynamo=False, input_names=["x"], dynamic_axes=axes)
    with torch.no_grad():
        y = model(x).numpy()
    assert_equal(read_model(tmp_path / "m.onnx"), X, y if batch_first else y.transpose(1, 0, 2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tail": lambda: [op("Tanh", "h", "Y")]}, "Tanh node 'my_Tanh' cannot be imported"),
        ({"tail": lambda: [op("Add", "h", "h", "Y")]}, "my_Add"),
        ({"tail": lambda: [op("Transpose", "h", "t", perm=[0, 2, 1]), op("MatMul", "t", "K", "Y")]}, "MatMul node 'my_MatMul'"),
        ({"tail": lambda: [op("Identity", "h", "Y")]}, "ends in the gru"),
        ({"tail": lambda: [op("Reshape", "h", "flat", "f"), op("MatMul", "f", "K", "Y")], "weights": {"flat": np.array([-1])}},
         "my_Reshape.*mix"),
        ({"tail": lambda: [op("Gather", "h", "first", "f", axis=0), op("MatMul", "f", "K", "Y")],
          "weights": {"first": np.array(0)}}, "my_Gather.*last step"),
        ({"weights": {"K": np.full((5, OUTPUTS), np.inf, np.float32)}}, "NaN or infinity in weight"),
        ({"more": ["", "start"], "weights": {"start": np.ones((1, 1, 5), np.float32)}}, "'core' starts from the state 'start'"),
        ({"clip": 3.0}, "'core' clips at 3"),
        ({"direction": "reverse"}, "'core' has direction 'reverse'"),
        ({"activations": ["HardSigmoid", "Tanh"]}, "'core' has the activations HardSigmoid"),
        ({"kind": "LSTM", "more": ["", "", "", "P"], "weights": {"P": np.ones((1, 15), np.float32)}}, "'core' has peephole"),
        ({"kind": "LSTM", "input_forget": 1}, "'core' couples"),
    ],
)  # fmt: skip
def test_onnx_refusals_name_the_node(arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    need_module("onnx")
    given = {k: v() if k == "tail" else v for k, v in arguments.items()}
    with pytest.raises(EdgernnError, match=words):
        read_model(onnx_model(tmp_path / "m.onnx", **{"linear_before_reset": 1, **given} if "kind" not in given else given))


def test_onnx_external_data(tmp_path: Path) -> None:
    need_module("onnx")
    import onnx

    plain = onnx_model(tmp_path / "plain.onnx")
    path = tmp_path / "m.onnx"
    onnx.save(onnx.load(plain), path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert_equal(read_model(path), X, onnx_answers(plain))
    (tmp_path / "m.data").unlink()
    with pytest.raises(EdgernnError, match=r"tensor '.*' lies in 'm.data'.*put that file beside"):
        read_model(path)


# Damage ---------------------------------------------------------------------------


def damaged(data: bytes, seed: int) -> bytes:
    """Cut, overwritten, shortened within, or lengthened within."""
    rng, out = random.Random(seed), bytearray(data)
    at = rng.randrange(len(out))
    if seed % 4 == 0:
        return bytes(out[:at])
    if seed % 4 == 1:
        for _ in range(rng.randrange(1, 20)):
            out[rng.randrange(len(out))] = rng.randrange(256)
    elif seed % 4 == 2:
        del out[at : at + rng.randrange(1, 50)]
    else:
        out[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(out)


def assert_only_sentences(path: Path, data: bytes, seeds: Sequence[int]) -> None:
    """Every damaged copy reads or raises EdgernnError; nearly all must be refused."""
    refused = 0
    for seed in seeds:
        path.write_bytes(damaged(data, seed))
        try:
            read_model(path)
        except EdgernnError:
            refused += 1
    assert refused > len(seeds) / 2


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".onnx"])
def test_damaged_files_are_sentences(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    if suffix == ".onnx":
        need_module("onnx")
        onnx_model(path)
    else:
        need_module("torch")
        save_torch(path, torch_model(torch_cores()["gru"](), OUTPUTS).state_dict())
    assert_only_sentences(path, path.read_bytes(), range(300))


def test_damaged_keras_files_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """h5 203 sends libhdf5 into a loop: the child process is stopped."""
    need_module("h5py")
    monkeypatch.setattr(_h5, "TIMEOUT", 4.0)
    assert_only_sentences(tmp_path / "m.keras", (KERAS / "gru.keras").read_bytes(), range(200))
    assert_only_sentences(tmp_path / "m.h5", (KERAS / "gru.h5").read_bytes(), [*range(30), 203])


def test_other_files_are_sentences(tmp_path: Path) -> None:
    need_module("onnx")
    for name, content, words in (
        ("m.pb", b"x", "cannot tell the format"),
        ("m.onnx", b"", "is empty"),
        ("m.keras", b"\x89HDF\r\n\x1a\n", "no .keras file"),
        ("m.h5", b"PK\x03\x04", "no .h5 file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EdgernnError, match=words):
            read_model(tmp_path / name)
    with pytest.raises(EdgernnError, match="cannot read"):
        read_model(tmp_path / "absent.onnx")
    with pytest.raises(EdgernnError, match="PyTorch files only"):
        read_model(onnx_model(tmp_path / "n.onnx"), "core,fc")


# The whole path -------------------------------------------------------------------

LABELS = ["silence", "hill", "unknown", "fall", "rise"]  # the user's own order
RECIPE = """
name = "mine"
[data]
keywords = ["rise", "fall", "hill"]
[frontend]
bands = 20
floor_log2 = 26
[quantize]
streams = 8
stream_seconds = 10.0
[decision]
clip_ms = 300.0
"""


def quiet(stage: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the fixture's corpus, and a recipe without layers."""
    folder = tmp_path_factory.mktemp("import") / "run"
    gate_fixture.prepare(folder)
    (folder / "recipe.json").unlink()
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def train_torch(run: Path, normalized: bool) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
    """The user's model, trained in plain torch on log2 energies: (model, mean, deviation)."""
    import torch

    dataset, frontend = runs.load_data(run), make_recipe({**_tables(), "layers": [{"cell": "gru", "units": 1}]}).frontend
    rows, tables = dataset.clips("train"), make_tables(frontend)
    log2 = np.stack([log_mel(clip, frontend, tables) for clip in clip_pcm(dataset, rows, 16000)]) / 512.0
    mean, deviation = log2.mean((0, 1)), log2.std((0, 1))
    shown = (log2 - mean) / deviation if normalized else (log2 - 35.0) / 10.0
    x = torch.from_numpy(shown.astype(np.float32))
    truth = torch.tensor([LABELS.index(r.label) for r in rows])
    torch.manual_seed(0)
    model = torch_model(torch.nn.GRU(20, 16, batch_first=True), len(LABELS))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(120):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x)[:, -15:].sum(1), truth).backward()
        optimizer.step()
    with torch.no_grad():
        if not normalized:  # the same model, of plain log2 energies
            model.core.bias_ih_l0 -= model.core.weight_ih_l0.sum(1) * 3.5
            model.core.weight_ih_l0 /= 10.0
    return model, mean, deviation


def _tables() -> dict[str, Any]:
    import tomllib

    return tomllib.loads(RECIPE)


@pytest.mark.parametrize("normalized", [True, False])
def test_import_quantize_simulate_export(run: Path, tmp_path: Path, normalized: bool) -> None:
    need_module("torch")
    import torch

    model, mean, deviation = train_torch(run, normalized)
    path = save_torch(tmp_path / "mine.pt", model.state_dict())
    (tmp_path / "norm.json").write_text(json.dumps({"mean": mean.tolist(), "deviation": deviation.tolist()}))
    x = np.random.default_rng(0).normal(size=(2, 9, 20)).astype(np.float32)
    with torch.no_grad():
        np.savez(tmp_path / "check.npz", x=x, y=model(torch.from_numpy(x)).numpy())
    (run / "recipe.json").unlink(missing_ok=True)
    result = import_model(
        path,
        str(run / "recipe.toml"),
        LABELS,
        run,
        quiet,
        tmp_path / "norm.json" if normalized else None,
        check=tmp_path / "check.npz",
    )
    assert result["labels"] == ["rise", "fall", "hill", "unknown", "silence"]
    assert result["largest_difference"] < 1e-5
    assert "silence" not in " ".join(result["notes"])
    assert load_checkpoint(run / "model.safetensors").source["imported"] == "mine.pt"
    scheme = "int8" if normalized else "int8x16"
    pipeline.quantize_model(run, scheme)
    clips = pipeline.simulate_model(run, quiet, scheme, Question(seconds=20.0))["clips"]
    assert clips["float"]["accuracy"] > 0.9
    assert clips["agreement"] > 0.95
    assert clips["logit_snr_db"] > 15
    assert any(f.endswith("kws.h") for f in pipeline.export_graph(run, tmp_path / "c", scheme=scheme)["files"])


def test_what_does_not_fit_the_recipe_is_named(run: Path, tmp_path: Path) -> None:
    need_module("torch")
    path = save_torch(tmp_path / "mine.pt", torch_model(torch_cores()["gru"](), len(LABELS)).state_dict())
    wide = tmp_path / "wide.toml"
    wide.write_text(RECIPE.replace("bands = 20", f"bands = {INPUTS}"))
    folder = tmp_path / "run"

    def refused(words: str, recipe: Path = wide, labels: Sequence[str] = LABELS, **more: Any) -> None:
        with pytest.raises(EdgernnError, match=words):
            import_model(path, str(recipe), labels, folder, quiet, **more)
        assert not folder.exists()

    refused(r"takes 6 inputs.*frontend.bands = 20", run / "recipe.toml")
    refused("5 outputs, but 2 labels", labels=["rise", "fall"])
    refused("'loud' does not fit", labels=["rise", "fall", "hill", "unknown", "loud"])
    refused("'rise' does not fit", labels=["rise", "rise", "hill", "fall", "unknown"])
    refused("no recipe", tmp_path / "absent.toml")
    for text, words in (
        ('{"mean": 35}', "no 'deviation'"),
        ('{"mean": [1, 2], "deviation": 1}', r"'mean' has shape \(2,\)"),
        ('{"mean": "a", "deviation": 1}', "must be a number"),
        ('{"mean": 35, "deviation": 0}', "too small"),
        ('{"mean": -9, "deviation": 1}', "outside 0 to 64"),
        ("{", "not valid JSON"),
    ):
        (tmp_path / "norm.json").write_text(text)
        refused(words, normalization=tmp_path / "norm.json")
    np.savez(tmp_path / "check.npz", x=X, y=np.ones((2, 12, 5), np.float32))
    refused("differs from its own answers", check=tmp_path / "check.npz")
    np.savez(tmp_path / "check.npz", x=X)
    refused("no .npz file", check=tmp_path / "check.npz")


def test_model_without_unknown_gets_one_that_never_wins(tmp_path: Path) -> None:
    need_module("torch")
    path = save_torch(tmp_path / "mine.pt", torch_model(torch_cores()["gru"](), OUTPUTS).state_dict())
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("bands = 20", f"bands = {INPUTS}"))
    result = import_model(path, str(recipe), ["hill", "fall", "rise"], tmp_path / "run", quiet)
    assert any("no output 'unknown'" in note for note in result["notes"])
    assert any("names no recordings" in note for note in result["notes"])
    net = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert net.labels == ("rise", "fall", "hill", "unknown")
    assert (net.run(X).argmax(-1) != 3).all()


def test_the_page_names_what_exists() -> None:
    """docs/importing.md: every option and suffix of it is real."""
    text = (ROOT / "docs" / "importing.md").read_text()
    from edgernn.imports import SUFFIXES

    assert set(re.findall(r"`(\.\w+)`", text)) <= {*SUFFIXES, ".npz"}
    assert {"--labels", "--normalization", "--layers", "--check"} <= set(re.findall(r"--\w+", text))
