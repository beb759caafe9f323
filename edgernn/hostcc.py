"""The host's C compiler: found once, and shared libraries built from C and cached by the hash of what went in."""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgernn.artifacts import write_bytes
from edgernn.errors import EdgernnError, needs_extra

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")


def host_compiler() -> tuple[str, ...]:
    """The command that compiles C for this machine: $CC, cc, gcc, clang, or zig from the `ziglang` package."""
    try:
        chosen = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise EdgernnError(f"the environment variable CC, {os.environ['CC']!r}, is no command ({error})") from None
    if chosen:
        if shutil.which(chosen[0]) is None:
            raise EdgernnError(f"the compiler named by the environment variable CC, {chosen[0]!r}, does not exist")
        return tuple(chosen)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return (name,)
    if find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc")
    raise needs_extra("no C compiler found: install gcc or clang, or zig from the package index", "zig")


def cache_dir() -> Path:
    """Where compiled libraries are kept: $EDGERNN_CACHE, or the user's cache folder; a temporary one if that takes no files."""
    for path in _cache_places():
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path) as probe:
                probe.write(b"\0" * 4096)
            return path
        except OSError:
            continue
    return _own_folder()


@functools.cache
def _own_folder() -> Path:
    """A temporary folder for as long as this process lives."""
    try:
        scratch = tempfile.mkdtemp(prefix="edgernn-")
    except OSError as error:
        raise EdgernnError(f"no folder for compiled libraries ({error}); name one in EDGERNN_CACHE") from None
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return Path(scratch)


def _cache_places() -> list[Path]:
    if named := os.environ.get("EDGERNN_CACHE"):
        return [Path(named)]
    try:
        return [Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgernn"]
    except RuntimeError:  # nobody's home
        return []


@functools.cache
def host_core() -> str:
    """What this machine's processor is called among the cores of kernels: x86-64-v3 where it has AVX2, else its plain name."""
    try:
        found = shared_library([Path(__file__).with_name("hostcpu.c")], [], ("-O1",)).ern_host_has_avx2()
    except EdgernnError:  # a compiler that cannot ask
        found = False
    return "x86-64-v3" if found else platform.machine()


def shared_library(sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str] = ("-O3",)) -> ctypes.CDLL:
    """Compile C sources into a shared library (once per content) and load it.

    sources: C files; include: folders whose headers they use (all headers there count for the cache key).
    """
    key = _content_key(sources, include, flags)
    kept = next((p for place in _cache_places() if (p := place / f"ern-{key}.so").is_file()), None)
    library = kept or cache_dir() / f"ern-{key}.so"  # a full cache still holds what it holds
    if not library.exists():
        library = _compile_shared(library, sources, include, flags)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise EdgernnError(
            f"{library} cannot be loaded ({error}); delete it, or name another folder in EDGERNN_CACHE"
        ) from None


def _content_key(sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((host_compiler(), tuple(flags))).encode())
    headers = [h for folder in include for h in sorted(folder.glob("*.h"))]
    for path in [*sources, *headers]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:24]


def _compile_shared(library: Path, sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str]) -> Path:
    """Compile; returns where the library lies: in a temporary folder if the cache has no room for it."""
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / library.name
        run_compiler(
            [*host_compiler(), *WARNINGS, *flags, "-fPIC", "-shared", *(f"-I{i}" for i in include),
             *map(str, sources), "-o", str(built)]
        )  # fmt: skip
        data = built.read_bytes()
        try:
            write_bytes(library, data)
        except EdgernnError:
            library = _own_folder() / library.name
            write_bytes(library, data)
    return library


def run_tool(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program that speaks English and UTF-8, whatever the user's locale; one that does not start is an error."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment)
    except OSError as error:
        raise EdgernnError(f"{command[0]} does not start: {error.strerror}") from None


def run_compiler(command: Sequence[str]) -> None:
    """Run a compiler; its first error line becomes the sentence the user sees."""
    done = run_tool(command)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
        raise EdgernnError(f"compiling failed ({' '.join(command[:1])}): {lines[0] if lines else 'no message'}")
