"""Linux boards: told apart, their programs built and run on emulated cores, every bit compared, every line read."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from fixture_runs import ROOT, fixture_run, gate_fixture
from needs import need_module, need_program
from nets import quantized, random_net
from test_vad import random_graph, sound
from typer.testing import CliRunner

from edgernn import cli, pipeline
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.program import compare_emulated, make_program
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import write_wav
from edgernn.tasks import load_graph
from edgernn.tasks.spot.listening import detections
from edgernn.tasks.vad.activity import stretches_of_speech
from targets.linux_board import (
    LinuxBoard,
    Machine,
    Seen,
    available,
    list_linux_boards,
    load_linux_board,
    machine_of,
    recognised,
)
from targets.linux_build import HARNESS, Program, build_static, count_instructions, run_emulated

GRAPHS: dict[str, Callable[[], Any]] = {
    "spot": functools.cache(lambda: quantized(random_net("gru", 16), "int8x16")),
    "denoise": functools.cache(lambda: quantized_denoiser(random_denoiser(), "int8x16")),
    "vad": functools.cache(random_graph),
}
BOARDS = {name: load_linux_board(name) for name in list_linux_boards()}
PAIRS = [(board, machine) for board in BOARDS.values() for machine in board.machines]
#: boards that differ in nothing that a compiler or an emulator is told are compiled and run once
DISTINCT = list({(m.gcc, m.emulator): (b, m) for b, m in reversed(PAIRS)}.values())
ZERO = BOARDS["raspberry-pi-zero"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph file that knows whistled words."""
    folder = fixture_run(tmp_path_factory.mktemp("words") / "run")
    pipeline.quantize_model(folder)
    return folder / "graph-int8x16.ern"


def said_words() -> np.ndarray:
    """int16 sound with two words."""
    gap = np.zeros(8000, np.int16)
    rise, hill = (gate_fixture.whistle(gate_fixture.MELODIES[w], 2000 + i) for i, w in enumerate(("rise", "hill")))
    return np.concatenate([gap, rise, gap, hill, gap])


def need(machine: Machine) -> None:
    assert machine.gcc
    need_program(machine.gcc.command)
    need_program(machine.emulator[0])


def built(folder: Path, graph: NetGraph, board: LinuxBoard = ZERO) -> Program:
    need(board.machines[0])
    return make_program(graph, board, board.machines[0], folder / "program")


def said(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in args])
    if code == 2:
        assert isinstance(result.exception, EdgernnError), result.output
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


# Boards ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "machine", "features", "board"),
    [
        ("Raspberry Pi Zero W Rev 1.1", "armv6l", "half thumb fastmult vfp edsp java tls", "raspberry-pi-zero"),
        ("Raspberry Pi Model B Rev 2", "armv6l", "half thumb fastmult vfp edsp java tls", "raspberry-pi-zero"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "aarch64", "fp asimd evtstrm crc32 cpuid", "raspberry-pi-zero-2"),
        ("Raspberry Pi 3 Model B Rev 1.2", "armv7l", "half thumb vfp neon vfpv3 tls vfpv4 idiva idivt", "raspberry-pi-3"),
        ("Raspberry Pi 4 Model B Rev 1.5", "aarch64", "fp asimd evtstrm crc32 cpuid", "raspberry-pi-4"),
        ("Raspberry Pi 400 Rev 1.0", "aarch64", "fp asimd evtstrm crc32 cpuid", "raspberry-pi-4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "aarch64", "fp asimd aes crc32 atomics asimddp", "raspberry-pi-5"),
        ("", "x86_64", "fpu sse sse2 avx", "linux-x86_64"),
    ],
)
def test_a_machine_is_known_by_what_it_says(model: str, machine: str, features: str, board: str) -> None:
    seen = Seen("Linux", machine, model, frozenset(features.split()))
    found = recognised(seen, "pi")
    assert (found.name, machine_of(found, seen, "pi").name) == (board, machine)


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (Seen("Darwin", "arm64", "", frozenset()), "pi runs Darwin, not Linux"),
        (
            Seen("Linux", "aarch64", "Orange Pi 5", frozenset(["asimd"])),
            "unknown kind: Orange Pi 5, aarch64; known are .*--board",
        ),
        (Seen("Linux", "aarch64", "Not a Raspberry Pi 4", frozenset(["asimd"])), "unknown kind: Not a Raspberry Pi 4"),
        (Seen("Linux", "aarch64", "", frozenset(["asimd"])), "unknown kind: no model, aarch64"),
        (Seen("Linux", "ppc64", "", frozenset()), "unknown kind: no model, ppc64"),
        (
            Seen("Linux", "armv7l", "Raspberry Pi 5 Model B", frozenset()),
            "raspberry-pi-5 with a kernel for 'armv7l' is unknown",
        ),
        (
            Seen("Linux", "armv6l", "Raspberry Pi Zero Rev 1.3", frozenset(["half"])),
            "lacks vfp, which programs for raspberry-pi-z",
        ),
    ],
)
def test_what_is_not_known_is_refused(seen: Seen, message: str) -> None:
    with pytest.raises(EdgernnError, match=message):
        machine_of(recognised(seen, "pi"), seen, "pi")


def test_the_boards_are_all_there_and_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {"raspberry-pi-zero", "raspberry-pi-zero-2", *(f"raspberry-pi-{n}" for n in (3, 4, 5)), "linux-x86_64"} == set(
        BOARDS
    )
    models = [(m, b) for b in BOARDS.values() for m in b.models]
    assert not [m for m, b in models for n, c in models if b is not c and m.startswith(n)], "no model is two boards'"
    for name, board in BOARDS.items():
        assert board.name == name and board.microphone and board.description
        for m in board.machines:
            assert m.gcc and m.zig and (m.emulator[0] == "qemu-x86_64" or m.gcc.flags[0].startswith(("-mcpu=", "-march=")))
    rows = {row["name"]: row for row in json.loads(said("boards", "--json"))}
    assert (rows["raspberry-pi-4"]["cpu"], rows["raspberry-pi-4"]["flash"]) == ("cortex-a72", None)
    need(ZERO.machines[0])
    assert "gcc" in rows["raspberry-pi-zero"]["toolchains"] and rows["raspberry-pi-zero"]["emulators"] == ["qemu-arm"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert available(ZERO)[1] == [] and "gcc" not in available(ZERO)[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('cpu = "cortex-a72"', "cpu = 72", r"line 3, cpu: 72 is not a string"),
        ('name = "raspberry-pi-4"', 'name = "a b"', r"line 1, name: name = 'a b' must be letters"),
        ('features = ["asimd"]', 'feature = ["asimd"]', r"line 10, machines, feature: Unknown key 'feature'"),
        ('name = "armv7l"', "name = 7", r"line 16, machines, name: 7 is not a string"),
        ('name = "armv7l"', 'name = "aarch64"', r"line 16, machines, name: 'aarch64' is there twice"),
        ('emulator = ["qemu-arm", "-cpu", "cortex-a7"]', "emulator = []", r"line 19, machines, emulator: there must be words"),
        ('models = ["Raspberry Pi 4"', 'models = [""', r"line 5, models: an empty one would fit every machine"),
        ('"--target=arm-linux-musleabihf"', "7", r"line 21, machines, zig, flags: .* is not a list of strings"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "linux" / "raspberry-pi-4.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    with pytest.raises(EdgernnError, match=message):
        load_linux_board(tmp_path / "mine.toml")


def test_boards_without_programs_or_compilers_are_refused(tmp_path: Path) -> None:
    text = (ROOT / "targets" / "linux" / "linux-x86_64.toml").read_text()
    (tmp_path / "a.toml").write_text(text[: text.index("[[")] + "machines = []\n")
    with pytest.raises(EdgernnError, match="machines: there must be at least one"):
        load_linux_board(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text(text[: text.index("gcc =")])
    with pytest.raises(EdgernnError, match="machines: the flags of gcc or zig are missing"):
        load_linux_board(tmp_path / "b.toml")
    with pytest.raises(EdgernnError, match="Unknown Linux machine 'raspberry-pi-6': did you mean 'raspberry-pi-"):
        load_linux_board("raspberry-pi-6")


# Bits ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", GRAPHS)
@pytest.mark.parametrize(("board", "machine"), DISTINCT, ids=[f"{b.name}-{m.name}" for b, m in DISTINCT])
def test_every_step_has_the_definitions_bits(board: LinuxBoard, machine: Machine, task: str) -> None:
    need(machine)
    pcm = noisy_sound(32000) if task == "denoise" else sound(3)
    result = compare_emulated(GRAPHS[task](), board, machine, pcm)
    assert result["bits_differing"] == 0 and result["entries"] > 5000
    assert result["steps"] == len(pcm) // GRAPHS[task]().step_samples


def test_a_compiler_from_pip_makes_programs_that_an_armv6_runs(tmp_path: Path) -> None:
    need_module("ziglang")
    need_program("qemu-arm")
    result = compare_emulated(GRAPHS["vad"](), ZERO, ZERO.machines[0], sound(2), "zig")
    assert result["bits_differing"] == 0 and result["toolchain"].startswith("zig")
    program = make_program(GRAPHS["vad"](), ZERO, ZERO.machines[0], tmp_path / "ear", "zig")
    ends = list(stretches_of_speech(GRAPHS["vad"](), iter([sound(5)])))
    assert apart(lines(program, tmp_path, sound(5)))["end"] == ends


@pytest.mark.parametrize(("name", "machine"), [("raspberry-pi-3", "armv7l"), ("raspberry-pi-5", "aarch64")])
def test_a_compiler_from_pip_makes_fast_kernels(name: str, machine: str) -> None:
    """It takes a pointer's type for a promise of where it points to: an ARMv7 faults on a word that begins anywhere."""
    need_module("ziglang")
    board = BOARDS[name]
    need_program(board.machine(machine).emulator[0])
    g = quantized(random_net("gru", 9, bands=13), "int8")
    result = compare_emulated(g, board, board.machine(machine), sound(1), "zig", kernel="auto")
    assert (result["bits_differing"], result["kernel"]) == (0, "neon")


@pytest.mark.parametrize("name", ["aarch64", "armv7l"])
def test_instructions_of_a_program_are_counted_one_by_one(name: str, tmp_path: Path) -> None:
    three = BOARDS["raspberry-pi-3"]
    machine = three.machine(name)
    need(machine)
    span = 'board_count_start(); __asm__ __volatile__(".rept {}\\n nop\\n .endr"); board_count_stop();'
    spans = " ".join(span.format(n) for n in (10, 11, 500))
    (tmp_path / "t.c").write_text(f'#include "board.h"\nint main(void) {{ {spans} return 0; }}\n')
    program = build_static([tmp_path / "t.c", HARNESS], three, machine, tmp_path / "t", [], "gcc", stripped=False)
    first, second, third = count_instructions(program, (), tmp_path)
    assert (second - first, third - first) == (1, 490) and 10 < first < 20
    other = replace(program, machine=replace(machine, emulator=("qemu-arm", "-cpu", "none")))
    with pytest.raises(EdgernnError, match="qemu-arm failed with t: "):
        count_instructions(other, (), tmp_path)


def test_an_armv7_program_dies_on_a_zero() -> None:
    """That an emulated ARM1176 refuses what it cannot do is what the test above stands on."""
    three = BOARDS["raspberry-pi-3"].machine("armv7l")
    need(three)
    with pytest.raises(EdgernnError, match="ended with code -4"):  # SIGILL
        compare_emulated(GRAPHS["vad"](), ZERO, replace(three, emulator=ZERO.machines[0].emulator), sound(1))


def failing(program: Program, args: Sequence[str], folder: Path) -> Any:
    """A run whose self-test failed at the third output."""
    done = run_emulated(program, args, folder)
    total = np.fromfile(folder / "out.bin.sum", "<u4")
    total[0] = 3
    total.tofile(folder / "out.bin.sum")
    return done


def test_a_wrong_bit_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    need(BOARDS["linux-x86_64"].machines[0])
    graph = GRAPHS["vad"]()
    trace = make_runtime("numpy", graph).run(sound(1))
    trace.logits[3, 0] ^= 1
    monkeypatch.setattr("edgernn.program.make_runtime", lambda *_: type("R", (), {"run": lambda self, pcm: trace})())
    assert compare_emulated(graph, BOARDS["linux-x86_64"], BOARDS["linux-x86_64"].machines[0], sound(1))["bits_differing"] == 1
    monkeypatch.setattr("edgernn.program.run_emulated", failing)
    with pytest.raises(EdgernnError, match="self-test failed at output 2"):
        compare_emulated(graph, BOARDS["linux-x86_64"], BOARDS["linux-x86_64"].machines[0], sound(1))
    with pytest.raises(EdgernnError, match="shorter than one step"):
        compare_emulated(graph, ZERO, ZERO.machines[0], sound(1)[:10])


# Programs ---------------------------------------------------------------------------


def lines(program: Program, folder: Path, pcm: np.ndarray) -> list[Any]:
    done = run_emulated(program, (), folder, pcm.tobytes())
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def apart(told: list[Any]) -> dict[str, list[Any]]:
    """The lines of each kind of event, without that word."""
    return {
        kind: [{k: v for k, v in x.items() if k != "event"} for x in told if x["event"] == kind] for kind in ("begin", "end")
    }


@pytest.mark.parametrize("early", [False, True])
def test_a_program_tells_the_words_that_the_host_hears(early: bool, words: Path, tmp_path: Path) -> None:
    """early: the sound ends while the second word lasts."""
    graph: Any = load_graph(words)
    pcm = said_words()
    if early:
        last = list(detections(graph, iter([pcm])))[-1].time_s
        pcm = pcm[: round(last * graph.sample_rate) + 2 * graph.step_samples]
    wanted = [list(detections(graph, iter([pcm]), at_once)) for at_once in (True, False)]
    assert [x.label for x in wanted[1]] == ["rise", "hill"] and wanted[0] != wanted[1]
    told = lines(built(tmp_path, graph), tmp_path, np.concatenate([pcm, pcm[:7]]))  # a step that is not full is none
    assert apart(told) == {"begin": [x._asdict() for x in wanted[0]], "end": [x._asdict() for x in wanted[1]]}
    assert [x["event"] for x in told] == ["begin", "end"] * 2


def test_labels_are_json_whatever_they_hold(words: Path, tmp_path: Path) -> None:
    graph: Any = load_graph(words)
    odd = ('gr"ün\\', "%s?/", *graph.labels[2:])
    program = built(tmp_path, replace(graph, labels=odd), BOARDS["linux-x86_64"])
    names = dict(zip(graph.labels, odd, strict=True))
    assert [x["label"] for x in apart(lines(program, tmp_path, said_words()))["end"]] == [names["rise"], names["hill"]]


def test_a_program_tells_where_speech_begins_and_ends(tmp_path: Path) -> None:
    graph, pcm = GRAPHS["vad"](), sound(10)
    told = lines(built(tmp_path, graph), tmp_path, pcm)
    ends = list(stretches_of_speech(graph, iter([pcm])))
    assert len(ends) > 5 and apart(told) == {"begin": [{"begin_s": x["begin_s"]} for x in ends], "end": ends}
    assert [x["event"] for x in told] == ["begin", "end"] * len(ends), "a begin is told when it happens"


def test_a_program_filters_sound(tmp_path: Path) -> None:
    graph, pcm = GRAPHS["denoise"](), noisy_sound(32000)
    program = built(tmp_path, graph)
    done = run_emulated(program, (), tmp_path, pcm.tobytes())
    whole = pcm[: len(pcm) // graph.step_samples * graph.step_samples]
    wanted = make_runtime("numpy", graph).run(whole).output
    assert wanted is not None and np.array_equal(np.frombuffer(done.stdout, "<i2"), wanted.ravel())


def test_the_options_of_a_program(tmp_path: Path) -> None:
    graph = GRAPHS["vad"]()
    program = built(tmp_path, graph, BOARDS["linux-x86_64"])

    def told(*args: str) -> tuple[int, str, str]:
        done = run_emulated(program, args, tmp_path)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    assert told("--self-test") == (0, f"edgernn {graph.id}\nself-test ok\n", "")
    code, text, _ = told("--help")
    assert code == 0 and graph.id in text and "arecord -q -f S16_LE -r 16000 -c 1 -t raw | " in text and "confidence" in text
    for wrong in (["--devise", "x"], ["--device"], ["x"], ["--help", "--self-test"]):
        code, text, error = told(*wrong)
        assert (code, text) == (2, "") and f"see --help: {wrong[-1]}" in error
    assert (
        "aplay -q -f S16_LE -r 16000"
        in run_emulated(
            built(tmp_path / "d", GRAPHS["denoise"](), BOARDS["linux-x86_64"]), ("--help",), tmp_path
        ).stdout.decode()
    )


def test_a_program_with_a_wrong_bit_says_so_and_hears_nothing(words: Path, tmp_path: Path) -> None:
    graph = load_graph(words)
    program = built(tmp_path, graph, BOARDS["linux-x86_64"])
    weights = next(a for name, a in graph.constants.items() if name.endswith(".weight")).tobytes()[:40]
    image = bytearray(program.path.read_bytes())
    image[image.index(weights)] ^= 1
    program.path.write_bytes(image)
    done = run_emulated(program, ("--self-test",), tmp_path)
    assert (done.returncode, done.stdout.splitlines()[1]) == (1, b"self-test -1 failed")
    done = run_emulated(program, (), tmp_path, said_words().tobytes())
    assert (done.returncode, done.stdout) == (1, b"") and b"the self-test failed" in done.stderr


def test_a_program_starts_arecord_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ALSA's own file plugin is the microphone: there is no sound card here."""
    need_program("arecord")
    pcm, folder = sound(10), tmp_path
    pcm.tofile(folder / "sound.raw")
    (folder / ".asoundrc").write_text(microphone_of(folder / "sound.raw"))
    monkeypatch.setenv("HOME", str(folder))
    graph = GRAPHS["vad"]()
    program = built(folder, graph, BOARDS["linux-x86_64"])
    listening = subprocess.Popen([program.path, "--device", "sound"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert listening.stdout
    wanted = lines(program, folder, pcm)[:8]
    told = [json.loads(listening.stdout.readline()) for _ in wanted]
    listening.terminate()
    listening.wait(10)
    assert told == wanted
    for device, path, message in (
        ("nowhere", os.environ["PATH"], b"arecord ended"),
        ("sound", "/nowhere", b"arecord is missing; install alsa"),
    ):
        monkeypatch.setenv("PATH", path)
        done = subprocess.run([program.path, "--device", device], capture_output=True, timeout=20)
        assert (done.returncode, done.stdout) == (2, b"") and message in done.stderr


def microphone_of(raw: Path) -> str:
    """An ALSA configuration whose device `sound` plays a file of raw samples."""
    return f"pcm.sound {{ type file\n slave.pcm null\n file /dev/null\n infile {raw}\n format raw }}\n"


def test_output_that_nobody_takes_ends_the_program(tmp_path: Path) -> None:
    program = built(tmp_path, GRAPHS["vad"](), BOARDS["linux-x86_64"])
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([program.path], input=sound(5).tobytes(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"cannot write: No space left on device" in done.stderr


# Verbs ---------------------------------------------------------------------------


def test_build_and_run_take_linux_boards(words: Path) -> None:
    three = BOARDS["raspberry-pi-3"]
    for machine in three.machines:
        need(machine)
    made = json.loads(said("build", words, "--board", "raspberry-pi-3", "--json"))
    assert [p["machine"] for p in made["programs"]] == ["aarch64", "armv7l"]
    for machine, row in zip(three.machines, made["programs"], strict=True):
        program = Program(Path(row["file"]), machine, "", 0)
        answer = run_emulated(program, ("--self-test",), words.parent).stdout.decode().splitlines()
        assert answer == [f"edgernn {made['graph']}", "self-test ok"] and row["bytes"] == program.path.stat().st_size
    assert [p["kernel"] for p in made["programs"]] == ["neon", "neon"]
    assert "armv7l" in said("build", words, "--board", "raspberry-pi-3")
    write_wav(words.parent / "short.wav", said_words()[:16000], 16000)
    ran = json.loads(said("run", words, "--board", "raspberry-pi-3", "--wav", words.parent / "short.wav", "--json"))
    assert ran["bits_differing"] == 0 and [r["machine"] for r in ran["runs"]] == ["aarch64", "armv7l"]
    assert [r["kernel"] for r in ran["runs"]] == ["neon", "neon"]
    assert json.loads((words.parent / "run-raspberry-pi-3.json").read_text()) == ran
    plain = json.loads(said("build", words, "--board", "raspberry-pi-3", "--kernel", "plain", "--json"))
    assert [p["kernel"] for p in plain["programs"]] == ["plain", "plain"]


def test_a_new_linux_board_is_one_file(words: Path, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "linux" / "linux-x86_64.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('name = "linux-x86_64"', 'name = "mine"').replace("-march=x86-64", "-march=x86-64-v2"))
    need(BOARDS["linux-x86_64"].machines[0])
    write_wav(tmp_path / "short.wav", said_words()[:16000], 16000)
    text = said("run", words, "--board", mine, "--wav", tmp_path / "short.wav")
    assert "bits differing" in text and text.splitlines()[-2].split()[-2] == "0"


def test_what_linux_boards_do_not_take(words: Path, tmp_path: Path) -> None:
    for args, message in (
        (("build", words, "--board", "raspberry-pi-4", "--audio", "x.c"), "leave --audio out"),
        (("run", words, "--board", "raspberry-pi-4", "--gdb", "x:1"), "leave --gdb, --probe and --emulator out"),
        (("run", words, "--board", "raspberry-pi-4", "--emulator", "unicorn"), "leave --gdb, --probe and --emulator out"),
        (("flash", words, "--board", "raspberry-pi-4"), "is a Linux board; `edgernn deploy"),
        (("build", words, "--board", tmp_path / "none.toml"), "Cannot read the board file"),
        (("build", words, "--board", "raspberry-pi-4", "--kernel", "dsp"), "kernel dsp is for cortex-m4, .*not for aarch64"),
        (("run", words, "--board", "raspberry-pi-zero", "--kernel", "neon"), "kernel neon is for aarch64, .*not for armv6l"),
    ):
        assert re.search(message, said(*args, code=2))


def test_a_missing_compiler_or_emulator_is_said(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(tmp_path / "x", replace(ZERO.machines[0], emulator=("qemu-none",)), "", 0)
    with pytest.raises(EdgernnError, match=r"qemu-none is not installed \(Debian: qemu-user\)"):
        run_emulated(program, (), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    text = said("build", words, "--board", "raspberry-pi-zero", "--toolchain", "gcc", code=2)
    assert "No gcc compiler for machine 'armv6l' is installed" in text
    assert "pip install ziglang" in text and "(Debian: gcc-arm-linux-gnueabi)" in text
