"""C files to a WebAssembly module without imports, by zig from the package index: for a page that opens from disk."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from edgernn.errors import needs_extra
from edgernn.hostcc import run_compiler

_LIBMEM = Path(str(files("targets"))) / "startup" / "libmem.c"
STACK_BYTES = 65536


def build_wasm(sources: Sequence[Path], include_dirs: Sequence[Path], exports: Sequence[str]) -> bytes:
    """The module; it exports its memory, `__heap_base` (where free memory begins) and the functions named.

    EdgernnError when zig is not installed or the C does not compile.
    """
    if find_spec("ziglang") is None:
        raise needs_extra("WebAssembly needs zig", "zig")
    with tempfile.TemporaryDirectory(prefix="edgernn-wasm-") as scratch:
        out = Path(scratch) / "model.wasm"
        run_compiler([
            sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-std=c99", "-O2", "-nostdlib",
            "-Wl,--no-entry", "-Wl,--strip-all", f"-Wl,-z,stack-size={STACK_BYTES}",
            *(f"-Wl,--export={name}" for name in ("__heap_base", *exports)), *(f"-I{folder}" for folder in include_dirs),
            *map(str, sources), str(_LIBMEM), "-o", str(out),
        ])  # fmt: skip
        return out.read_bytes()
