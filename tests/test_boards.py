"""The boards as a whole: what `edgernn boards` tells, cores among the emulated ones, the documents' table, the code's size."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fixture_runs import ROOT
from needs import need_program
from nets import quantized, random_net
from typer.testing import CliRunner

from edgernn import cli
from edgernn.core.primitives import SCHEMES
from edgernn.errors import EdgernnError
from edgernn.firmware import build_firmware, run_firmware
from edgernn.tasks import all_tasks
from firmware_export.golden import golden_signal
from targets import list_boards, load_board, usable_emulators
from targets.linux_board import list_linux_boards

sys.path.insert(0, str(ROOT / "tools"))
import bench_boards
import readme


def said(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, ["boards", *arguments], env={"COLUMNS": "80"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


# What is told ---------------------------------------------------------------------------


def test_the_list_fits_80_columns_as_a_table_and_names_every_board() -> None:
    text = said()
    assert max(map(len, text.splitlines())) <= 80 and "┃ name" in text, "it fell back to records"
    for name in list_boards():
        assert re.search(rf"│ {re.escape(name)} +│", text), name


def test_one_board_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = said("esp32-c3")
    for part in ("core: rv32imc at 160 MHz", "flash: 4 MB at 0x42000000, loads find it at 0x3c000000",
                 "RAM: 320 KB at 0x3fc80000",
                 "console: the USB", "pin: GPIO10", "microphone: an I2S", "counted on: riscv32-virt"):  # fmt: skip
        assert part in text
    monkeypatch.setenv("PATH", str(tmp_path))
    text = said("nucleo-f411re")
    for part in ("flash: st-flash, not here: apt install stlink-tools", "probe: openocd, not here: apt install openocd",
                 "build: gcc, not here: install arm-none-eabi-gcc"):  # fmt: skip
        assert part in text
    facts = json.loads(said("nucleo-f411re", "--json"))
    assert facts["flashers"] == facts["probes"] == [] and "gcc" not in facts["toolchains"] and facts["clock_hz"] == 96_000_000
    assert [row["name"] for row in json.loads(said("--json"))] == [*list_boards(), *list_linux_boards()]


def test_an_unknown_board_is_a_sentence() -> None:
    result = CliRunner().invoke(cli.app, ["boards", "picco"])
    assert isinstance(result.exception, EdgernnError) and "did you mean 'pico'" in str(result.exception)


@pytest.mark.parametrize(
    ("base", "old", "new", "message"),
    [
        ("esp32-c3", "flash_reads = 0x3c000000", "flash_reads = 0x42100000", "flash and flash_reads overlap"),
        ("esp32-c3", "flash_reads = 0x3c000000", "flash_reads = 0x3fc00000", "ram and flash_reads overlap"),
        ("esp32-c3", "flash_reads = 0x3c000000", "flash_reads = 0xfff00000", "must lie within 32 bits"),
        ("esp32-c3", "flash_reads = 0x3c000000", "flash_reads = -1", "must lie within 32 bits"),
        ("esp32-c3", 'twin = "riscv32-virt"', 'twin = "esp32-c3"', "is no emulated board"),
        ("esp32-c3", 'twin = "riscv32-virt"', 'twin = "pico"', "is no emulated board"),
        ("pico", "origin = 0x20000000", "origin = 0x10000000", "flash and ram overlap"),
    ],
)
def test_circles_and_overlaps_in_a_board_file(base: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / f"{base}.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    with pytest.raises(EdgernnError, match=r"mine\.toml, line \d+") as caught:
        load_board(tmp_path / "mine.toml")
    assert message in str(caught.value)


# Cores ---------------------------------------------------------------------------


def test_cortex_m0_plus_runs_in_both_emulators(tmp_path: Path) -> None:
    board = load_board("cortex-m0plus-4m")
    assert "-mcpu=cortex-m0plus" in (board.gcc.flags if board.gcc else ())
    need_program("qemu-system-arm")
    g = quantized(random_net("gru", 16), "int8")
    firmware, _ = build_firmware(g, board, tmp_path)
    reports = [run_firmware(g, firmware, board, golden_signal(g.step_samples, 20), e) for e in usable_emulators(board)]
    assert reports and all(r.bits_differing == 0 for r in reports)


def test_m55_with_mve_runs_vector_instructions_to_the_same_bits(tmp_path: Path) -> None:
    need_program("arm-none-eabi-objdump")
    need_program("qemu-system-arm")
    g, board = quantized(random_net("gru", 16), "int8x16"), load_board("mps3-an547-mve")
    firmware, _ = build_firmware(g, board, tmp_path, "gcc", "-O3")
    code = subprocess.run(["arm-none-eabi-objdump", "-d", str(firmware.elf)], capture_output=True, text=True, check=True).stdout
    assert re.search(r"\tv(ldr|str|mla|add|mul|mov)\w*", code) and re.search(r"\t(dls|le)\t", code)
    assert run_firmware(g, firmware, board, golden_signal(g.step_samples, 20), "qemu").bits_differing == 0


# Figures ---------------------------------------------------------------------------


def test_the_code_of_a_spotter_on_an_m4_is_at_most_6_kb(tmp_path: Path) -> None:
    need_program("arm-none-eabi-gcc")
    assert 2500 < bench_boards.runtime_code(tmp_path) <= 6 * 1024


def test_the_table_covers_every_emulated_board_task_and_scheme_and_no_bit_differs() -> None:
    rows = json.loads(bench_boards.RESULTS.read_text())["rows"]
    assert set(bench_boards.NETS) == set(all_tasks())
    wanted = {(b, t, s) for b in bench_boards.emulated_boards() for t in bench_boards.NETS for s in SCHEMES}
    assert {(r["board"], r["task"], r["scheme"]) for r in rows} == wanted
    assert all(r["bits_differing"] == 0 and r["steps"] == bench_boards.STEPS and r["entries"] > 1000 for r in rows)
    page = (ROOT / "docs" / "boards.md").read_text()
    assert readme.filled(page) == page, "run tools/readme.py"
    assert all(f"| {name} |" in page for name in bench_boards.emulated_boards())


def test_a_fresh_run_is_what_the_table_says() -> None:
    kept = json.loads(bench_boards.RESULTS.read_text())["rows"]
    for row in bench_boards.measured("spot", "int8x16", "mps2-an386"):
        old = next(r for r in kept if (r["board"], r["task"], r["scheme"]) == ("mps2-an386", "spot", "int8x16"))
        assert row["bits_differing"] == 0 and row["entries"] == old["entries"]
        if row["toolchain"] == old["toolchain"]:
            assert row["instructions_per_step"] == pytest.approx(old["instructions_per_step"], rel=0.05)
