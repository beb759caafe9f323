"""`edgernn run --probe`: a gdb server started, used and stopped; without a probe, the real servers' refusals as sentences.

No probe is on the desk. What a server's start, end and failure need is exercised with QEMU as the server that a board's file
names, with OpenOCD and pyocd themselves where they find nothing, and with OpenOCD on a chain of one foreign chip.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fixture_runs import ROOT, fixture_run
from needs import need_program
from typer.testing import CliRunner

from edgernn import cli, pipeline
from edgernn.errors import EdgernnError
from edgernn.signal.audio import write_wav
from targets import list_boards, load_board, probe

PROBED = [name for name in list_boards() if load_board(name).probes]
STUB = {
    "mps2-an386": ["qemu-system-arm", "-M", "mps2-an386"],
    "riscv32-virt": ["qemu-system-riscv32", "-M", "virt", "-bios", "none", "-icount", "shift=0"],
}
#: as a probe's server: halted, with files asked of gdb
QUIET = ["-kernel", "{elf}", "-display", "none", "-serial", "none", "-monitor", "none", "-nodefaults", "-semihosting-config",
         "enable=on,target=gdb", "-S", "-gdb", "tcp::{port}"]  # fmt: skip


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fixture_run(tmp_path_factory.mktemp("probe") / "run")
    pipeline.quantize_model(folder)
    return folder / "graph-int8x16.ern"


@pytest.fixture(autouse=True)
def with_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyocd lies beside this Python, whether its environment is active or not."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def own_board(folder: Path, base: str, command: list[str], more: str = "") -> Path:
    """A board whose own probe is this command."""
    text = (ROOT / "targets" / "boards" / f"{base}.toml").read_text()
    path = folder / "own.toml"
    path.write_text(f'{text}\n[[probes]]\ncommand = {json.dumps(command)}\ninstall = "by hand"\n{more}')
    return path


def refused(graph_file: Path, board: object, *more: str) -> str:
    result = CliRunner().invoke(cli.app, ["run", str(graph_file), "--board", str(board), *more])
    assert isinstance(result.exception, EdgernnError), (result.output, result.exception)
    return str(result.exception)


def running(needle: str) -> list[str]:
    """Command lines of this machine's processes that hold a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(needle in word for word in words) and "qemu" in words[0]:
            found.append(" ".join(words))
    return found


# It works ---------------------------------------------------------------------------


@pytest.mark.parametrize("base", STUB)
def test_a_server_is_started_serves_every_bit_and_is_stopped(base: str, graph_file: Path, tmp_path: Path) -> None:
    need_program(STUB[base][0])
    need_program("gdb-multiarch")
    board = own_board(tmp_path, base, [*STUB[base], *QUIET])
    shutil.copy(graph_file, tmp_path / "g.ern")
    result = CliRunner().invoke(cli.app, ["run", str(tmp_path / "g.ern"), "--board", str(board), "--probe", "auto", "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    report = json.loads(result.stdout)
    assert report["bits_differing"] == 0 and report["steps"] > 50 and report["entries"] > 10_000
    assert report["emulator"] == f"gdb, {STUB[base][0]}" and (report["cycles_per_step"] is None) == (base == "mps2-an386")
    assert not running(str(tmp_path))


def test_ctrl_c_stops_the_server(graph_file: Path, tmp_path: Path) -> None:
    need_program(STUB["mps2-an386"][0])
    need_program("gdb-multiarch")
    board = own_board(tmp_path, "mps2-an386", [*STUB["mps2-an386"], *QUIET])
    shutil.copy(graph_file, tmp_path / "g.ern")
    write_wav(tmp_path / "long.wav", np.zeros(600 * 16000, np.int16), 16000)  # minutes: a kernel is soon done with one
    command = [sys.executable, "-m", "edgernn", "run", str(tmp_path / "g.ern"), "--board", str(board), "--probe", "auto"]
    command += ["--wav", str(tmp_path / "long.wav")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's job in the background ignores it
    )
    until = time.monotonic() + 60
    while not running(str(tmp_path)) and time.monotonic() < until:
        time.sleep(0.02)
    assert running(str(tmp_path)), "the server never ran"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) not in (0, 1)
    assert not running(str(tmp_path))


def test_ctrl_c_in_the_moment_the_server_begins_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anybody holds the process that has begun."""
    need_program(STUB["mps2-an386"][0])
    board = load_board(str(own_board(tmp_path, "mps2-an386", ["qemu-system-arm", "-M", "mps2-an386", "-S", "-display", "none",
                                                             "-name", str(tmp_path), "-gdb", "tcp::{port}"])))  # fmt: skip
    begin = subprocess.Popen

    def interrupted(*args: object, **more: object) -> object:
        process = begin(*args, **more)  # type: ignore[call-overload]
        os.kill(os.getpid(), signal.SIGINT)
        return process

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(probe.subprocess, "Popen", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), probe.serving(board, tmp_path / "x.elf"):
            pytest.fail("it went on")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not running(str(tmp_path))


def test_a_server_is_asked_to_end_before_it_is_killed() -> None:
    """It may have a probe to let go of."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    probe._stop(process)
    assert process.returncode == -signal.SIGTERM


# Another chip, no chip ---------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "same"), [("0xC240", True), ("0xC230", False)])
def test_another_chip_is_refused_before_anything_is_written(value: str, same: bool, graph_file: Path, tmp_path: Path) -> None:
    need_program(STUB["mps2-an386"][0])
    need_program("gdb-multiarch")
    identity = f"[chip_id]  # CPUID\naddress = 0xE000ED00\nmask = 0xFFF0\nvalue = {value}\n"
    board = own_board(tmp_path, "mps2-an386", [*STUB["mps2-an386"], *QUIET], identity)
    if same:
        arguments = ["run", str(graph_file), "--board", str(board), "--probe", "auto"]
        assert CliRunner().invoke(cli.app, arguments).exit_code == 0
        return
    text = refused(graph_file, board, "--probe", "auto")
    assert "0xe000ed00 reads 0x410fc240, and 0xc230 in 0xfff0 is expected; nothing was written" in text


class Chain(threading.Thread):
    """OpenOCD's remote_bitbang: a JTAG chain of one TAP, which shifts out an IDCODE; None: nothing on the wires."""

    #: IEEE 1149.1: state -> (next for TMS 0, next for TMS 1); 0 reset, 1 idle, 3 capture-DR, 4 shift-DR, 11 shift-IR
    STATES = ((1, 0), (1, 2), (3, 9), (4, 5), (4, 5), (6, 8), (6, 7), (4, 8), (1, 2),
              (10, 0), (11, 12), (11, 12), (13, 15), (13, 14), (11, 15), (1, 2))  # fmt: skip

    def __init__(self, idcode: int | None) -> None:
        super().__init__(daemon=True)
        self.idcode, self.server = idcode, socket.create_server(("localhost", 0))
        self.port = self.server.getsockname()[1]
        self.state = self.shift = self.clock = 0
        self.length = 32
        self.start()

    def run(self) -> None:
        line, _ = self.server.accept()
        with line:
            while data := line.recv(4096):
                for c in data:
                    if ord("0") <= c <= ord("7"):
                        self._edge(c - ord("0"))
                    elif c == ord("R"):
                        line.sendall(b"1" if self.idcode is None or self.shift & 1 else b"0")

    def _edge(self, bits: int) -> None:
        clock, tms, tdi = bits >> 2 & 1, bits >> 1 & 1, bits & 1
        if clock and not self.clock:
            if self.state in (4, 11):
                self.shift = self.shift >> 1 | tdi << self.length - 1
            if self.state == 3:
                self.shift, self.length = self.idcode or 0, 32
            elif self.state == 10:
                self.shift, self.length = 1, 5
            self.state = self.STATES[self.state][tms]
        self.clock = clock


@pytest.mark.parametrize(
    ("idcode", "message"),
    [(0x20000C05, "another chip than this board's.*UNEXPECTED: 0x20000c05"), (None, "no chip answers it.*all ones")],
)
def test_openocd_on_a_chain_of_another_chip(idcode: int | None, message: str, graph_file: Path, tmp_path: Path) -> None:
    need_program("openocd")
    chain = Chain(idcode)
    wires = (
        f"adapter driver remote_bitbang; remote_bitbang port {chain.port}; remote_bitbang host localhost; transport select jtag"
    )
    serve = "gdb_port {port}; telnet_port disabled; tcl_port disabled"
    tap = "jtag newtap chip cpu -irlen 5 -expected-id 0x1000563d; target create chip.cpu riscv -chain-position chip.cpu"
    board = own_board(tmp_path, "riscv32-virt", ["openocd", "-c", wires, "-c", tap, "-c", serve])
    with pytest.raises(EdgernnError, match=message):
        raise EdgernnError(refused(graph_file, board, "--probe", "openocd"))


# No probe ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBED)
def test_openocd_itself_finds_no_probe_and_knows_every_file(name: str, tmp_path: Path) -> None:
    need_program("openocd")
    with pytest.raises(EdgernnError) as caught, probe.serving(load_board(name), tmp_path / "x.elf", "openocd"):
        pass
    if name == "pico2" and "rp2350.cfg" in str(caught.value):  # Debian's OpenOCD does not know it
        assert "Can't find target/rp2350.cfg" in str(caught.value)
        return
    assert "no probe was found: connect it, check its cable" in str(caught.value)


def test_pyocd_itself_finds_no_probe(graph_file: Path) -> None:
    need_program("pyocd")
    text = refused(graph_file, "nrf52840-dk", "--probe", "pyocd")
    assert "no probe was found" in text and "No connected debug probes" in text


def test_pyocd_knows_the_targets() -> None:
    need_program("pyocd")
    done = subprocess.run(["pyocd", "list", "--targets"], capture_output=True, text=True, check=True)
    known = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    for name in PROBED:
        board = load_board(name)
        for tool in (*board.probes, *board.flashers):
            if tool.command[0] == "pyocd":
                target = tool.command[tool.command.index("--target") + 1]
                assert target in known or f"pyocd pack install {target}" in tool.install, (name, target)


# The server's own failures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo first; echo it burns >&2; exit 7", "ended before it served gdb, with code 7; sh said: it burns"),
        ("exit 0", "with code 0; sh said: nothing"),
        ("echo busy; sleep 60", "does not serve gdb within 0.3 s; sh said: busy"),
    ],
)
def test_a_server_that_does_not_serve(
    script: str, message: str, graph_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_PATIENCE", 0.3)
    board = own_board(tmp_path, "mps2-an386", ["sh", "-c", f"{script} # {{port}}"])
    assert message in refused(graph_file, board, "--probe", "sh")


def test_a_server_that_dies_under_gdb_is_told(graph_file: Path, tmp_path: Path) -> None:
    need_program("gdb-multiarch")
    code = "import socket; s = socket.create_server(('localhost', {port})); s.accept(); print('wire cut')"
    board = own_board(tmp_path, "mps2-an386", [sys.executable, "-c", code])
    text = refused(graph_file, board, "--probe", "auto")
    assert "did not come to its end" in text and "said: wire cut" in text


# Refused before anything is built ---------------------------------------------------------------------------


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgernn.firmware.build_firmware", lambda *_: pytest.fail("it was built"))


@pytest.mark.usefixtures("nothing_built")
def test_what_cannot_be_is_refused_at_once(graph_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "names no [[probes]]" in refused(graph_file, "mps2-an386", "--probe", "auto")
    assert "has no probe 'jlink': use auto, openocd or pyocd" in refused(graph_file, "pico", "--probe", "jlink")
    assert "give one of them" in refused(graph_file, "pico", "--probe", "auto", "--gdb", "localhost:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    text = refused(graph_file, "nucleo-f411re", "--probe", "auto")
    assert "openocd (apt install openocd) or pyocd (pip install pyocd; pyocd pack install stm32f411re)" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"--port", "{port}"', '"--port", "3333"', "say by {port} where"),
        ('"--port", "{port}"', '"--port", "{port}{hex}"', "may hold {elf} and {port}, and no other braces"),
        ("mask = 0xffffffe", "mask = 0x0", "no chip could be the right one"),
        ("value = 0x2926", "value = 0x2927", "no chip could be the right one"),
        ("address = 0x40000000", "address = -1", "within 32 bits"),
    ],
)
def test_a_probe_in_a_board_file_is_checked(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / "pico.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    with pytest.raises(EdgernnError) as caught:
        load_board(tmp_path / "mine.toml")
    assert message in str(caught.value) and "line " in str(caught.value)
