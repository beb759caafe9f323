"""Tensors by name out of a .safetensors file or a checkpoint of torch.save. No code of a file is ever run.

Checkpoints are read with weights_only=True, so anything but tensors and plain containers is refused; what the file is
instead, and what to save, is told from the names of the classes that its pickle asks for.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._base import decoding, package, printable

_SAVE = "save its tensors alone, with torch.save(model.state_dict(), ...)"
#: safetensors' types that NumPy holds
_HELD = ("F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
#: prefixes that DataParallel, AveragedModel and torch.compile put before every name
_WRAPPERS = ("module.", "_orig_mod.")
_AVERAGED = re.compile(r"ema|averag|shadow|swa|teacher", re.IGNORECASE)


@dataclass(frozen=True)
class Stored:
    """What a file holds: tensors by name, without the prefixes of wrappers; notes; the 16-bit type NumPy lacks, or ""."""

    tensors: Mapping[str, NDArray[Any]]
    notes: tuple[str, ...] = ()
    half: str = ""


def load(path: Path) -> Stored:
    """The tensors of the one state dict in the file."""
    packed = path.suffix.lower() == ".safetensors"
    tensors, half = (_safetensors(path), "") if packed else _checkpoint(path)
    tensors, notes = _averaged(path, tensors)
    tensors = _unwrapped(tensors)
    _check_one_copy(path, tensors)
    return Stored(tensors, notes, half)


def _safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Every tensor of the file, in alphabetical order."""
    from safetensors import safe_open

    with decoding(path, "safetensors file"), safe_open(path, framework="numpy") as file:
        names = sorted(file.keys())
        for name in names:
            kind = file.get_slice(name).get_dtype()
            if kind not in _HELD:
                raise EdgernnError(f"{path}: tensor {name!r} is {kind}; save the float model as float32")
        return {name: file.get_tensor(name) for name in names}


# Checkpoints ----------------------------------------------------------------------


def _checkpoint(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Tensors of a .pt file, and "bfloat16" where some are."""
    torch = package("torch", "train")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # any kind: torch's reader raises as the bytes have it
        raise _unreadable(path, error, torch) from None
    found = list(_state_dicts(held, (), torch))
    if not found:
        keys = ", ".join(str(k) for k in list(held)[:6]) if isinstance(held, Mapping) else type(held).__name__
        raise EdgernnError(f"{path} holds no state dict ({printable(keys) or 'nothing'}); {_SAVE}")
    if len(found) > 1:
        shown = " and ".join(f"checkpoint{_subscript(where)}" for where, _ in found[:3])
        raise EdgernnError(
            f"{path} holds {len(found)} state dicts, {shown}; save the one to import alone, as"
            f" torch.save(checkpoint{_subscript(found[0][0])}, ...)"
        )
    values = {str(name): value for name, value in found[0][1].items()}
    half = any(isinstance(v, torch.Tensor) and v.dtype == torch.bfloat16 for v in values.values())
    return {name: _array(path, name, value, torch) for name, value in values.items()}, "bfloat16" if half else ""


def _subscript(where: Sequence[str]) -> str:
    return "".join(f"[{key!r}]" for key in where)


def _state_dicts(value: Any, where: tuple[str, ...], torch: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Tables that hold a module's weights or biases, each with the keys that lead to it."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value) or len(where) > 4:
        return
    if any(isinstance(v, torch.Tensor) and re.search(r"weight|bias", k) for k, v in value.items()):
        yield where, value
        return
    for key, inner in value.items():
        yield from _state_dicts(inner, (*where, key), torch)


def _array(path: Path, name: str, value: Any, torch: Any) -> NDArray[Any]:
    if not isinstance(value, torch.Tensor):
        raise EdgernnError(f"{path}: {name!r} is no tensor but {type(value).__name__}; save model.state_dict() alone")
    if value.is_quantized:
        raise EdgernnError(f"{path}: {name!r} is quantized; save the float model: edgernn quantizes it itself")
    if value.layout != torch.strided:
        raise EdgernnError(f"{path}: {name!r} is sparse; save it as value.to_dense()")
    with decoding(path, "state dict"):
        try:
            return np.asarray((value.detach().float() if value.dtype == torch.bfloat16 else value.detach()).numpy())
        except (TypeError, RuntimeError):
            raise EdgernnError(f"{path}: {name!r} is {value.dtype}; save the float model as float32") from None


def _unreadable(path: Path, error: Exception, torch: Any) -> EdgernnError:
    """What a file is that holds more than tensors, and what to save instead."""
    if _is_script(path):
        return EdgernnError(f"{path} is a TorchScript archive, which holds code; {_SAVE}")
    classes = _classes(path, error, torch)
    if any("quantized" in c or "ScriptObject" in c for c in classes):
        return EdgernnError(f"{path} is of a quantized model ({classes[0]}); save the float model's state_dict() instead")
    if any(c.startswith("torch.nn.") for c in classes):
        return EdgernnError(f"{path} is a whole pickled module (class {classes[0]}), which loads by running code; {_SAVE}")
    if classes:
        return EdgernnError(f"{path} holds objects beside tensors (class {classes[0]}), which load by running code; {_SAVE}")
    problem = f"cannot read tensors alone from {path} ({type(error).__name__}: {printable(error, 120)})"
    return EdgernnError(f"{problem}; {_SAVE}")


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(re.search(r"(^|/)code/", name) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _classes(path: Path, error: Exception, torch: Any) -> list[str]:
    """Names of the classes that the pickle asks for, found without loading it."""
    try:
        found = list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # older formats: torch's message names the first
        found = []
    named = re.search(r"GLOBAL ([\w.]+) was not an allowed global", str(error))
    found = [printable(c) for c in found] or ([named[1]] if named else [])
    return sorted(found, key=lambda c: c.startswith("torch."))


# Wrappers -------------------------------------------------------------------------


def _averaged(path: Path, tensors: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Without the count of torch's AveragedModel, which becomes a note."""
    if "n_averaged" not in tensors or tensors["n_averaged"].size != 1:
        return tensors, ()
    count = int(tensors["n_averaged"].reshape(-1)[0])
    if count < 1:
        raise EdgernnError(
            f"{path} is an AveragedModel that has averaged nothing yet (n_averaged = 0); call its update_parameters while"
            " training, or save the trained model.state_dict()"
        )
    rest = {name: value for name, value in tensors.items() if name != "n_averaged"}
    return rest, (f"the weights are an AveragedModel's, over {count} updates",)


def _unwrapped(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Names without the prefixes that wrappers put before all of them."""
    names = {name: name.replace("._orig_mod.", ".") for name in tensors}
    for prefix in _WRAPPERS * 3:
        if all(name.startswith(prefix) for name in names.values()):
            names = {old: name.removeprefix(prefix) for old, name in names.items()}
    return {names[old]: value for old, value in tensors.items()} if len(set(names.values())) == len(names) else tensors


def _check_one_copy(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """An average beside the model itself: two models, and the file does not tell which to take."""
    groups: dict[str, set[tuple[str, tuple[int, ...]]]] = {}
    for name, value in tensors.items():
        top, _, rest = name.partition(".")
        groups.setdefault(top, set()).add((rest, value.shape))
    for top, held in groups.items():
        same = [other for other, theirs in groups.items() if other != top and theirs & held == held]
        if _AVERAGED.search(top) and same and any("." in rest for rest, _ in held):
            raise EdgernnError(
                f"{path} holds a model twice, {same[0]!r} and its average {top!r}; save one alone, as"
                f" torch.save(model.{top}.state_dict(), ...)"
            )
