"""edgernn: small recurrent nets from training to microcontrollers, the same bits everywhere.

    import edgernn

    model = edgernn.load("graph.ern")
    stream = model.stream()
    stream.push(pcm)            # what the model makes of it: events, sound, activity

The names below come from `edgernn/face.py` when they are first used, so that importing edgernn loads nothing; `__init__.pyi`
tells type checkers the same. docs/python.md shows them in use.
"""

import importlib

__version__ = "0.1.0"
__all__ = [
    "EdgernnError", "Model", "Stream", "__version__", "export", "load", "prepare", "quantize", "simulate", "train",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'edgernn' has no attribute {name!r}")
    home = "edgernn.errors" if name == "EdgernnError" else "edgernn.face"
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return __all__
