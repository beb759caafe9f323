"""Instructions by the part of a step: every function of the exported C has one, whatever the kernel, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from needs import need_program

from edgernn import firmware
from edgernn.firmware import build_firmware, counted_run
from edgernn.tasks import load_graph
from edgernn.zoo import all_cards, find_card
from firmware_export.golden import golden_signal
from firmware_export.parts import DECISION, GATES, HELPERS, PARTS, PRODUCTS, SIGNAL, by_part
from targets import load_board
from targets.elf import Elf, read_elf


def test_a_function_counts_where_its_file_belongs(tmp_path: Path) -> None:
    files = {
        "ern_frontend.c": "static void transform(int *x,\n                      int n)\n{\n}\nvoid declared(int x);\n",
        "ern_fft.h": "static inline int\nbutterfly(int x) {\n    return x;\n}\n",
        "ern_fast_fft.S": ".macro fft name\n\\name:\n.endm\n    fft ern_fast_fft\n",
        "ern_net.c": "void ern_add(int *y)\n{\n}\nvoid ern_dot(const ern_linear *l)\n{\n}\nstatic int inside(int x)\n{\n}\n",
        "ern_products.h": "static void ERN_NAMED(products)(const ern_linear *l)\n{\n}\n",
        "ern_decide.c": "int ern_decide(int x)\n{\n}\n",
        "ern_fast.c": "void ern_fast_zero(int *y)\n{\n    declared(3);\n}\n",
        "model.h": "void model_net_step(int *s)\n{\n}\nstatic int model_decide(int *s)\n{\n}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    of = {
        SIGNAL: ("transform", "butterfly", "ern_fast_fft", "transform.constprop.0"),
        PRODUCTS: ("ern_dot", "inside", "products_s16", "products_s8", "ern_fast_zero"),
        GATES: ("ern_add", "model_net_step", "main"), DECISION: ("ern_decide", "model_decide"),
        HELPERS: ("__muldi3", "declared", "memcpy", ""),
    }  # fmt: skip
    for part, names in of.items():
        for name in names:
            assert by_part({name: 7}, tmp_path) == {part: 7}, name
    everything = {name: 10**i for i, names in enumerate(of.values()) for name in names}
    found = by_part(everything, tmp_path)
    assert list(found) == list(PARTS) == list(of)
    assert found == {part: 10**i * len(names) for i, (part, names) in enumerate(of.items())}


def test_addresses_belong_to_the_function_that_begins_before_them() -> None:
    elf = Elf(0, (), (), {}, functions=((16, "a"), (32, "b")))
    assert elf.by_function({15: 1, 16: 2, 31: 4, 32: 8, 99: 16}) == {"": 1, "a": 6, "b": 24}


@pytest.mark.parametrize("kernel", ["auto", "plain"])
@pytest.mark.parametrize(
    ("board", "compiler"), [("mps2-an386", "arm-none-eabi-gcc"), ("riscv32-virt", "riscv64-unknown-elf-gcc")]
)
@pytest.mark.parametrize("card", all_cards(), ids=lambda c: c.name)
def test_nothing_of_a_step_is_without_a_part(card: Any, board: str, compiler: str, kernel: str, tmp_path: Path) -> None:
    for program in (compiler, "qemu-system-arm" if "arm" in compiler else "qemu-system-riscv32"):
        need_program(program)
    g, where = load_graph(card.file), load_board(board)
    built, _ = build_firmware(g, where, tmp_path, "gcc", kernel=kernel)
    done = counted_run(g, built, where, golden_signal(g.step_samples, 3), "qemu")
    found = firmware._by_part(built, done)
    assert sum(found.values()) == sum(done.instructions)
    assert HELPERS not in found, read_elf(built.elf).by_function(done.by_address)
    assert min(found[part] for part in (SIGNAL, PRODUCTS, GATES)) > 0.03 * sum(done.instructions)


def test_the_report_is_of_one_step(tmp_path: Path) -> None:
    need_program("arm-none-eabi-gcc")
    need_program("qemu-system-arm")
    g, where = load_graph(find_card("vad").file), load_board("cortex-m0-4m")
    built, _ = build_firmware(g, where, tmp_path, "gcc", kernel="auto")
    report = firmware.run_firmware(g, built, where, golden_signal(g.step_samples, 60), "qemu").to_dict()
    assert sum(report["instructions_by_part"].values()) == pytest.approx(report["instructions_per_step"])
    assert report["instructions_by_part"]["compiler's helpers"] > 0, "an M0 has no 64-bit product"
