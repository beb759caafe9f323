"""PyTorch: a state dict, from a .safetensors file or a .pt file that holds tensors alone.

A state dict names tensors, not what is done with them. So where more than one reading is possible, `layers` must tell:
the modules from input to output, separated by commas, each with what follows it after a colon:

    rnn:tanh,fc1:relu,fc2

A module is named by the prefix of its tensors ("fc1" for fc1.weight). An nn.RNN needs its nonlinearity (tanh or relu), a
Linear before the last one its activation (relu or none). Gates are r, z, n and i, f, g, o, as in edgernn's own cells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._base import Arrays, Imported, Part, assemble, dense, recurrent
from edgernn.imports._torch_file import load

_RECURRENT = re.compile(r"(?:(?P<module>.*)\.)?(?P<kind>weight|bias)_(?P<of>ih|hh|hr)(?:_l(?P<layer>\d+))?(?P<back>_reverse)?")
_CELLS = {3: "gru", 4: "lstm"}
#: what a tensor of no layer is, by its name, and what to do
_OTHERS = (
    (r"(^|\.)(criterion|\w*loss\w*)(\.|$)", "is of the loss, not of the model; leave it out of what you save"),
    (r"parametrizations|original\d*$|weight_(g|v|orig|mask)$", "is of a parametrisation, such as weight norm or pruning; remove"
     " that before saving, with torch.nn.utils.parametrize.remove_parametrizations or torch.nn.utils.prune.remove"),
    (r"_packed_params|zero_point$|(^|\.)scale$", "is of a quantized module; save the float model: edgernn quantizes it itself"),
    (r"lora_", "is of LoRA matrices; merge them into their layer and save again"),
    (r"running_(mean|var)$|num_batches_tracked$", "is of a batch normalisation; fold that into the layer before it, or train"
     " without it"),
    (r"", "belongs to no GRU, LSTM, RNN or Linear; fold that module into its neighbours, or train without it; if it is not of"
     " the model, leave it out of what you save"),
)  # fmt: skip


@dataclass
class _Module:
    """Tensors of one module: of a Linear under weight and bias, of a recurrent one by stacked layer."""

    linear: dict[str, NDArray[Any]] = field(default_factory=dict)
    stack: dict[int, dict[str, NDArray[Any]]] = field(default_factory=dict)

    @property
    def is_rnn(self) -> bool:
        """A recurrent module of one gate, whose nonlinearity the tensors do not tell."""
        return any(_gates(layer) == 1 for layer in self.stack.values())


def read(path: Path, layers: str = "") -> Imported:
    """The model of a state dict; see the module docstring for `layers`."""
    stored = load(path)
    modules = _modules(path, stored.tensors)
    chain = _chain(path, modules, layers)
    parts = [part for name, follows in chain for part in _parts(path, name, modules[name], follows)]
    order = ", ".join(name for name, _ in chain)
    note = f"a state dict does not tell what lies between modules: taken as {order} with nothing else between and logits out"
    return assemble(str(path), parts, notes=(*stored.notes, note), half=stored.half)


def _modules(path: Path, tensors: Arrays) -> dict[str, _Module]:
    """Tensors by module, in the order of the file."""
    found: dict[str, _Module] = {}
    for name, value in tensors.items():
        match = _RECURRENT.fullmatch(name)
        if match:
            _refuse_variants(path, name, match)
            module = found.setdefault(match["module"] or "", _Module())
            module.stack.setdefault(int(match["layer"] or 0), {})[f"{match['kind']}_{match['of']}"] = value
            continue
        prefix, _, last = name.rpartition(".")
        if (last, value.ndim) not in (("weight", 2), ("bias", 1)) or re.search(_OTHERS[0][0], name):
            what = next(text for pattern, text in _OTHERS if re.search(pattern, name))
            raise EdgernnError(f"{path}: the tensor {name!r} of shape {value.shape} {what}")
        found.setdefault(prefix, _Module()).linear[last] = value
    return found


def _refuse_variants(path: Path, name: str, match: re.Match[str]) -> None:
    if match["back"]:
        raise EdgernnError(
            f"{path}: {name!r} is of a bidirectional layer, which needs the future; train with bidirectional=False"
        )
    if match["of"] == "hr":
        raise EdgernnError(f"{path}: {name!r} is of an LSTM with proj_size, which edgernn has not; train with proj_size=0")


def _chain(path: Path, modules: Mapping[str, _Module], layers: str) -> list[tuple[str, str]]:
    """(module, what follows it) from input to output: as told, or where tensors leave one reading."""
    if layers:
        return _told(path, modules, layers)
    dense_layers = [name for name, m in modules.items() if not m.stack]
    others = [name for name, m in modules.items() if m.stack]
    unknown = [f"the nonlinearity of the RNN {name!r}" for name in others if modules[name].is_rnn]
    unknown += [f"the order of {', '.join(map(repr, others))}"] if len(others) > 1 else []
    unknown += [f"the order and activations of {', '.join(map(repr, dense_layers))}"] if len(dense_layers) > 1 else []
    if unknown:
        example = ",".join([*(f"{n}:tanh" if modules[n].is_rnn else n for n in others), *(f"{n}:relu" for n in dense_layers)])
        example = example.removesuffix(":relu")
        raise EdgernnError(f"{path} does not tell {' and '.join(unknown)}; name them with --layers, such as {example}")
    return [(name, "") for name in (*others, *dense_layers)]


def _told(path: Path, modules: Mapping[str, _Module], layers: str) -> list[tuple[str, str]]:
    chain = []
    for item in layers.split(","):
        name, _, follows = item.strip().partition(":")
        if name not in modules:
            raise EdgernnError(f"{path} has no module {name!r}; it has {', '.join(map(repr, modules))}")
        chain.append((name, follows.strip()))
    names = [name for name, _ in chain]
    if sorted(names) != sorted(modules):
        wrong = sorted(set(modules) - set(names)) or sorted({n for n in names if names.count(n) > 1})
        raise EdgernnError(f"{path}: --layers must name each module once, but {wrong[0]!r} is missing or named twice")
    for name, follows in chain[:-1]:
        if not follows and not modules[name].stack:
            raise EdgernnError(f"{path} does not tell what follows the Linear {name!r}; name it, as {name}:relu or {name}:none")
    return chain


def _parts(path: Path, name: str, module: _Module, follows: str) -> list[Part]:
    if not module.stack:
        return [_linear(path, name, module.linear, follows)]
    if module.linear:
        raise EdgernnError(f"{path}: {name!r} has tensors of both a Linear and a recurrent module; name its modules apart")
    if sorted(module.stack) != list(range(len(module.stack))):
        missing = min(set(range(max(module.stack))) - set(module.stack))
        raise EdgernnError(f"{path}: {name!r} lacks the tensors of layer {missing}, such as weight_ih_l{missing}")
    if follows and not module.is_rnn:
        raise EdgernnError(f"{path}: {name!r} is no nn.RNN and takes no nonlinearity, but {follows!r} was given")
    return [_stacked(path, name, k, module.stack[k], follows) for k in range(len(module.stack))]


def _stacked(path: Path, name: str, k: int, tensors: Arrays, follows: str) -> Part:
    where = f"{name}.{{}}_l{k}".lstrip(".")
    for key in ("weight_ih", "weight_hh"):
        if key not in tensors or tensors[key].ndim != 2:
            raise EdgernnError(f"{path}: the tensor {where.format(key)!r} is missing or no matrix; save the whole state dict")
    if len({key for key in tensors if key.startswith("bias")}) == 1:
        other = "bias_hh" if "bias_ih" in tensors else "bias_ih"
        raise EdgernnError(f"{path}: the tensor {where.format(other)!r} is missing; save the whole state dict")
    gates = _gates(tensors)
    if gates == 1 and follows not in ("tanh", "relu"):
        raise EdgernnError(f"{path}: {name!r} is an nn.RNN; name its nonlinearity with --layers, as {name}:tanh or {name}:relu")
    if gates != 1 and gates not in _CELLS:
        shapes = f"{tensors['weight_ih'].shape} and {tensors['weight_hh'].shape}"
        raise EdgernnError(f"{path}: {where.format('weight_*')!r} of shapes {shapes} are of no GRU, LSTM or RNN")
    biases = (tensors.get("bias_ih"), tensors.get("bias_hh"))
    cell = _CELLS.get(gates) or f"rnn_{follows}"
    return recurrent(f"{name}_l{k}".lstrip("_"), cell, tensors["weight_ih"], tensors["weight_hh"], *biases)


def _gates(tensors: Arrays) -> int:
    """Gates by the rows of the recurrent matrix; 0 where they are no whole number."""
    rows, units = (*tensors["weight_hh"].shape, 0, 0)[:2] if "weight_hh" in tensors else (0, 0)
    return rows // units if units and rows % units == 0 else 0


def _linear(path: Path, name: str, tensors: Arrays, follows: str) -> Part:
    if "weight" not in tensors:
        raise EdgernnError(f"{path}: the tensor {name + '.weight'!r} is missing; save the whole state dict")
    if follows not in ("", "relu", "none"):
        raise EdgernnError(f"{path}: the activation {follows!r} after {name!r} has no integer form; use relu or none")
    return dense(name, tensors["weight"], tensors.get("bias"), follows == "relu")
