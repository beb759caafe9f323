"""Live sound through real PortAudio and ALSA: the sound card is ALSA's own file plugin, which plays and records files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from fixture_runs import fixture_run, gate_fixture
from needs import need_portaudio

from edgernn import pipeline
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import Int16
from edgernn.tasks.denoise.stream import denoiser

ALSA = "</usr/share/alsa/alsa.conf>\n"
CARD = """
pcm.card {{
    type file
    slave.pcm {{ type null }}
    infile "{folder}/in.raw"
    file "{folder}/out.raw"
    format "raw"
}}
pcm.!default {{ type plug slave.pcm "card" }}
"""


def card(folder: Path, heard: Int16 | None) -> dict[str, str]:
    """The environment of a machine whose only sound card hears `heard`; None: a machine without a card."""
    need_portaudio()
    (folder / "asound.conf").write_text(ALSA + ("" if heard is None else CARD.format(folder=folder)))
    if heard is not None:
        (folder / "in.raw").write_bytes(heard.astype("<i2").tobytes())
    return {**os.environ, "ALSA_CONFIG_PATH": str(folder / "asound.conf")}


def interrupted(
    args: list[object], folder: Path, env: dict[str, str], enough: Callable[[], bool]
) -> subprocess.CompletedProcess[str]:
    """Run the command line, press Ctrl-C once it has done enough, and wait for its end."""
    out, err = folder / "stdout", folder / "stderr"
    with out.open("w") as o, err.open("w") as e:
        # a job in the background ignores Ctrl-C, and so would what it starts
        process = subprocess.Popen(
            [sys.executable, "-m", "edgernn", *map(str, args)], env=env, stdout=o, stderr=e,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        try:
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until and not enough():
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            process.wait(30)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out.read_text(), err.read_text())


def test_live_denoising_plays_what_a_file_gives(tmp_path: Path) -> None:
    """Two seconds and more from microphone to speaker, sample by sample, until Ctrl-C."""
    g, heard = quantized_denoiser(random_denoiser(), "int8x16"), noisy_sound(16000 * 120, 4)
    g.save(tmp_path / "graph-int8x16.ern")
    sound = tmp_path / "out.raw"
    args = ["denoise", "--live", "--graph", tmp_path / "graph-int8x16.ern"]
    env = card(tmp_path, heard)
    done = interrupted(args, tmp_path, env, lambda: sound.exists() and sound.stat().st_size >= 64000)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "8 ms of algorithmic latency; stop with Ctrl-C" in done.stderr
    assert "stopped" in done.stderr
    played = np.fromfile(sound, "<i2")[:28800]  # what was on its way to the speaker when Ctrl-C came is cut off
    expected = denoiser(make_runtime("numpy", g))(heard[: len(played)])
    assert np.abs(expected).max() > 1000
    assert np.array_equal(played, expected)


def test_live_detection_hears_three_words(tmp_path: Path) -> None:
    run = fixture_run(tmp_path / "run")
    pipeline.quantize_model(run)
    pause = np.zeros(16000, np.int16)
    words = [gate_fixture.whistle(gate_fixture.MELODIES[w], 1000) for w in ("rise", "fall", "hill")]
    heard = np.concatenate([*(part for word in words for part in (pause, word)), np.zeros(16000 * 60, np.int16)])
    args = ["detect", "--live", "--graph", run, "--json", "--threshold", 0.5]
    said = tmp_path / "stdout"
    wanted = {"rise", "fall", "hill"}
    done = interrupted(args, tmp_path, card(tmp_path, heard), lambda: all(word in said.read_text() for word in wanted))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert wanted <= {json.loads(line)["label"] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("command", ["denoise", "detect"])
def test_a_machine_without_a_sound_card(command: str, tmp_path: Path) -> None:
    """One sentence that says what to do instead."""
    if list(Path("/proc/asound").glob("card[0-9]*")):
        pytest.skip("this machine has a sound card")
    where = fixture_run(tmp_path / "run") if command == "detect" else tmp_path / "graph-int8x16.ern"
    if command == "detect":
        pipeline.quantize_model(where)
    else:
        quantized_denoiser(random_denoiser(), "int8x16").save(where)
    args = [sys.executable, "-m", "edgernn", command, "--live", "--graph", str(where)]
    done = subprocess.run(args, env=card(tmp_path, None), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.search(r"^error: no usable (sound device|microphone) \(.*\); pipe raw PCM", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
