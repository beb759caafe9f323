"""The host's C compiler: found once, and shared libraries built from C and cached by the hash of what went in."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgernn.errors import EdgernnError

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")


def host_compiler() -> tuple[str, ...]:
    """The command that compiles C for this machine: $CC, cc, gcc, clang, or zig from the `ziglang` package."""
    if chosen := shlex.split(os.environ.get("CC", "")):
        if shutil.which(chosen[0]) is None:
            raise EdgernnError(f"the compiler named by the environment variable CC, {chosen[0]!r}, does not exist")
        return tuple(chosen)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return (name,)
    if find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc")
    raise EdgernnError("no C compiler found: install gcc or clang, or `pip install edgernn[zig]`")


def cache_dir() -> Path:
    """Where compiled libraries are kept: $EDGERNN_CACHE, or the user's cache folder."""
    base = os.environ.get("EDGERNN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgernn"
    path = Path(base)
    path.mkdir(parents=True, exist_ok=True)
    return path


def shared_library(sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str] = ("-O3",)) -> ctypes.CDLL:
    """Compile C sources into a shared library (once per content) and load it.

    sources: C files; include: folders whose headers they use (all headers there count for the cache key).
    """
    key = _content_key(sources, include, flags)
    library = cache_dir() / f"ern-{key}.so"
    if not library.exists():
        _compile_shared(library, sources, include, flags)
    return ctypes.CDLL(str(library))


def _content_key(sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((host_compiler(), tuple(flags))).encode())
    headers = [h for folder in include for h in sorted(folder.glob("*.h"))]
    for path in [*sources, *headers]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:24]


def _compile_shared(library: Path, sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        built = Path(scratch) / library.name
        run_compiler(
            [*host_compiler(), *WARNINGS, *flags, "-fPIC", "-shared", *(f"-I{i}" for i in include),
             *map(str, sources), "-o", str(built)]
        )  # fmt: skip
        built.replace(library)


def run_compiler(command: Sequence[str]) -> None:
    """Run a compiler; its first error line becomes the sentence the user sees."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
        raise EdgernnError(f"compiling failed ({' '.join(command[:1])}): {lines[0] if lines else 'no message'}")
