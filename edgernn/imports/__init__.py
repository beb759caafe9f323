"""Trained float models from elsewhere: PyTorch state dicts, Keras files and ONNX graphs (docs/importing.md).

`read_model` turns a file into recipe layers and the weights their cells expect; a task makes a run folder of it. Each reader
stands alone and sees only its own format.
"""

from __future__ import annotations

from pathlib import Path

from edgernn.errors import EdgernnError
from edgernn.imports._base import Imported

SUFFIXES = {
    ".pt": "torch", ".pth": "torch", ".ckpt": "torch", ".safetensors": "torch",
    ".keras": "keras", ".h5": "keras", ".hdf5": "keras",
    ".onnx": "onnx",
}  # fmt: skip
_PACKED = b"PK\x03\x04"
#: first bytes a file of that suffix must have, where the format has any
_MAGIC = {".keras": _PACKED, ".h5": b"\x89HDF\r\n\x1a\n", ".hdf5": b"\x89HDF\r\n\x1a\n"}


def read_model(path: Path, layers: str = "") -> Imported:
    """Read a model file; the reader follows from its suffix.

    layers: for PyTorch only, what a state dict cannot tell: "rnn:tanh,fc1:relu,fc2" (see `edgernn.imports.torch`).
    Raises EdgernnError, naming the layer, node or tensor, for whatever cannot be imported exactly.
    """
    path = Path(path)
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise EdgernnError(f"cannot tell the format of {path} by its name; known endings: {', '.join(SUFFIXES)}")
    _check_start(path)
    if kind == "torch":
        from edgernn.imports.torch import read

        return read(path, layers)
    if layers:
        raise EdgernnError(f"{path}: layers are named for PyTorch files only; a {path.suffix} file tells them itself")
    return _read_graph(path, kind)


def _read_graph(path: Path, kind: str) -> Imported:
    if kind == "keras":
        from edgernn.imports.keras import read
    else:
        from edgernn.imports.onnx import read
    return read(path)


def _check_start(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise EdgernnError(f"cannot read {path}: {error.strerror}") from None
    expected = _MAGIC.get(path.suffix.lower(), b"")
    if not start:
        raise EdgernnError(f"{path} is empty; export the model again")
    if not start.startswith(expected):
        raise EdgernnError(f"{path} is damaged or no {path.suffix} file (it does not start as one); export it again")


__all__ = ["SUFFIXES", "Imported", "read_model"]
