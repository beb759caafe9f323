"""`edgernn run --gdb`: gdb loads the firmware into a board behind a server and serves its files; the same bits must come back.

The server is QEMU's gdb stub with semihosting for gdb, as a probe gives it: the firmware's files are opened by gdb.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixture_runs import fixture_run
from needs import need_program
from typer.testing import CliRunner

from edgernn import application, cli, pipeline
from edgernn.application import run_on_device
from edgernn.errors import EdgernnError
from edgernn.firmware import build_firmware, count_instructions
from edgernn.tasks import load_graph
from firmware_export.golden import golden_signal
from targets import load_board, run_gdb

MACHINES = {
    "mps2-an386": ["qemu-system-arm", "-M", "mps2-an386"],
    "cortex-m0-4m": ["qemu-system-arm", "-M", "mps2-an385"],
    # one tick an instruction: then cycles are instructions
    "riscv32-virt": ["qemu-system-riscv32", "-M", "virt", "-bios", "none", "-icount", "shift=0"],
}
QUIET = (
    "-display",
    "none",
    "-serial",
    "none",
    "-monitor",
    "none",
    "-nodefaults",
    "-semihosting-config",
    "enable=on,target=gdb",
)


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fixture_run(tmp_path_factory.mktemp("gdb") / "run")
    pipeline.quantize_model(folder)
    return folder / "graph-int8x16.ern"


class Server:
    """A board behind a gdb server, anew for each session: it ends with the firmware."""

    def __init__(self, board: str, elf: Path) -> None:
        with socket.socket() as s:
            s.bind(("localhost", 0))
            self.address = f"localhost:{s.getsockname()[1]}"
        command = [*MACHINES[board], "-kernel", str(elf), *QUIET, "-S", "-gdb", f"tcp::{self.address.split(':')[1]}"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=MACHINES)
def board(request: pytest.FixtureRequest) -> str:
    need_program(MACHINES[request.param][0])
    if not any(shutil.which(name) for name in run_gdb.DEBUGGERS):
        need_program("gdb-multiarch")
    return str(request.param)


def behind(board: str, elf: Path, monkeypatch: pytest.MonkeyPatch) -> list[Server]:
    """Every session of gdb finds a freshly started machine."""
    servers: list[Server] = []
    session = run_gdb._session

    def fresh(job: run_gdb.Job, more: list[str]) -> str:
        servers.append(Server(board, elf))
        try:
            return session(replace(job, server=servers[-1].address), more)
        finally:
            servers[-1].stop()

    monkeypatch.setattr(run_gdb, "_session", fresh)
    return servers


def test_bits_and_cycles_come_back_through_gdb(
    board: str, graph_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    g, machine = load_graph(graph_file), load_board(board)
    firmware, _ = build_firmware(g, machine, tmp_path / "fw", kernel="auto")
    servers = behind(board, firmware.elf, monkeypatch)
    pcm = golden_signal(g.step_samples, 12)
    result = run_on_device(g, firmware, machine, pcm, "localhost:1", "-O2")
    assert len(servers) == 2 and (result["steps"], result["bits_differing"]) == (12, 0) and result["entries"] > 1000
    exact = count_instructions(g, firmware, machine, pcm, "qemu")[0]
    assert result["instructions_per_step"] == pytest.approx(np.mean(exact), rel=0.1)  # of the self-test's signal
    if board == "riscv32-virt":
        assert result["counted_steps"] == 12
        assert np.mean(exact) <= result["cycles_per_step"] <= np.mean(exact) + 3
    else:
        assert result["cycles_per_step"] is None  # QEMU's Cortex-M has no DWT counter


def test_a_wrong_weight_shows_through_gdb(graph_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_program("gdb-multiarch")
    g, machine = load_graph(graph_file), load_board("mps2-an386")
    firmware, _ = build_firmware(g, machine, tmp_path / "fw")
    data = bytearray(firmware.elf.read_bytes())
    weight = next(a for name, a in g.constants.items() if name.endswith(".weight")).tobytes()[:40]
    data[data.find(weight)] ^= 1
    firmware.elf.write_bytes(data)
    behind("mps2-an386", firmware.elf, monkeypatch)
    with pytest.raises(EdgernnError, match="self-test failed"):
        run_on_device(g, firmware, machine, golden_signal(g.step_samples, 3), "localhost:1", "-O2")


def test_an_entry_that_came_back_otherwise_is_counted(
    graph_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry of what the board computed is changed on its way; the self-test knows nothing of it."""
    need_program("gdb-multiarch")
    g, machine = load_graph(graph_file), load_board("mps2-an386")
    firmware, _ = build_firmware(g, machine, tmp_path / "fw")
    behind("mps2-an386", firmware.elf, monkeypatch)
    read = application.emulated_trace

    def changed(*given: object) -> object:
        trace, total = read(*given)  # type: ignore[arg-type]
        next(a for _, a in trace.arrays() if a.size).flat[0] ^= 1
        return trace, total

    monkeypatch.setattr(application, "emulated_trace", changed)
    result = run_on_device(g, firmware, machine, golden_signal(g.step_samples, 3), "localhost:1", "-O2")
    assert (result["steps"], result["bits_differing"]) == (3, 1)


def test_the_verb(graph_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_program("gdb-multiarch")
    g, out = load_graph(graph_file), graph_file.parent
    firmware, _ = build_firmware(g, load_board("mps2-an386"), out / "mps2-an386" / "test")
    behind("mps2-an386", firmware.elf, monkeypatch)
    arguments = ["run", str(graph_file), "--board", "mps2-an386", "--gdb", "localhost:1"]
    shown = CliRunner().invoke(cli.app, arguments)
    assert shown.exit_code == 0 and "none; this core has no counter" in shown.stdout, shown.output
    result = json.loads((out / "run-mps2-an386.json").read_text())
    assert result["bits_differing"] == 0 and result["emulator"].startswith("gdb localhost")


@pytest.mark.parametrize(
    ("server", "message"),
    [("localhost:1", "no gdb server answers at localhost:1"), ("nowhere", "is not HOST:PORT"), ("a b:3", "is not HOST:PORT"),
     ("h:1\nshell touch x", "is not HOST:PORT")],
)  # fmt: skip
def test_no_server_is_a_sentence(server: str, message: str, graph_file: Path) -> None:
    need_program("gdb-multiarch")
    result = CliRunner().invoke(cli.app, ["run", str(graph_file), "--board", "mps2-an386", "--gdb", server])
    assert isinstance(result.exception, EdgernnError) and message in str(result.exception), result.exception
