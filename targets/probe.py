"""`edgernn run --probe`: a board's own gdb server (pyocd, OpenOCD), started for one session of gdb and stopped after it."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from edgernn.errors import EdgernnError
from targets.board import Board, Tool

PREFIX = "probe:"
_PATIENCE = 30.0  #: seconds until a server must listen; pyocd reads its probe's firmware first
_POLL = 0.05
_ROOT = "check its cable, and your rights to it (on Linux a udev rule)"
#: what servers say, and what it means
_MEANINGS = (
    (r"No connected debug probes|No probe selected|unable to find a matching CMSIS-DAP|open failed|No J-Link device|"
     r"no device found|could not find or open device", f"no probe was found: connect it, {_ROOT}"),
    (r"UNEXPECTED|multidrop|Cannot identify target|Unknown device|device id .* does not match",
     "the probe has another chip than this board's"),
    (r"all zeroes|all ones|No ACK|target voltage|Failed to read|No device connected",
     "the probe was found, but no chip answers it: check the wires and the board's power"),
)  # fmt: skip


def choose(board: Board, name: str = "auto") -> Tool:
    """The board's probe by its program's name, "auto": the first that is installed; an error says how to get one."""
    known = {Path(p.command[0]).name: p for p in board.probes}
    if not known:
        raise EdgernnError(
            f"{board.name}'s file names no [[probes]]: start a gdb server yourself, and give it by --gdb HOST:PORT"
        )
    if name != "auto" and name not in known:
        raise EdgernnError(f"{board.name} has no probe {name!r}: use auto, {' or '.join(known)}")
    wanted = list(known.values()) if name == "auto" else [known[name]]
    found = next((probe for probe in wanted if shutil.which(probe.command[0])), None)
    if found is None:
        ways = " or ".join(f"{probe.command[0]} ({probe.install})" for probe in wanted)
        raise EdgernnError(f"no program for {board.name}'s probe is installed: get {ways}")
    return found


@contextlib.contextmanager
def serving(board: Board, elf: Path, name: str = "auto") -> Iterator[str]:
    """HOST:PORT of the server, which lives as long as the block; what it said last is added to an error in the block."""
    probe, port = choose(board, name), _free_port()
    words = [word.replace("{port}", str(port)).replace("{elf}", str(elf.resolve())) for word in probe.command]
    with tempfile.TemporaryFile() as log, _interrupts_held() as let_go:
        # a session of its own: Ctrl-C must reach gdb first, the server is stopped below
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            let_go()
            _wait(process, port, log, words[0])
            yield f"localhost:{port}"
        except EdgernnError as error:
            raise EdgernnError(_explained(str(error), words[0], _said(log))) from None
        finally:
            _stop(process)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[Callable[[], None]]:
    """Ctrl-C waits until what is given is called: a server that has begun and is known to nobody would not be stopped."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))

    def let_go() -> None:
        signal.signal(signal.SIGINT, before)
        while came:
            before(came.pop(), None)

    try:
        yield let_go
    finally:
        let_go()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return int(s.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: IO[bytes], name: str) -> None:
    """Until the server listens. It is never connected to: pyocd ends with its first client."""
    until = time.monotonic() + _PATIENCE
    while not _listens(port):
        if process.poll() is not None:
            raise EdgernnError(f"{name} ended before it served gdb, with code {process.returncode}")
        if time.monotonic() > until:
            raise EdgernnError(f"{name} does not serve gdb within {_PATIENCE:g} s")
        time.sleep(_POLL)


def _listens(port: int) -> bool:
    """SO_REUSEADDR: only a port that is listened on is refused, and the server's own try does not fail for this one."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("", port))
        except OSError:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _said(log: IO[bytes]) -> list[str]:
    log.seek(0)
    return [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]


def _explained(error: str, name: str, said: list[str]) -> str:
    """The error with the server's own words: the line that tells most, its first error, or its last line."""
    for pattern, meaning in _MEANINGS:
        if line := next((line for line in said if re.search(pattern, line)), None):
            return f"{meaning} ({name}: {line})"
    telling = next((line for line in said if "Error" in line), said[-1] if said else "nothing")
    return f"{error}; {name} said: {telling}"
