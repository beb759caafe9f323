"""HDF5 in a child process: on damaged files libhdf5 may loop for ever or crash, and that must not reach the user.

    python -m edgernn.imports._h5 < weights.h5 > weights.npz

The child reads a file's bytes and writes its layers' arrays as .npz, named "<layer>/<number>", and the model's config, if
the file has one, as text in "config".
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._base import package

MOST_BYTES = 1 << 28  #: far above any microcontroller; bounds what a damaged header can make us allocate
TIMEOUT = 60.0  #: seconds; a healthy file takes less than one
Stored = dict[str, list[NDArray[Any]]]


def read_layers(path: Path, content: bytes) -> tuple[str, Stored]:
    """Config (or "") and the weights of each layer, in order, of an HDF5 file's bytes; `path` names it in errors."""
    package("h5py", "h5")
    try:
        done = subprocess.run([sys.executable, "-m", __name__], input=content, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise EdgernnError(f"{path} is damaged: reading its weights did not end; export it again") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise EdgernnError(f"{path} is damaged or no Keras file ({lines[-1][:200]}); export it again")
    stored: Stored = {}
    with np.load(io.BytesIO(done.stdout)) as held:
        for name in held.files:
            if name != "config":
                stored.setdefault(name.rpartition("/")[0], []).append(held[name])
        return str(held["config"]), stored


def main() -> None:
    """The child's side."""
    import h5py

    with h5py.File(io.BytesIO(sys.stdin.buffer.read()), "r") as file:
        config = _text(file.attrs.get("model_config", ""))
        layers = dict(_whole_model(file["model_weights"]) if config else _weights(file["layers"]))
        arrays = {f"{layer}/{i}": np.asarray(d[()]) for layer, held in layers.items() for i, d in enumerate(held) if _sane(d)}
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, config=np.array(config), **arrays)
    sys.stdout.buffer.write(out.getvalue())


def _whole_model(groups: Any) -> Iterator[tuple[str, list[Any]]]:
    """.h5 of a whole model: layers by name, each with an attribute that lists its weights."""
    for name in groups:
        names = [_text(w) for w in groups[name].attrs.get("weight_names", [])]
        yield name, [groups[name][w] for w in names if "seed" not in w]


def _weights(groups: Any) -> Iterator[tuple[str, list[Any]]]:
    """model.weights.h5 of a .keras archive: layers by class and number, datasets in groups below."""
    for name in groups:
        yield name, list(_datasets(groups[name]))


def _datasets(group: Any) -> Iterator[Any]:
    """In the order of a layer's weights; the state of dropout's generator is none of them."""
    for name in sorted(group):
        if hasattr(group[name], "dtype"):
            yield group[name]
        elif name != "seed_generator":
            yield from _datasets(group[name])


def _sane(dataset: Any) -> bool:
    if dataset.nbytes > MOST_BYTES:
        raise ValueError(f"{dataset.name} is larger than {MOST_BYTES >> 20} MiB, too large for edgernn")
    return True


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    main()
