"""`edgernn build`: an application that starts, proves itself and tells what it hears, on every kind of chip that can be run.

RP2040 is run by an emulator of its own (rp2040py), from its second boot stage on; nRF51 and STM32F4 by QEMU's machines with
their serial ports; the emulated boards by both emulators. No test here ran on hardware.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import quantized_denoiser, random_denoiser
from fixture_runs import ROOT, fixture_run, gate_fixture
from needs import need_module, need_program
from nets import quantized, random_net
from test_vad import random_graph
from typer.testing import CliRunner

from edgernn import cli, pipeline
from edgernn.application import Load, make_application, measure_load
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks import load_graph
from firmware_export.kernels import find_kernel
from targets import available_toolchains, list_boards, load_board, run, usable_emulators
from targets.application import build_application
from targets.board import DEVICE_DIR
from targets.build import Firmware
from targets.elf import Segment, read_elf
from targets.images import crc32_forward, flat, in_flash, intel_hex, uf2
from targets.toolchain import find_toolchain

GRAPHS = {
    "spot": lambda: quantized(random_net("gru", 16), "int8x16"),
    "denoise": lambda: quantized_denoiser(random_denoiser(), "int8x16"),
    "vad": random_graph,
}
DEVICES = [name for name in list_boards() if load_board(name).device]
OK = "self-test ok"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose graph knows whistled words."""
    folder = fixture_run(tmp_path_factory.mktemp("words") / "run")
    pipeline.quantize_model(folder)
    return folder


def console_of(command: list[str], end: str, seconds: float = 120.0) -> str:
    """What an emulator prints until a text comes."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    assert process.stdout
    out, until = b"", time.monotonic() + seconds
    try:
        while end.encode() not in out and time.monotonic() < until:
            piece = process.stdout.read1(4096)  # type: ignore[attr-defined]
            if not piece:
                break
            out += piece
    finally:
        process.kill()
        process.wait()
    return out.decode(errors="replace")


def on_pico(image: Path, end: str = "no more sound") -> str:
    need_module("rp2040py")
    return console_of([sys.executable, "-m", "rp2040py", "run", "--gdb-port", "0", "--image", str(image)], end)


def on_esp32c3(image: bytes, end: str, seconds: int = 100) -> str:
    """A bare rv32imc core (unicorn) with the chip's memory map: flash at its two addresses, RAM, registers as plain memory.

    No emulator here has an ESP32-C3: of its peripherals only the transmitter's FIFO is watched. It starts where the ROM jumps.
    """
    need_module("unicorn")
    import unicorn
    from unicorn import riscv_const

    core, said = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32), bytearray()
    flash = image.ljust(-(-len(image) // 4096) * 4096, b"\xff")
    for origin, rights in ((0x42000000, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC), (0x3C000000, unicorn.UC_PROT_READ)):
        core.mem_map(origin, len(flash), rights)
        core.mem_write(origin, flash)
    core.mem_map(0x3FC80000, 0x50000)
    core.mem_write(0x3FC80000, b"\xa5" * 0x50000)
    core.mem_map(0x60000000, 0xD0000)

    def sent(_: object, __: int, ___: int, ____: int, value: int, _____: object) -> None:
        said.append(value & 255)
        if said.endswith(end.encode()):
            core.emu_stop()

    core.hook_add(unicorn.UC_HOOK_MEM_WRITE, sent, begin=0x60000000, end=0x60000003)
    core.reg_write(riscv_const.UC_RISCV_REG_SP, 0x3FCDE710)
    core.emu_start(0x42000008, 0, timeout=seconds * 10**6)
    return said.decode(errors="replace")


def microphone(folder: Path, pcm: np.ndarray) -> Path:
    """A user's C file whose microphone is a recording in flash."""
    path = folder / "mic.c"
    numbers = ",".join(map(str, pcm.tolist()))
    path.write_text(
        '#include "device.h"\n'
        f"static const int16_t sound[{len(pcm)}] = {{{numbers}}};\n"
        "int device_audio(int16_t *pcm, uint32_t n)\n{\n    static uint32_t at;\n    uint32_t i;\n"
        "    if (at + n > sizeof sound / sizeof sound[0]) {\n        return 0;\n    }\n"
        "    for (i = 0; i < n; i++) {\n        pcm[i] = sound[at++];\n    }\n    return 1;\n}\n"
    )
    return path


def said_words(words: Path, folder: Path) -> tuple[Path, list[str]]:
    """Sound with two words, and the lines that an application must print of it."""
    graph: Any = load_graph(words / "graph-int8x16.ern")
    gaps = [np.zeros(n, np.int16) for n in (4000, 4000, 18000)]  # the last event must end in the last
    parts = [gate_fixture.whistle(gate_fixture.MELODIES[w], 2000 + i) for i, w in enumerate(("rise", "hill"))]
    pcm = np.concatenate([gaps[0], parts[0], gaps[1], parts[1], gaps[2]])
    events = make_runtime("numpy", graph).run(pcm[: len(pcm) // graph.step_samples * graph.step_samples]).output.tolist()
    lines = [f"{graph.labels[label]} {score}" for label, score, _, over in events if over]
    assert [line.split()[0] for line in lines] == ["rise", "hill"]
    return microphone(folder, pcm), lines


# Boards ---------------------------------------------------------------------------


def test_every_board_with_a_device_says_what_people_need() -> None:
    assert {"pico", "pico2", "nrf52840-dk", "nano33ble-sense", "microbit", "microbit2", "nucleo-f411re", "nucleo-f446re",
            "nucleo-l476rg", "nucleo-h743zi", "xiao-nrf52840", "esp32-c3"} <= set(DEVICES)  # fmt: skip
    for name in DEVICES:
        board = load_board(name)
        assert board.device and all((board.device.console, board.device.pin, board.device.microphone)), name
        assert board.uf2 or board.flashers, f"{name} cannot be flashed"
        assert usable_emulators(load_board(board.device.twin)) or sys.platform != "linux"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('chip = "rp2"', 'chip = "rp3"', r"line \d+, device, chip: Unknown chip 'rp3'"),
        ('twin = "cortex-m0-4m"', 'twin = "x"', r"line \d+, device, twin: Unknown twin 'x'"),
        ('boot = "rp2040"', 'boot = "x"', r"line \d+, device, boot: Unknown boot 'x'"),
        ("cycles_percent = 170", "cycles_percent = 9", r"line \d+, device, cycles_percent: 9 must lie in 50\.\.1000"),
        ("DEVICE_LED = 25", 'DEVICE_LED = "x"', r"line \d+, device, defines, DEVICE_LED: 'x' is not an integer"),
        ("origin = 0x20000000", "origin = 0x10100000", r"line \d+, ram: flash and ram overlap"),
        ("size = 0x42000", "size = 0xf0000000", r"line \d+, ram: origin and size must lie within 32 bits"),
        ("family = 0xe48bff56", "families = 1", r"line \d+, uf2, families: Unknown key 'families'"),
        ('command = ["pyocd", "flash"', 'commands = ["pyocd", "flash"', r"line \d+, flashers, commands: Unknown key"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / "pico.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    with pytest.raises(EdgernnError, match=message) as caught:
        load_board(tmp_path / "mine.toml")
    line = int(str(caught.value).split("line ")[1].split(",")[0])
    assert new.split("[")[0] in (tmp_path / "mine.toml").read_text().splitlines()[line - 1]


def test_a_new_board_is_one_file(words: Path, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / "pico.toml").read_text()
    (tmp_path / "mine.toml").write_text(
        text.replace('name = "pico"', 'name = "mine"').replace("DEVICE_LED = 25", "DEVICE_LED = 3")
    )
    result = CliRunner().invoke(
        cli.app, ["build", str(words / "graph-int8x16.ern"), "--board", str(tmp_path / "mine.toml"), "--json"]
    )
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert 2000 < made["state_bytes"] < made["ram_bytes"] < made["ram_size"]
    assert {Path(f).name for f in made["files"]} == {f"mine.{x}" for x in ("elf", "bin", "hex", "uf2")}


# Images ---------------------------------------------------------------------------

SEGMENTS = [Segment(0x0800FFF5, bytes(range(40))), Segment(0x08010030, b"\x01\x02\x03")]


def test_hex_is_what_another_reader_reads() -> None:
    need_module("intelhex")
    from intelhex import IntelHex

    found = IntelHex()
    found.loadhex(io.StringIO(intel_hex(SEGMENTS).decode()))
    assert found.segments() == [(0x0800FFF5, 0x0801001D), (0x08010030, 0x08010033)]
    for s in SEGMENTS:
        assert bytes(found.tobinarray(start=s.address, size=len(s.data))) == s.data


def test_flat_images_fill_gaps_with_erased_flash() -> None:
    image = flat(SEGMENTS)
    assert image[:40] == SEGMENTS[0].data and set(image[40:-3]) == {0xFF} and image[-3:] == b"\x01\x02\x03"
    assert len(image) == 0x08010033 - 0x0800FFF5


def test_uf2_is_what_another_reader_reads(tmp_path: Path) -> None:
    need_module("rp2040py")
    from rp2040py import RP2040
    from rp2040py.device.load_flash import load_uf2

    image = bytes(np.random.default_rng(0).integers(0, 256, 1000, np.uint8))
    data = uf2(image, 0x10000400, 0xE48BFF56)
    (tmp_path / "x.uf2").write_bytes(data)
    assert len(data) == 4 * 512
    chip = RP2040()
    load_uf2(tmp_path / "x.uf2", chip)
    assert bytes(chip.flash[0x400 : 0x400 + 1000]) == image
    heads = [struct.unpack("<8I", data[i : i + 32]) for i in range(0, len(data), 512)]
    assert [(h[5], h[6]) for h in heads] == [(i, 4) for i in range(4)]
    assert all(h[2] == 0x2000 and h[4] == 256 and h[7] == 0xE48BFF56 for h in heads)


def test_what_lies_outside_the_flash_is_no_image() -> None:
    board = load_board("nucleo-f411re")
    assert in_flash(SEGMENTS[::-1], board) == SEGMENTS
    last = board.flash.origin + board.flash.size
    assert in_flash([Segment(last - 4, b"1234")], board)
    for wrong in ([Segment(last - 4, b"12345")], [Segment(board.flash.origin - 1, b"1")], []):
        with pytest.raises(EdgernnError, match=r"outside nucleo-f411re's flash|is empty"):
            in_flash(wrong, board)


def test_the_boot_stage_carries_the_checksum_that_the_rom_asks_for(words: Path, tmp_path: Path) -> None:
    assert crc32_forward(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2's published check value
    made = make_application(load_graph(words / "graph-int8x16.ern"), load_board("pico"), tmp_path / "p")
    image = (tmp_path / "p" / "pico.bin").read_bytes()
    reversed_bits = lambda x, n: int(f"{x:0{n}b}"[::-1], 2)  # noqa: E731
    # zlib's CRC takes bits the other way round: turned bytes in, turned and not inverted out
    own = reversed_bits(zlib.crc32(bytes(reversed_bits(b, 8) for b in image[:252])) ^ 0xFFFFFFFF, 32)
    assert struct.unpack("<I", image[252:256])[0] == own
    stack, reset = struct.unpack("<2I", image[256:264])
    assert stack == 0x20042000 and reset & 1 and 0x10000100 < reset < 0x10000000 + len(image)
    elf = read_elf(tmp_path / "p" / "pico.elf")
    assert flat(in_flash(elf.segments, load_board("pico"))) == image and made["flash_bytes"] <= len(image)


def test_rp2350_finds_its_block_in_the_first_4_kib(words: Path, tmp_path: Path) -> None:
    make_application(load_graph(words / "graph-int8x16.ern"), load_board("pico2"), tmp_path)
    block = struct.pack("<5I", 0xFFFFDED3, 0x10210142, 0x000001FF, 0, 0xAB123579)
    at = (tmp_path / "pico2.bin").read_bytes().find(block)
    assert 0 < at < 4096 - len(block) and at % 4 == 0


# They start ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", GRAPHS)
def test_a_pico_starts_from_its_boot_stage_to_the_self_tests_answer(task: str, tmp_path: Path) -> None:
    g = GRAPHS[task]()
    # a random denoiser is too much for the real clock; the emulator has its own
    make_application(g, replace(load_board("pico"), clock_hz=10**9), tmp_path)
    for kind in ("uf2", "hex"):
        said = on_pico(tmp_path / f"pico.{kind}").splitlines()
        assert [f"edgernn {g.id}", OK, "no more sound"] == [line for line in said if "image" not in line and "GDB" not in line]
        if kind == "uf2" and task != "spot":
            break


def test_a_wrong_bit_in_flash_fails_the_self_test(words: Path, tmp_path: Path) -> None:
    g = load_graph(words / "graph-int8x16.ern")
    make_application(g, load_board("pico"), tmp_path, kernel="plain")  # whose weights lie as the graph has them
    weights = next(a for name, a in g.constants.items() if name.endswith(".weight")).tobytes()[:40]
    image = bytearray((tmp_path / "pico.bin").read_bytes())
    at = image.find(weights)
    assert at > 0
    image[at] ^= 1
    (tmp_path / "bad.uf2").write_bytes(uf2(bytes(image), 0x10000000, 0xE48BFF56))
    assert "self-test -1 failed" in on_pico(tmp_path / "bad.uf2", " failed")


def test_a_pico_hears_what_the_host_hears(words: Path, tmp_path: Path) -> None:
    audio, lines = said_words(words, tmp_path)
    make_application(load_graph(words / "graph-int8x16.ern"), load_board("pico"), tmp_path / "p", audio=audio)
    said = on_pico(tmp_path / "p" / "pico.uf2").splitlines()
    assert said[said.index(OK) + 1 :] == [*lines, "no more sound"]


@pytest.mark.parametrize("compiler", ["gcc", "zig"])
@pytest.mark.parametrize("task", GRAPHS)
def test_an_esp32c3s_image_starts_where_its_rom_jumps_to(task: str, compiler: str, tmp_path: Path) -> None:
    g, board = GRAPHS[task](), load_board("esp32-c3")
    if compiler not in available_toolchains(board):
        need_program(compiler)
    made = make_application(g, replace(board, clock_hz=10**9), tmp_path, compiler)
    image = (tmp_path / "esp32-c3.bin").read_bytes()
    assert image[:8] == bytes.fromhex("1d04dbae") * 2 and made["flash_bytes"] <= len(image) < made["flash_bytes"] + 64
    assert made["state_bytes"] < made["ram_bytes"] < made["state_bytes"] + 4096, "what only places constants is no RAM"
    assert on_esp32c3(image, "no more sound").splitlines() == [f"edgernn {g.id}", OK, "no more sound"]


def test_an_esp32c3_hears_what_the_host_hears(words: Path, tmp_path: Path) -> None:
    audio, lines = said_words(words, tmp_path)
    g = load_graph(words / "graph-int8x16.ern")
    make_application(g, load_board("esp32-c3"), tmp_path / "p", audio=audio)
    image = (tmp_path / "p" / "esp32-c3.bin").read_bytes()
    assert on_esp32c3(image, "no more sound").splitlines()[1:] == [OK, *lines, "no more sound"]
    kernel, product = find_kernel("auto", "rv32imc"), next(op for op in g.ops if op.kind in ("matvec", "conv"))
    assert kernel is not None
    weights = kernel.packed(g, product).tobytes()[:80]
    assert image.count(weights) == 1
    wrong = bytearray(image)
    wrong[image.find(weights)] ^= 1
    assert "self-test -1 failed" in on_esp32c3(bytes(wrong), " failed")


def test_a_constant_too_many_for_split_flash_is_refused_with_the_flashs_size(words: Path, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / "esp32-c3.toml").read_text()
    (tmp_path / "small.toml").write_text(text.replace("size = 0x400000", "size = 0x2000"))
    with pytest.raises(EdgernnError, match=r"FLASH needs \d+ bytes of 8192"):
        make_application(load_graph(words / "graph-int8x16.ern"), load_board(tmp_path / "small.toml"), tmp_path / "b")


@pytest.mark.parametrize(
    ("board", "machine", "serial"),
    [
        ("microbit", ["qemu-system-arm", "-M", "microbit"], ["-serial", "stdio"]),
        # QEMU's STM32F405 has the F411's GPIO and USART2; its clocks never say that they are ready
        ("nucleo-f411re", ["qemu-system-arm", "-M", "netduinoplus2"], ["-serial", "null", "-serial", "stdio"]),
    ],
)
def test_serial_ports_of_nrf5_and_stm32f4(
    board: str, machine: list[str], serial: list[str], words: Path, tmp_path: Path
) -> None:
    need_program(machine[0])
    audio, lines = said_words(words, tmp_path)
    machine_of_any_speed = replace(load_board(board), clock_hz=10**9)  # the emulator has its own clock
    make_application(load_graph(words / "graph-int8x16.ern"), machine_of_any_speed, tmp_path / "b", audio=audio)
    elf = str(tmp_path / "b" / f"{board}.elf")
    said = console_of([*machine, "-kernel", elf, "-display", "none", "-monitor", "none", *serial], "no more sound")
    assert said.splitlines()[1:] == [OK, *lines, "no more sound"]


@pytest.mark.parametrize("board", ["cortex-m0-4m", "mps2-an385", "mps2-an386", "mps2-an505", "mps3-an547", "riscv32-virt"])
def test_the_application_runs_on_every_emulated_core(board: str, words: Path, tmp_path: Path) -> None:
    machine = load_board(board)
    audio, lines = said_words(words, tmp_path)
    make_application(load_graph(words / "graph-int8x16.ern"), machine, tmp_path / "b", audio=audio)
    for emulator in usable_emulators(machine):
        firmware = Firmware(
            tmp_path / "b" / f"{board}.elf", board, "", 0, 0, (), read_elf(tmp_path / "b" / f"{board}.elf").symbols
        )
        done = run(firmware, machine, workdir=tmp_path, emulator=emulator, timeout_s=100)
        assert (done.exit_code, done.console.splitlines()[1:]) == (0, [OK, *lines, "no more sound"])


@pytest.mark.parametrize("board", DEVICES)
def test_every_device_compiles_with_every_compiler(board: str, words: Path, tmp_path: Path) -> None:
    machine = load_board(board)
    app = tmp_path / "main.c"
    calls = 'device_init(); device_text("x"); device_number(-7); device_pin(1); return 0;'
    app.write_text(f'#include "device.h"\nint main(void) {{ {calls} }}\n')
    assert (DEVICE_DIR / "device.h").is_file()
    for name in available_toolchains(machine):
        firmware, files = build_application([app], machine, tmp_path / f"{name}.elf", [], find_toolchain(machine, name), "-Os")
        assert firmware.flash_bytes < 3000 and len(files) == (4 if machine.uf2 else 3)


# What is refused ---------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_with_by_how_much_and_leaves_nothing(words: Path, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / "pico.toml").read_text()
    (tmp_path / "small.toml").write_text(
        text.replace("size = 0x200000", "size = 0x2000").replace("size = 0x42000", "size = 0x800")
    )
    with pytest.raises(EdgernnError, match=r"FLASH needs \d+ bytes of 8192.*RAM needs \d+.*fewer `units`"):
        make_application(load_graph(words / "graph-int8x16.ern"), load_board(tmp_path / "small.toml"), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_core_that_does_not_keep_up_is_refused(words: Path, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / "pico.toml").read_text()
    g = load_graph(words / "graph-int8x16.ern")
    load = measure_load(g, load_board("pico"))
    assert load and load.verdict == "yes" and "cortex-m0-4m" in load.counted_on
    busy = load.instructions_per_second * load.cycles_percent / 100
    for hertz, verdict in ((busy / 0.69, "yes"), (busy / 0.71, "tight"), (busy / 0.99, "tight"), (busy / 1.01, "no")):
        (tmp_path / "slow.toml").write_text(text.replace("clock_hz = 125000000", f"clock_hz = {round(hertz)}"))
        board = load_board(tmp_path / "slow.toml")
        if verdict == "no":
            with pytest.raises(EdgernnError, match=r"pico does not keep up.*101 % of its.*MHz.*`stride`"):
                make_application(g, board, tmp_path / "b")
            assert not (tmp_path / "b").exists()
        else:
            found = measure_load(g, board)
            assert found and found.verdict == verdict
    assert [Load("", 1.0, 100, share).verdict for share in (0.7, 0.71, 1.0, 1.01)] == ["yes", "tight", "tight", "no"]


def test_bad_microphones_are_refused(words: Path, tmp_path: Path) -> None:
    g, board = load_graph(words / "graph-int8x16.ern"), load_board("pico")
    (tmp_path / "typo.c").write_text("int device_Audio(int x) { return x; }\n")
    (tmp_path / "mic.txt").write_text("int device_audio(int x) { return x; }\n")
    for name, message in (
        ("gone.c", r"no C file .*gone\.c"),
        ("typo.c", "does not define device_audio"),
        ("mic.txt", "no C file"),
    ):
        with pytest.raises(EdgernnError, match=message):
            make_application(g, board, tmp_path / "b", audio=tmp_path / name)
    (tmp_path / "bad.c").write_text("int device_audio(void) { return nothing; }\n")
    with pytest.raises(EdgernnError, match="nothing"):
        make_application(g, board, tmp_path / "b", audio=tmp_path / "bad.c")
    assert not (tmp_path / "b").exists()


def test_an_application_built_again_replaces_the_old_one(words: Path, tmp_path: Path) -> None:
    g, board = load_graph(words / "graph-int8x16.ern"), load_board("pico")
    make_application(g, board, tmp_path / "b")
    first = sorted(p.name for p in (tmp_path / "b").iterdir())
    make_application(g, board, tmp_path / "b", optimize="-Os")
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == first
    assert {"app", "pico.elf", "pico.bin", "pico.hex", "pico.uf2"} == set(first)
