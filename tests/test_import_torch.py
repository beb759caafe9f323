"""PyTorch checkpoints: wherever the state dict lies in them; what is none is told by what it is, and no code of it runs."""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported import INPUTS, OUTPUTS, X, assert_equal, save_torch, torch_model
from needs import need_module

from edgernn.errors import EdgernnError
from edgernn.imports import read_model
from edgernn.tasks.spot.importing import import_model

State = dict[str, Any]


def gru(seed: int = 1) -> Any:
    """A module `core` and a Linear `fc0`."""
    need_module("torch")
    import torch

    torch.manual_seed(seed)
    return torch_model(torch.nn.GRU(INPUTS, 5, batch_first=True), OUTPUTS)


def answered(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(X)).numpy()


# What is read ---------------------------------------------------------------------


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"epoch": 3, "net": s},
        lambda s: {"model_state": s, "optimizer": {"state": {0: {"exp_avg": next(iter(s.values()))}}, "param_groups": []}},
        lambda s: {"checkpoint": {"model": {"state_dict": s}}, "loss": next(iter(s.values())).sum()},
        lambda s: {"state_dict": prefixed(s, "model."), "pytorch-lightning_version": "2.1", "callbacks": {}},
        lambda s: prefixed(s, "module."),
        lambda s: prefixed(s, "_orig_mod."),
        lambda s: prefixed(s, "module._orig_mod."),
        lambda s: {"state_dict": prefixed(s, "model._orig_mod.")},
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
def test_the_state_dict_is_found(wrap: Callable[[State], Any], suffix: str, tmp_path: Path) -> None:
    model = gru()
    path = save_torch(tmp_path / f"m{suffix}", wrap(model.state_dict()))
    assert_equal(read_model(path), X, answered(model))


def test_prefixes_do_not_reach_the_names_to_give(tmp_path: Path) -> None:
    model = gru()
    path = save_torch(tmp_path / "m.pt", prefixed(model.state_dict(), "module."))
    assert_equal(read_model(path, "core,fc0"), X, answered(model))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_averaged_model_is_read_once_it_has_averaged(suffix: str, tmp_path: Path) -> None:
    model = gru()
    from torch.optim.swa_utils import AveragedModel

    average = AveragedModel(model)
    with pytest.raises(EdgernnError, match=r"averaged nothing yet \(n_averaged = 0\).*update_parameters"):
        read_model(save_torch(tmp_path / f"m{suffix}", average.state_dict()))
    average.update_parameters(model)
    found = read_model(save_torch(tmp_path / f"m{suffix}", average.state_dict()))
    assert_equal(found, X, answered(model))
    assert any("over 1 updates" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16"])
def test_other_floats_are_read(kind: str, tmp_path: Path) -> None:
    model = gru()
    import torch

    held = {name: value.to(getattr(torch, kind)) for name, value in model.state_dict().items()}
    model.load_state_dict({name: value.float() for name, value in held.items()})
    found = read_model(save_torch(tmp_path / "m.pt", held))
    assert_equal(found, X, answered(model))
    assert found.half == ("" if kind == "float64" else kind)


RECIPE = 'name = "mine"\n[data]\nkeywords = ["yes", "no"]\n[frontend]\nbands = 20\n'


def test_a_check_allows_for_the_rounding_of_16_bits(tmp_path: Path) -> None:
    """And for no more than that: another function is found out still."""
    need_module("torch")
    import torch

    torch.manual_seed(0)
    model = torch_model(torch.nn.GRU(20, 5, batch_first=True), 3)
    x = torch.randn(2, 12, 20)
    path = save_torch(tmp_path / "m.pt", {name: value.half() for name, value in model.state_dict().items()})
    (tmp_path / "r.toml").write_text(RECIPE)

    def checked(y: Any) -> dict[str, Any]:
        np.savez(tmp_path / "check.npz", x=x.numpy(), y=y.detach().numpy())
        told = ["yes", "no", "unknown"]
        return import_model(
            path, str(tmp_path / "r.toml"), told, tmp_path / "run", lambda *a: None, check=tmp_path / "check.npz"
        )

    result = checked(model(x))
    assert 1e-5 < result["largest_difference"] < 2e-3
    assert any("computes in float16" in note for note in result["notes"])
    with pytest.raises(EdgernnError, match=r"differs from its own answers.*computes in float16.*save it in float32"):
        checked(torch.relu(model(x)) + 0.1)


# What is none ---------------------------------------------------------------------


class Evil:
    """Leaves a file behind if it is ever unpickled."""

    mark = "/nowhere"

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


def script(path: Path, model: Any) -> None:
    import torch

    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), str(path))


def saved(value: Callable[[Any], Any], **options: Any) -> Callable[[Path, Any], None]:
    def write(path: Path, model: Any) -> None:
        import torch

        torch.save(value(model), path, **options)

    return write


def quantized(model: Any) -> Any:
    import torch

    return {"fc0.weight": torch.quantize_per_tensor(model.fc0.weight.detach(), 0.1, 0, torch.qint8), **_bias(model)}


def _bias(model: Any) -> State:
    return {"fc0.bias": model.fc0.bias.detach()}


def with_tensor(name: str, *shape: int) -> Callable[[Any], Any]:
    def add(model: Any) -> Any:
        import torch

        return {**model.state_dict(), name: torch.ones(*shape)}

    return add


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (saved(lambda m: m.core), r"whole pickled module \(class torch.nn.modules.rnn.GRU\).*torch.save\(model.state_dict"),
        (saved(lambda m: m.core, _use_new_zipfile_serialization=False), "whole pickled module.*GRU"),
        (script, "TorchScript archive.*state_dict"),
        (saved(quantized), "'fc0.weight' is quantized; save the float model|of a quantized model"),
        (saved(lambda m: {"state_dict": m.state_dict(), "args": argparse.Namespace(a=1)}), "class argparse.Namespace"),
        (saved(lambda m: {"model": m.state_dict(), "ema": m.state_dict()}), r"2 state dicts, checkpoint\['model'\] and"),
        (saved(lambda m: {**prefixed(m.state_dict(), "online_model."), **prefixed(m.state_dict(), "ema_model.")}),
         "holds a model twice, 'online_model' and its average 'ema_model'"),
        (saved(lambda m: {"decay": 0.9, "shadow_params": list(m.state_dict().values())}), "dict .decay, shadow_params"),
        (saved(lambda m: [1, 2]), "no state dict .list"),
        (saved(with_tensor("criterion.weight", 4)), "'criterion.weight'.*is of the loss"),
        (saved(with_tensor("criterion.weight", 4, 5)), "'criterion.weight'.*is of the loss"),
        (saved(with_tensor("loss_fn.pos_weight", 4)), "'loss_fn.pos_weight'.*is of the loss"),
        (saved(with_tensor("fc0.parametrizations.weight.original0", 3, 1)), "parametrisation.*remove_parametrizations"),
        (saved(with_tensor("fc0.weight_g", 3, 1)), "parametrisation"),
        (saved(with_tensor("fc0.weight_mask", 3, 5)), "parametrisation.*prune.remove"),
        (saved(with_tensor("norm.running_var", 3)), "batch normalisation"),
        (saved(with_tensor("norm.weight", 3)), "belongs to no GRU"),
        (saved(with_tensor("core.weight_hr_l0", 3, 5)), "proj_size=0"),
        (saved(lambda m: {k: v.to_sparse() if v.ndim == 2 else v for k, v in m.state_dict().items()}), "is sparse.*to_dense"),
        (saved(lambda m: {k: v.to(dtype=_float8()) for k, v in m.state_dict().items()}), "float8.*float32"),
        (saved(lambda m: {k: v.to(dtype=_complex()) for k, v in m.state_dict().items()}), "complex64; save the float model"),
    ],
)  # fmt: skip
def test_what_is_no_state_dict_is_told(write: Any, words: str, tmp_path: Path) -> None:
    model, path = gru(), tmp_path / "m.pt"
    write(path, model)
    with pytest.raises(EdgernnError, match=words) as caught:
        read_model(path)
    assert str(caught.value).isprintable(), "one line without terminal codes"


def _float8() -> Any:
    import torch

    return torch.float8_e4m3fn


def _complex() -> Any:
    import torch

    return torch.complex64


@pytest.mark.parametrize("torch_format", [True, False])
def test_no_code_of_a_file_runs(torch_format: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gru()
    import torch

    monkeypatch.setattr(Evil, "mark", str(tmp_path / "ran"))
    path = tmp_path / "m.pt"
    if torch_format:
        torch.save({"state_dict": gru().state_dict(), "extra": Evil()}, path)
    else:
        path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(EdgernnError, match=r"objects beside tensors|cannot read tensors alone") as caught:
        read_model(path)
    assert not (tmp_path / "ran").exists()
    assert str(caught.value).isprintable()
