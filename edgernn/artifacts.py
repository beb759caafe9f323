"""Files that are whole or not there: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edgernn.errors import EdgernnError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: errors of a disk without room; NumPy's own has no number at all
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, None)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; it takes the target's place when the block ends well, and vanishes when not.

    What a killed process left of the same target vanishes too. A full disk is an EdgernnError that names the target. A device
    or a pipe is written as it is.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with _room(path):
            yield path
        return
    with made_folder(path.parent), _scratch(path) as scratch, _room(path):
        yield scratch
        _put(scratch, path)


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """A disk that is full says so once, with the file's name."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise EdgernnError(f"cannot write {path}: {error.strerror or error}") from None


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """A folder for the block, made where it is missing; if the block fails, what was made goes again while it is empty."""
    try:
        missing = [x for x in (folder, *folder.parents) if not x.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgernnError(f"cannot write to the folder {folder}: {error.strerror}") from None
    try:
        yield
    except BaseException:
        for x in missing:
            with contextlib.suppress(OSError):
                x.rmdir()
        raise


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A new file beside the target for the block, locked as long, so that others see that it is no leftover."""
    try:
        _clear_left(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        held = lock(handle) and fcntl is not None
        while not os.path.exists(name):  # another writer of the same target took it for a leftover before it was locked
            os.close(handle)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            held = lock(handle) and fcntl is not None
    except OSError as error:
        raise EdgernnError(f"cannot write {path}: {error.strerror}") from None
    if not held:
        os.close(handle)  # Windows renames no file that is open
    try:
        os.chmod(name, 0o644)
        yield Path(name)
    finally:
        if held:
            os.close(handle)
        Path(name).unlink(missing_ok=True)


def _put(scratch: Path, path: Path) -> None:
    try:
        scratch.replace(path)
    except OSError as error:
        raise EdgernnError(f"cannot write {path}: {error.strerror}") from None


def lock(handle: int) -> bool:
    """Lock an open file or folder until it is closed, by its process's end at the latest; False if another process has it.

    Where locks do not exist (Windows, some network disks) everything counts as free.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _clear_left(path: Path) -> None:
    """Remove temporary files of this target that no process holds: their writers were killed."""
    if fcntl is None:
        return
    left = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}(\.tmp)?")
    for found in path.parent.iterdir():
        if left.fullmatch(found.name):
            with contextlib.suppress(OSError):
                handle = os.open(found, os.O_RDONLY)
                if lock(handle):
                    found.unlink(missing_ok=True)
                os.close(handle)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file in one piece."""
    with replacing(path) as scratch:
        scratch.write_bytes(data)


def check_file_name(what: str, name: str) -> None:
    """Refuse a name that would leave its folder, hide in it, or be no name on some system."""
    if not re.fullmatch(r'[^./\\<>:"|?*\x00-\x1f\x7f][^/\\<>:"|?*\x00-\x1f\x7f]{0,99}', name) or name != name.strip():
        raise EdgernnError(f"{what} {name!r} cannot name a folder or a file; use the word itself, without / and a leading dot")


def write_all(contents: Mapping[Path, bytes]) -> list[Path]:
    """Write several files, all of them or, if one cannot be written, none; returns their paths."""
    with ExitStack() as stack:
        for path, data in contents.items():
            stack.enter_context(replacing(path)).write_bytes(data)
    return list(contents)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file in one piece."""
    write_bytes(path, text_bytes(text))


def text_bytes(text: str) -> bytes:
    """UTF-8; what came from a file name that is none keeps its bytes."""
    return text.encode("utf-8", "surrogateescape")


def write_json(path: Path, value: Any) -> None:
    """Write canonical, readable JSON: sorted keys, two spaces."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or damaged one is a sentence, not a traceback."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise EdgernnError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise EdgernnError(f"{path} is not valid JSON: {error}") from None
