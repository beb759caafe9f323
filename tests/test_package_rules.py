"""Libraries as frameworks want them: by their own tools where those can be had, else by their published rules.

Every checker also gets something that is wrong.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_runs import ROOT
from needs import need_module, need_packagers
from packages import (
    EXAMPLES,
    SEMVER,
    STAND_INS,
    TASKS,
    altered,
    call,
    graph,
    packed,
)

from firmware_export.package import (
    package_version,
)

# PlatformIO, ESP-IDF, Kconfig and PIO: by their own tools ---------------------------------------------------------------------


def told_by_tool(*words: object) -> Any:
    """What `packagers_check.py` found."""
    python = need_packagers()
    said = call([python, ROOT / "tests" / "packagers_check.py", *words], PYTHONPATH="")
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("task", TASKS)
def test_platformio_takes_and_packs_the_library(task: str, tmp_path: Path) -> None:
    home = packed(task, "platformio", tmp_path)
    found = told_by_tool("platformio", home)
    assert found["errors"] == []
    assert found["manifest"]["version"] == package_version(graph(task))
    assert found["manifest"]["license"] == "Apache-2.0"
    every = {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()}
    assert set(found["packed"]) - {".piopm"} == every
    for example in found["manifest"]["examples"]:
        assert all((home / example["base"] / name).is_file() for name in example["files"])
    assert (home / "src" / found["manifest"]["headers"][0]).is_file()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"version": "', '"version": "r', "Invalid semantic versioning"),
        ('"license": "Apache-2.0"', '"license": "Apache"', "Invalid SPDX license"),
        ('"name": "vad_random"', '"name": "vad/random"', "not allowed"),
        ('"audio"', '"Hörspiel"', "chars are allowed"),
        ('"base": ', '"bass": ', "Missing data"),
        ('"name": "vad_random",', "", "Missing data"),
    ],
)
def test_platformio_says_what_is_wrong(old: str, new: str, why: str, tmp_path: Path) -> None:
    manifest = packed("vad", "platformio", tmp_path) / "library.json"
    altered(manifest, old, new)
    assert why in str(told_by_tool("platformio", manifest.parent)["errors"])


def test_the_component_manager_takes_the_component(tmp_path: Path) -> None:
    for task in TASKS:
        home = packed(task, "esp-idf", tmp_path)
        assert told_by_tool("idf", home) == {"errors": [], "version": package_version(graph(task)), "license": "Apache-2.0"}
        listed = told_by_tool("yaml", home / "idf_component.yml")["examples"]
        assert all((home / example["path"] / "CMakeLists.txt").is_file() for example in listed)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('version: "', 'version: "x', "version"),
        ("license: Apache-2.0", "license: [1, 2]", "license"),
        ("description:", "description: [", "Cannot parse"),
        ('idf: ">=5.1"', 'idf: ">=five"', "idf"),
        ("  - audio", "  - a!", "tags"),
    ],
)
def test_the_component_manager_says_what_is_wrong(old: str, new: str, why: str, tmp_path: Path) -> None:
    manifest = packed("vad", "esp-idf", tmp_path) / "idf_component.yml"
    altered(manifest, old, new)
    assert why in str(told_by_tool("idf", manifest.parent)["errors"])


def kconfig(home: Path) -> Any:
    sample = home / "samples" / "microphone"
    return told_by_tool("kconfig", STAND_INS / "zephyr" / "Kconfig", home / "zephyr" / "Kconfig", sample / "prj.conf")


def test_kconfig_knows_the_symbol_that_the_sample_sets(tmp_path: Path) -> None:
    home = packed("vad", "zephyr", tmp_path)
    found = kconfig(home)
    assert found["errors"] == []
    assert found["values"]["VAD_RANDOM"] == found["values"]["AUDIO_DMIC"] == "y"
    settings = home / "samples" / "microphone" / "prj.conf"
    settings.write_text(settings.read_text() + "CONFIG_VAD_RANDON=y\n")
    assert "VAD_RANDON" in str(kconfig(home)["errors"])
    (home / "zephyr" / "Kconfig").write_text('config VAD_RANDOM\n\tbuul "x"\n')
    assert "syntax error" in str(kconfig(home)["errors"])


def heard_by_pio(program: dict[str, Any], words: np.ndarray) -> tuple[list[int], int]:
    """What a PIO program takes from an I2S microphone that sends `words` in the left slot, and the cycles of the last frame.

    The machine is rp2040py's; the microphone follows Philips' bus: it takes the word clock that stands as the bit clock rises,
    and begins a slot as the bit clock next falls. Data at GP20, bit clock at GP21, word clock at GP22.
    """
    from rp2040py import RP2040

    chip = RP2040()
    pio, machine = chip.pio[0], chip.pio[0].machines[0]
    for i, instruction in enumerate(program["instructions"]):
        pio.write_uint32(0x48 + 4 * i, instruction)
    execute, shift = program["wrap"] << 12 | program["wrap_target"] << 7, 1 << 31 | 1 << 16  # FIFOs joined; left, push at 32
    for register, value in (
        (0xC8, 1 << 16),
        (0xCC, execute),
        (0xD0, shift),
        (0xDC, 2 << 29 | 2 << 26 | 20 << 15 | 21 << 10 | 21 << 5),
    ):
        pio.write_uint32(register, value)
    pio.write_uint32(0xD8, 0xE083)  # set pindirs, 3
    for pin in (20, 21, 22):
        chip.write_uint32(0x40014004 + 8 * pin, 6)  # the pin is PIO 0's
        chip.write_uint32(0x4001C004 + 4 * pin, 0x56)  # and an input as well
    machine.enabled, machine.next_due_fp = True, pio.cycle_fp
    pio.recompute_due()
    taken, times = list[int](), list[int]()
    bit_clock = word_clock = begins = word = False
    left, register = iter(int(x) & 0xFFFFFFFF for x in words), 0
    for cycle in range(128 * (len(words) + 2)):
        pio.step()
        before, bit_clock = bit_clock, bool(chip.gpio[21].output_value)
        if bit_clock and not before:
            begins, word_clock = word != word_clock, word
        elif before and not bit_clock:
            register = (0 if word_clock else next(left, 0)) if begins else register << 1 & 0xFFFFFFFF
            chip.gpio[20].set_input_value(bool(register >> 31))
            begins = False
        word = bool(chip.gpio[22].output_value)
        while not pio.read_uint32(0x04) >> 8 & 1:
            taken.append(pio.read_uint32(0x20))
            times.append(cycle)
    return taken, times[-1] - times[-2] if len(times) > 1 else 0


PIO_SOURCE = ROOT / "firmware_export/packages/pico-sdk/examples/microphone/i2s_in.pio"


def pio_hears(source: Path) -> bool:
    """Whether a program takes every word of the left slot, in as many cycles a sample as main.c sets the clock by."""
    need_module("rp2040py")
    words = np.random.default_rng(0).integers(-(1 << 31), 1 << 31, 12)
    taken, cycles = heard_by_pio(told_by_tool("pio", source), words)
    stated = re.search(r"#define FRAME_CYCLES (\d+)u", PIO_SOURCE.with_name("main.c.jinja").read_text())
    assert stated
    return taken[1:12] == [int(x) & 0xFFFFFFFF for x in words[:11]] and cycles == int(stated[1])


def test_the_pio_program_hears_an_i2s_microphone() -> None:
    """Assembled by adafruit's assembler, run by rp2040py's machine: neither is pioasm or an RP2040."""
    assert pio_hears(PIO_SOURCE)
    program = told_by_tool("pio", PIO_SOURCE)
    assert (program["sideset_pin_count"], program["sideset_enable"]) == (2, False)
    stand_in = (STAND_INS / "pico-sdk" / "i2s_in.pio.h").read_text()
    assert f"i2s_in_program_instructions[{len(program['instructions'])}]" in stand_in


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    set x, 29          side 0b00", "    set x, 28          side 0b00"),
        ("    set x, 29          side 0b00", "    set x, 29          side 0b10"),
        ("    in pins, 1         side 0b11", "    in null, 1         side 0b11"),
        ("    set x, 29          side 0b10", "    set x, 30          side 0b10"),
        ("    nop                side 0b00\n", ""),
    ],
)
def test_a_fault_in_the_pio_program_is_heard(old: str, new: str, tmp_path: Path) -> None:
    text = PIO_SOURCE.read_text()
    assert text.count(old) == 1
    (tmp_path / "x.pio").write_text(text.replace(old, new))
    assert not pio_hears(tmp_path / "x.pio")


# Zephyr and Arduino: by their published rules ---------------------------------------------------------------------------


#: keys of zephyr/module.yml and their types: "Module yaml file description" in Zephyr's documentation (develop/modules),
#: and the schema of scripts/zephyr_module.py
MODULE_KEYS: dict[str, Any] = {
    "name": str, "build": dict, "tests": list, "samples": list, "boards": list, "blobs": list, "runners": list,
    "package-managers": dict, "security": dict,
}  # fmt: skip
BUILD_KEYS: dict[str, Any] = {
    "cmake": str, "kconfig": str, "cmake-ext": bool, "kconfig-ext": bool, "sysbuild-cmake": str, "sysbuild-kconfig": str,
    "sysbuild-cmake-ext": bool, "sysbuild-kconfig-ext": bool, "depends": list, "settings": dict,
}  # fmt: skip


def module_faults(home: Path) -> list[str]:
    """What Zephyr would not take: unknown keys, wrong types, folders and files that are named and not there."""
    module = told_by_tool("yaml", home / "zephyr" / "module.yml")
    build = module.get("build", {})
    faults = [
        f"unknown key {k}" for known, given in ((MODULE_KEYS, module), (BUILD_KEYS, build)) for k in set(given) - set(known)
    ]
    for known, given in ((MODULE_KEYS, module), (BUILD_KEYS, build)):
        faults += [f"{k} is no {known[k].__name__}" for k, v in given.items() if k in known and not isinstance(v, known[k])]
    if not (home / build.get("cmake", "zephyr") / "CMakeLists.txt").is_file():
        faults.append("cmake names a folder without CMakeLists.txt")
    if not (home / build.get("kconfig", "zephyr/Kconfig")).is_file():
        faults.append("kconfig names no file")
    for folder in module.get("samples", []):
        samples = [p.parent for p in (home / folder).rglob("sample.yaml")]
        if not samples or not all((s / x).is_file() for s in samples for x in ("CMakeLists.txt", "prj.conf", "src/main.c")):
            faults.append(f"{folder} holds no sample")
    return faults


@pytest.mark.parametrize("task", TASKS)
def test_zephyr_s_rules_find_nothing(task: str, tmp_path: Path) -> None:
    home = packed(task, "zephyr", tmp_path)
    assert module_faults(home) == []
    sample = told_by_tool("yaml", home / "samples" / "microphone" / "sample.yaml")
    assert set(sample) == {"sample", "tests"}
    overlay = (home / "samples" / "microphone" / "boards" / "nrf52840dk_nrf52840.overlay").read_text()
    assert "dmic_dev: &pdm0" in overlay and "DT_NODELABEL(dmic_dev)" in (home / EXAMPLES["zephyr"][0]).read_text()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("  cmake: zephyr", "  cmake: code", "cmake names a folder"),
        ("  kconfig: zephyr/Kconfig", "  kconfig: Kconfig", "kconfig names no file"),
        ("name: ", "title: ", "unknown key title"),
        ("  cmake: zephyr", "  cmake-ext: maybe", "cmake-ext is no bool"),
        ("  - samples", "  - examples", "examples holds no sample"),
        ("  kconfig: ", "  Kconfig: ", "unknown key Kconfig"),
    ],
)
def test_zephyr_s_rules_say_what_is_wrong(old: str, new: str, why: str, tmp_path: Path) -> None:
    home = packed("vad", "zephyr", tmp_path)
    module = home / "zephyr" / "module.yml"
    altered(module, old, new)
    assert any(why in fault for fault in module_faults(home))


#: "Library specification" of arduino-cli (arduino.github.io/arduino-cli, library-specification), rev. 2.2
REQUIRED = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
OPTIONAL = {"depends", "dot_a_linkage", "includes", "precompiled", "ldflags"}
CATEGORIES = {"Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
              "Data Processing", "Other"}  # fmt: skip
#: rules a value must match: letters, digits, space, _ . - with at least one letter, no beginning with "Arduino"; semver; ..
VALUES = {
    "name": r"(?!(?i:arduino))(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}",
    "version": SEMVER.pattern,
    "maintainer": r"(?!(?i:arduino)).+",
    "author": r".+", "sentence": r".+", "architectures": r"\*|[a-z0-9_-]+(,[a-z0-9_-]+)*",
    "url": r"https?://[^\s/]+(/\S*)?", "dot_a_linkage": r"true|false",
}  # fmt: skip


def library_faults(home: Path) -> list[str]:
    """What Arduino's library specification forbids: fields, values, folders, sketches, keywords."""
    lines = [line for line in (home / "library.properties").read_text().splitlines() if line and not line.startswith("#")]
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    faults = [f"no field: {line}" for line in lines if "=" not in line]
    faults += [f"{k} is missing" for k in REQUIRED - set(fields)]
    faults += [f"{k} is no field" for k in set(fields) - REQUIRED - OPTIONAL]
    faults += [f"{k} = {fields[k]}" for k, rule in VALUES.items() if k in fields and not re.fullmatch(rule, fields[k])]
    if fields.get("category") not in CATEGORIES:
        faults.append("category")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", home.name):
        faults.append("the folder's name")
    faults += [f"{x} is not in src" for x in fields.get("includes", "").split(",") if x and not (home / "src" / x).is_file()]
    if list(home.glob("*.[ch]")) or (home / "utility").exists():
        faults.append("code outside src")
    sketches = [p for p in (home / "examples").iterdir() if p.is_dir()] if (home / "examples").is_dir() else []
    faults += [f"{p.name} has no sketch of its name" for p in sketches if not (p / f"{p.name}.ino").is_file()]
    if not sketches:
        faults.append("no example")
    for line in (home / "keywords.txt").read_text().splitlines():
        if line and not re.fullmatch(r"#.*|\w+\t(KEYWORD[123]|LITERAL[12])(\t\w*){0,2}", line):
            faults.append(f"keywords.txt: {line}")
    return faults


@pytest.mark.parametrize("task", TASKS)
def test_arduino_s_rules_find_nothing(task: str, tmp_path: Path) -> None:
    assert library_faults(packed(task, "arduino", tmp_path)) == []


def replaced(file: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda home: altered(home / file, old, new)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (replaced("library.properties", "name=vad_random", "name=Arduino ear"), "name = Arduino ear"),
        (replaced("library.properties", "name=vad_random", "name=12"), "name = 12"),
        (replaced("library.properties", "version=", "version=v"), "version = v"),
        (replaced("library.properties", "category=Signal Input/Output", "category=Audio"), "category"),
        (replaced("library.properties", "maintainer=your name <you@example.com>\n", ""), "maintainer is missing"),
        (replaced("library.properties", "url=https://", "url=www "), "url = www"),
        (replaced("library.properties", "dot_a_linkage=true", "dot_a_linkage=yes"), "dot_a_linkage = yes"),
        (replaced("library.properties", "includes=", "include="), "include is no field"),
        (replaced("library.properties", "paragraph=", "paragraph=x\n"), "no field: Graph"),
        (replaced("keywords.txt", "vad_reset\t", "vad_reset "), "keywords.txt: vad_reset"),
        (lambda home: (home / "src" / "vad.c").rename(home / "vad.c"), "code outside src"),
        (lambda home: (home / "examples" / "microphone").rename(home / "examples" / "mic"), "mic has no sketch"),
        (lambda home: shutil.rmtree(home / "examples"), "no example"),
        (replaced("library.properties", "includes=", "includes=x"), "is not in src"),
    ],
)
def test_arduino_s_rules_say_what_is_wrong(change: Callable[[Path], object], why: str, tmp_path: Path) -> None:
    home = packed("vad", "arduino", tmp_path)
    change(home)
    assert any(why in fault for fault in library_faults(home))


def test_the_checker_s_own_python_is_named_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERNN_PACKAGERS", str(tmp_path / "python"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="EDGERNN_PACKAGERS"):
        need_packagers()
