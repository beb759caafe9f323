"""Signal paths of kernels: the bits of the definition over extreme sounds and odd sizes, and what whole steps cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cores import cores_of
from numpy.typing import NDArray
from test_emulated import need
from test_kernels import PAIRS, bench_kernels, kernels, need_gcc_12

from edgernn.signal import log_mel, native, stft
from edgernn.signal.audio import Int16
from edgernn.signal.log_mel import FrontEndParams
from edgernn.signal.stft import StftParams
from firmware_export.emit import wrapped
from targets import build, find_toolchain, load_board, run

#: kernels with signal paths of their own, and their boards
OWN = [(name, board) for name, board in PAIRS if kernels()[name].instead]
FRONTS = (
    FrontEndParams(),
    FrontEndParams(window=400, hop=160),
    FrontEndParams(window=401, hop=160, bands=20),
    FrontEndParams(window=1023, hop=300, f_max=8000.0),
    FrontEndParams(window=255, hop=254, bands=12, floor_log2=0),
    FrontEndParams(window=129, hop=2, bands=10, floor_log2=40),
    FrontEndParams(window=33, hop=32, bands=4),
    FrontEndParams(window=16, hop=16, bands=2),
    FrontEndParams(window=64, hop=63, bands=5, f_min=1e-300),
)
PATHS = tuple(StftParams(window=w, single=w // 8, wide=3) for w in (64, 128, 256, 512, 1024))


def extremes(n: int) -> Int16:
    """Full-scale squares, the lowest value, silence, single samples and noise, one after another: int16 [n]."""
    rng, t = np.random.default_rng(5), np.arange(n // 8)
    parts = [
        np.full(n // 8, -32768), np.where(t % 2, 32767, -32768), np.where(t // 37 % 2, 32767, -32768), np.zeros(n // 8),
        np.where(t == n // 16, -32768, 0), np.where(t == n // 16, 1, 0), np.full(n // 8, 32767),
    ]  # fmt: skip
    return np.concatenate([*parts, rng.integers(-32768, 32768, n - 7 * (n // 8))]).astype(np.int16)


def table(name: str, ctype: str, data: NDArray[Any]) -> str:
    """A constant array in C."""
    numbers = wrapped("INT32_MIN" if v == -(2**31) else str(int(v)) for v in data.ravel())
    return f"static const {ctype} {name}[] = {{\n{numbers}\n}};\n"


FRONT = r"""
static int16_t history[1024], pcm[1025], out[80];
static int32_t work[1024];
int main(void)
{
    const int in = board_open("in", 0), to = board_open("out", 1);
    int16_t *const samples = pcm + ODD;
    while (board_read(in, samples, 2u * front.hop) == 2u * front.hop) {
        ern_frontend_log_mel(&front, out, history, samples, work);
        (void)board_write(to, out, 2u * front.bands);
    }
    return 0;
}
"""
PATH = r"""
static int16_t history[512], pcm[513], out[256], gains[256];
static int32_t spectrum[1026], overlap[512];
int main(void)
{
    const int in = board_open("in", 0), to = board_open("out", 1), how = board_open("gains", 0);
    int16_t *const samples = pcm + ODD;
    while (board_read(in, samples, path.window) == path.window) {
        (void)board_read(how, gains, 2u * path.bands);
        ern_stft_analyze(&path, spectrum, history, samples);
        ern_stft_log_bands(&path, out, spectrum);
        ern_stft_synthesize(&path, samples, overlap, spectrum, gains, 300);
        (void)board_write(to, out, 2u * path.bands);
        (void)board_write(to, samples, path.window);
    }
    return 0;
}
"""


def front_source(p: FrontEndParams) -> str:
    t = log_mel.make_tables(p)
    arrays = [("hann", "int16_t", t.window), ("cosine", "int16_t", t.cosine), ("mel_start", "uint16_t", t.mel_start),
              ("mel_rise", "uint16_t", t.mel_rise)]  # fmt: skip
    numbers = f"{p.window}, {p.hop}, {p.fft}, {p.bands}, {p.floor_log2}, 1, 16, hann, cosine, mel_start, mel_rise, 0, 0"
    tables = "".join(table(*a) for a in arrays)
    return f'#include "board.h"\n#include "ern_frontend.h"\n{tables}static const ern_frontend front = {{ {numbers} }};\n{FRONT}'


def path_source(p: StftParams) -> str:
    t = stft.make_tables(p)
    tables = table("taper", "int16_t", t.window) + table("cosine", "int32_t", t.cosine)
    numbers = f"{p.window}, {p.single}, {p.wide}, {p.bands}, {p.floor_log2}, 1, 16, taper, cosine, 0, 0"
    return f'#include "board.h"\n#include "ern_stft.h"\n{tables}static const ern_stft path = {{ {numbers} }};\n{PATH}'


def emulated(folder: Path, name: str, board: str, source: str, plain: str, odd: int = 1) -> Int16:
    """What a program on the board says of the file `in`, int16; odd: whether samples begin at half a word."""
    kernel, b = kernels()[name], load_board(board)
    for path in native.runtime_dir().glob("ern_*.[ch]"):
        (folder / path.name).write_bytes(path.read_bytes())
    for file, data in kernel.files().items():
        (folder / file).write_bytes(data)
    (folder / "t.c").write_text(source.replace("ODD", str(odd)))
    sources = [folder / x for x in ("t.c", kernel.instead[plain], *kernel.compiled)]
    firmware = build(sources, b, folder / "x.elf", include_dirs=[folder], toolchain=find_toolchain(b, "gcc"))
    assert run(firmware, b, args=("x",), workdir=folder, emulator="qemu", timeout_s=120).exit_code == 0
    return np.fromfile(folder / "out", "<i2")


@pytest.mark.parametrize("p", FRONTS, ids=lambda p: f"{p.window}-{p.hop}")
@pytest.mark.parametrize(("name", "board"), OWN[:1])
def test_a_front_end_has_the_bits_of_the_definition(name: str, board: str, p: FrontEndParams, tmp_path: Path) -> None:
    need(board, "gcc", "qemu")
    pcm = extremes(p.hop * max(24, 4096 // p.hop))
    pcm.tofile(tmp_path / "in")
    wanted = log_mel.log_mel(pcm, p, log_mel.make_tables(p))
    assert (wanted.min(), len(np.unique(wanted)) > 20) == (512 * p.floor_log2, True)
    for odd in (0, 1) if p == FRONTS[0] else (1,):
        found = emulated(tmp_path, name, board, front_source(p), "ern_frontend.c", odd)
        assert np.array_equal(found.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("p", PATHS, ids=lambda p: str(p.window))
@pytest.mark.parametrize(("name", "board"), OWN[:1])
def test_a_signal_path_has_the_bits_of_the_definition(name: str, board: str, p: StftParams, tmp_path: Path) -> None:
    need(board, "gcc", "qemu")
    tables, pcm = stft.make_tables(p), extremes(32 * p.hop)
    re, im = stft.analyze(pcm, p, tables)
    gains = np.random.default_rng(3).integers(0, 32768, (32, p.bands)).astype(np.int16)
    gains[::3] = 32767
    pcm.tofile(tmp_path / "in")
    gains.tofile(tmp_path / "gains")
    sound, _ = stft.synthesize(re, im, stft.floored(gains, 300), p, tables)
    found = emulated(tmp_path, name, board, path_source(p), "ern_stft.c").reshape(32, -1)
    assert np.array_equal(found[:, : p.bands], stft.log_bands(re, im, p))
    assert np.array_equal(found[:, p.bands :].ravel(), sound)


@pytest.mark.parametrize(("name", "board"), OWN)
def test_every_core_of_a_kernel_hears_the_same(name: str, board: str, tmp_path: Path) -> None:
    need(board, "gcc", "qemu")
    p = FRONTS[1]
    pcm = extremes(p.hop * 40)
    pcm.tofile(tmp_path / "in")
    found = emulated(tmp_path, name, board, front_source(p), "ern_frontend.c")
    assert np.array_equal(found.reshape(-1, p.bands), log_mel.log_mel(pcm, p, log_mel.make_tables(p)))


#: instructions that the project promises on a kernel's first core: of a front end's frame, of the whole step of a recipe
PROMISED_FRAME = {"dsp": 30_000}
PROMISED_STEP = {("dsp", "demo"): 92_000, ("dsp", "dn-small"): 470_000, ("dsp", "dn-standard"): 1_320_000}


@pytest.mark.parametrize(("name", "recipe"), PROMISED_STEP)
def test_a_whole_step_costs_no_more_than_promised(name: str, recipe: str, tmp_path: Path) -> None:
    core, g = need_gcc_12(cores_of(kernels()[name])[0].name), bench_kernels.whole_graph(recipe)
    parts = bench_kernels.split(g, core, name, tmp_path)
    assert min(parts.values()) > 0
    assert sum(parts.values()) <= PROMISED_STEP[name, recipe]
    if recipe == "demo":
        assert parts["front end"] <= g.frames_per_step * PROMISED_FRAME[name]
