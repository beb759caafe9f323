from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import edgernn
from edgernn.errors import EdgernnError
from edgernn.signal.audio import read_audio, stream_audio, to_float, to_int16, write_wav

EVERY = np.arange(-32768, 32768).astype(np.int16)


def sine(rate: int, seconds: float = 1.0, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def test_conversion_values() -> None:
    x = np.array([0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 0.5 / 32768, 1.5 / 32768, -0.5 / 32768, 0.6 / 32768])
    wanted = [16384, -16384, 32767, -32768, 32767, -32768, 0, 2, 0, 1]
    assert to_int16(x).tolist() == wanted
    assert to_int16(x.astype(np.float32)).tolist() == wanted
    assert np.array_equal(to_int16(to_float(EVERY)), EVERY)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_conversion_refuses_what_is_not_a_number(bad: float) -> None:
    with pytest.raises(EdgernnError, match="NaN or infinite"):
        to_int16(np.array([0.0, bad]))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_mono_16_bit_keeps_every_value(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", EVERY, 16000, subtype="PCM_16")
    assert np.array_equal(read_audio(tmp_path / f"a.{suffix}"), EVERY)


def test_wave_without_soundfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "a.wav", EVERY)
    soundfile.write(tmp_path / "stereo.wav", np.stack([EVERY, EVERY[::-1]], 1), 16000, subtype="PCM_16")
    soundfile.write(tmp_path / "deep.wav", to_float(EVERY), 16000, subtype="PCM_24")
    soundfile.write(tmp_path / "a.flac", EVERY, 16000)
    whole, stereo = read_audio(tmp_path / "a.wav"), read_audio(tmp_path / "stereo.wav")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert np.array_equal(whole, EVERY) and np.array_equal(read_audio(tmp_path / "a.wav"), EVERY)
    assert np.array_equal(read_audio(tmp_path / "stereo.wav"), stereo)
    for name in ("deep.wav", "a.flac"):
        with pytest.raises(EdgernnError, match=r"edgernn\[audio\]"):
            read_audio(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate", "snr"),
    [
        ("wav", "PCM_16", 8000, 60),
        ("wav", "PCM_16", 44100, 60),
        ("wav", "PCM_24", 48000, 60),
        ("wav", "PCM_32", 16000, 60),
        ("wav", "FLOAT", 22050, 60),
        ("wav", "DOUBLE", 16000, 60),
        ("wav", "PCM_U8", 16000, 30),
        ("flac", "PCM_24", 48000, 60),
        ("ogg", "VORBIS", 44100, 20),
        ("opus", "OPUS", 48000, 20),
        ("mp3", "MPEG_LAYER_III", 44100, 15),
    ],
)
def test_formats_rates_and_channels(tmp_path: Path, suffix: str, subtype: str, rate: int, snr: float) -> None:
    path = tmp_path / f"a.{suffix}"
    container = {"opus": "OGG", "ogg": "OGG"}.get(suffix, suffix.upper())
    left = sine(rate)
    soundfile.write(path, np.stack([1.2 * left, 0.8 * left], 1), rate, subtype=subtype, format=container)
    got = to_float(read_audio(path))
    assert abs(len(got) - 16000) <= (2500 if suffix == "mp3" else 1)
    middle = got[4000:12000].astype(float)
    t = 2 * np.pi * 440 * np.arange(8000) / 16000  # lossy codecs may delay: fit the phase only
    phase = np.angle(np.sum(middle * np.exp(-1j * t)))
    error = middle - 0.5 * np.cos(t + phase)
    assert 10 * np.log10(0.125 / np.mean(error**2)) > snr


def test_long_files_stream_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(48000 * 300, np.int16), 48000)
    tracemalloc.start()
    total = sum(len(block) for block in stream_audio(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 16000 * 300
    assert peak < 6e6  # the file itself is 29 MB


def test_pipe_equals_file(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(-9000, 9000, (30000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", frames, 48000, subtype="PCM_16")
    code = (
        "import sys, numpy as np; from edgernn.signal.audio import stream_audio\n"
        "blocks = list(stream_audio('-', raw_rate=48000, channels=2))\n"
        "sys.stdout.buffer.write(np.concatenate(blocks).tobytes())"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(edgernn.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as reader:
        assert reader.stdin and reader.stdout
        data = frames.tobytes() + b"\1\2\3"
        for piece in (data[:7], data[7:30001], data[30001:]):  # pieces that end within a frame
            reader.stdin.write(piece)
            reader.stdin.flush()
            time.sleep(0.3)
        reader.stdin.close()
        got = reader.stdout.read()
    assert np.array_equal(np.frombuffer(got, np.int16), read_audio(tmp_path / "a.wav"))
    empty = subprocess.run(command, input=b"", env=environment, capture_output=True, check=False)
    assert b"standard input holds no samples" in empty.stderr


def broken_files(folder: Path) -> dict[str, str]:
    """file name -> what its error must say."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is not audio at all, only words " * 20)
    (folder / "folder.wav").mkdir()
    write_wav(folder / "none.wav", np.zeros(0, np.int16))
    noise = np.random.default_rng(2).integers(-9000, 9000, 20000).astype(np.int16)
    for name in ("cut.wav", "cut.flac"):
        soundfile.write(folder / f"whole{name}", noise, 16000, subtype="PCM_16", format=name[-4:].strip(".").upper())
        (folder / name).write_bytes((folder / f"whole{name}").read_bytes()[:15000])
    soundfile.write(folder / "nan.wav", np.array([0.0, np.nan] * 100), 16000, subtype="FLOAT")
    return {
        "missing.wav": "not a file",
        "empty.wav": "is empty",
        "text.wav": "not audio",
        "folder.wav": "not a file",
        "none.wav": "no samples",
        "cut.wav": "truncated",
        "cut.flac": "damaged",
        "nan.wav": "NaN",
    }


def test_broken_files_say_what_is_wrong(tmp_path: Path) -> None:
    for name, reason in broken_files(tmp_path).items():
        with pytest.raises(EdgernnError, match=reason) as caught:
            read_audio(tmp_path / name)
        assert name in str(caught.value)


def test_endless_wav_header_of_a_pipe_is_read(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", EVERY)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    assert np.array_equal(read_audio(tmp_path / "a.wav"), EVERY)


def test_write_wav_is_whole_or_absent(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", EVERY, 8000)
    assert soundfile.info(tmp_path / "a.wav").samplerate == 8000
    wrongs: list[Any] = [np.zeros(3), np.zeros((3, 2), np.int16)]
    for wrong in wrongs:
        with pytest.raises(EdgernnError, match="int16 mono"):
            write_wav(tmp_path / "b.wav", wrong)
    with pytest.raises(EdgernnError, match="cannot write"):
        write_wav(tmp_path / "a.wav" / "c.wav", EVERY)
    assert sorted(os.listdir(tmp_path)) == ["a.wav"]
