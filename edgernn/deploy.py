"""The verbs over Linux machines: a graph's program built, its bits compared here, and put on a machine over SSH.

Nothing of the user's is overwritten there.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from edgernn.artifacts import write_json
from edgernn.boards import sound_to_run
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.program import compare_emulated, kernel_name, make_program
from edgernn.runs import find_graph
from edgernn.signal.audio import read_audio
from edgernn.tasks import load_graph, task_of
from targets import remote
from targets.linux_board import LinuxBoard, Machine, load_linux_board, machine_of, recognised
from targets.remote import Found, Place
from targets.ssh import Ssh
from targets.toolchain import find_toolchain

DEVICE = "default"  #: ALSA's name of the microphone that the machine's own settings choose

_UNIT = """\
# Written by `edgernn deploy`; `edgernn deploy --host {host} --name {name} --remove` takes it away.
[Unit]
Description=edgernn {name}

[Service]
ExecStart={program} --device {device}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


def deploy_program(
    where: Path, ssh: Ssh, name: str = "", folder: str = "", device: str = "", board_name: str = "", toolchain: str = "auto",
    optimize: str = "-O2", scheme: str | None = None, dry: bool = False, kernel: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Build the graph's program for the machine behind `ssh`, copy it, run its self-test there and enable its unit.

    name: of the program there, default: the run folder's or the model's; folder: default ~/.local/share/edgernn/NAME;
    device: ALSA's microphone; board_name: default: found by asking the machine. dry: only ask, and say what would be done;
    kernel: faster C by name, "plain", or "auto": the one for the machine's core.
    """
    graph = load_graph(find_graph(where, scheme))
    place, sound = Place(name or _name(where, scheme), folder), task_of(graph).c.gives_sound
    _check_device(device, sound)
    found = remote.look(ssh, place)
    board = load_linux_board(board_name) if board_name else recognised(found.seen, ssh.host)
    machine = machine_of(board, found.seen, ssh.host)
    find_toolchain(machine, toolchain)
    taken = kernel_name(machine, kernel)
    remote.check_free(found, place, ssh.host)
    if sound and found.unit(place) in found.listed:
        raise EdgernnError(f"{place.unit} on {ssh.host} is of a model that listens, this one gives sound; --remove it first")
    unit = "" if sound or not found.systemd else unit_text(found.program(place), place.name, ssh.host, device or DEVICE)
    result = {
        "host": ssh.host, "board": board.name, "machine": machine.name, "model": found.seen.model, "graph": graph.id,
        "name": place.name, "program": found.program(place), "unit": found.unit(place) if unit else "", "unit_text": unit,
        "done": not dry, "bytes": None, "toolchain": None, "self_test": [], "state": "", "sound": sound,
        "rate": graph.sample_rate, "user": found.user, "linger": found.linger, "systemd": found.systemd,
        "device": device or DEVICE, "kernel": taken,
    }  # fmt: skip
    if dry:
        return result
    _say(found, ssh.host, sound)
    return {**result, **_install(graph, board, machine, toolchain, optimize, kernel, ssh, place, found, unit)}


def _install(
    graph: NetGraph, board: LinuxBoard, machine: Machine, toolchain: str, optimize: str, kernel: str, ssh: Ssh, place: Place,
    found: Found, unit: str,
) -> dict[str, Any]:  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="edgernn-deploy-") as scratch:
        program = make_program(graph, board, machine, Path(scratch) / place.program, toolchain, optimize, kernel)
        about = f"edgernn deploy: {place.name}, graph {graph.id}"
        self_test, state = remote.install(ssh, place, found, program.path, unit, about)
    if f"edgernn {graph.id}" not in self_test:
        raise EdgernnError(f"the program on {ssh.host} answers {self_test} instead of graph {graph.id}; --remove it")
    if unit and state != "active":
        note(f"{place.unit} on {ssh.host} is {state}; `journalctl --user -u {place.unit}` there says why")
    return {"bytes": program.bytes, "toolchain": program.toolchain, "self_test": self_test, "state": state}


def build_programs(
    where: Path, board_name: str, out: Path, toolchain: str = "auto", optimize: str = "-O2", scheme: str | None = None,
    kernel: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Build the graph's program for every kind of kernel that the board runs, into `out`/BOARD."""
    graph, board = load_graph(find_graph(where, scheme)), load_linux_board(board_name)
    rows = []
    for machine in board.machines:
        path = out / board.name / f"edgernn-{_name(where, scheme)}-{machine.name}"
        program = make_program(graph, board, machine, path, toolchain, optimize, kernel)
        rows.append({
            "machine": machine.name, "file": str(path), "bytes": program.bytes, "toolchain": program.toolchain,
            "kernel": kernel_name(machine, kernel),
        })  # fmt: skip
    return {"board": board.name, "cpu": board.cpu, "graph": graph.id, "optimize": optimize, "programs": rows}


def run_programs(
    where: Path, board_name: str, out: Path, wav: Path | None = None, toolchain: str = "auto", optimize: str = "-O2",
    scheme: str | None = None, kernel: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Run the test firmware as a program of every kind of kernel, by qemu here, and compare every bit with the definition."""
    graph, board = load_graph(find_graph(where, scheme)), load_linux_board(board_name)
    pcm = read_audio(wav, graph.sample_rate) if wav else sound_to_run(where, graph)
    rows = [compare_emulated(graph, board, machine, pcm, toolchain, optimize, kernel) for machine in board.machines]
    result = {"board": board.name, "graph": graph.id, "runs": rows, "bits_differing": sum(r["bits_differing"] for r in rows)}
    write_json(out / f"run-{board.name}.json", result)
    return result


def remove_program(where: Path | None, ssh: Ssh, name: str = "", folder: str = "", scheme: str | None = None) -> dict[str, Any]:
    """Take away what `deploy_program` wrote; name: as there, or else of what lies at `where`."""
    if not name and where is None:
        raise EdgernnError("--remove needs the --name of what is to go, or the run folder or graph that it was made of")
    place = Place(name or _name(Path(str(where)), scheme), folder)
    gone, kept = remote.remove(ssh, place, remote.look(ssh, place))
    for path in kept:
        note(f"{path} on {ssh.host} was changed since it was written, and is kept")
    return {"host": ssh.host, "name": place.name, "removed": gone, "kept": kept}


def unit_text(program: str, name: str, host: str, device: str) -> str:
    """The systemd unit that runs `program` (its path there) on an ALSA device, and again when it fails."""
    quoted = '"{}"'.format(program.replace("%", "%%"))  # a dollar is none in a program's path, quotes were refused
    return _UNIT.format(host=host, name=name, program=quoted, device=device)


def _name(where: Path, scheme: str | None) -> str:
    """A program's: that of the run folder, or of the model in a graph file, with what no file name may hold replaced."""
    name = where.resolve().name if where.is_dir() else load_graph(find_graph(where, scheme)).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:64] or "model"


def _check_device(device: str, sound: bool) -> None:
    if device and sound:
        raise EdgernnError("this model gives sound, so its program is a filter in a pipe and no service; leave --device out")
    if device and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_:=,.-]{0,99}", device):
        raise EdgernnError(f"--device {device!r} is no ALSA device, such as default or plughw:1,0; see `arecord -L` there")


def _say(found: Found, host: str, sound: bool) -> None:
    """What will not work, though nothing failed."""
    if not found.recorder:
        note(f"{host} has no arecord, which reads its microphone: `sudo apt install alsa-utils` there")
    if not sound and not found.systemd:
        note(f"no systemd runs for {found.user} on {host}, so no unit was written; start the program yourself")
    elif not sound and not found.linger:
        note(f"it runs while {found.user} is logged in; `sudo loginctl enable-linger {found.user}` there starts it at boot")
