"""Recordings as other programs leave them: cut, unfinished, clipped, silent, in other units. Each is said, none is guessed."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from edgernn.errors import EdgernnError
from edgernn.signal import pipe
from edgernn.signal.audio import read_audio, resampled, stream_audio, to_float, to_int16
from edgernn.signal.condition import Condition
from edgernn.signal.live import in_steps

TONE = (8000 * np.sin(np.arange(32000) * 0.2)).astype(np.int16)
CONTAINERS = {
    "wav": {"format": "WAV"}, "rifx.wav": {"format": "WAV", "endian": "BIG"}, "rf64": {"format": "RF64"},
    "w64": {"format": "W64"}, "aiff": {"format": "AIFF"}, "au": {"format": "AU"}, "caf": {"format": "CAF"},
    "flac": {"format": "FLAC"}, "ogg": {"format": "OGG"}, "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
}  # fmt: skip
#: where each container writes the length of its samples, found by the bytes before; and how
LENGTHS = {"wav": (b"data", "<I"), "rifx.wav": (b"data", ">I"), "au": (b".snd", ">4xI"), "aiff": (b"SSND", ">I")}


def written(folder: Path, kind: str) -> Path:
    path = folder / f"x.{kind}"
    soundfile.write(path, TONE, 16000, **{"subtype": None, **CONTAINERS[kind]})
    return path


def header(rate: int = 16000, size: int = 4000, bits: int = 16) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2 & 0xFFFFFFFF, 2, bits)
    return b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_is_read_whole_and_a_cut_one_is_refused(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    assert abs(len(read_audio(path)) - len(TONE)) <= (2400 if kind == "mp3" else 400 if kind == "opus" else 0)
    data = path.read_bytes()
    for share in (0.97, 0.5):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(EdgernnError, match=r"truncated|damaged"):
            read_audio(path)


def test_an_mp3_cut_between_two_frames_is_refused_and_one_with_a_tag_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, "mp3")
    data = path.read_bytes()
    at = [i for i in range(len(data) - 1) if data[i] == 0xFF and data[i + 1] & 0xE6 == 0xE2]
    path.write_bytes(data + b"TAG" + bytes(125))
    assert len(read_audio(path)) > 30000
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 0]) + bytes(128)
    path.write_bytes(tag + data)
    assert len(read_audio(path)) > 30000
    path.write_bytes(data[: at[-1]])
    with pytest.raises(EdgernnError, match="truncated: its MP3 frames end"):
        read_audio(path)


@pytest.mark.parametrize("kind", LENGTHS)
def test_a_length_of_0_with_samples_behind_reads_to_the_end(tmp_path: Path, kind: str) -> None:
    path, (mark, form) = written(tmp_path, kind), LENGTHS[kind]
    data = bytearray(path.read_bytes())
    at = data.index(mark) + len(mark) + (4 if "x" in form else 0)
    data[at : at + 4] = bytes(4)
    path.write_bytes(data)
    assert np.array_equal(read_audio(path), TONE)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0])
def test_a_recorder_that_was_killed_or_wrote_to_a_pipe(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.wav").write_bytes(header(size=size) + TONE.tobytes())
    assert np.array_equal(read_audio(tmp_path / "a.wav"), TONE)


def test_the_same_without_soundfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    (tmp_path / "a.wav").write_bytes(header(size=0) + TONE.tobytes())
    assert np.array_equal(read_audio(tmp_path / "a.wav"), TONE)


@pytest.mark.parametrize("rate", [0, 1, 999, 768001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_header_that_claims_an_absurd_rate(tmp_path: Path, rate: int) -> None:
    (tmp_path / "a.wav").write_bytes(header(rate) + bytes(4000))
    with pytest.raises(EdgernnError, match=f"claims {rate} Hz"):
        read_audio(tmp_path / "a.wav")


def test_rates_at_the_ends_are_read(tmp_path: Path) -> None:
    for rate, samples in ((1000, 32000), (768000, 42)):
        (tmp_path / "a.wav").write_bytes(header(rate) + bytes(4000))
        assert abs(len(read_audio(tmp_path / "a.wav")) - samples) <= 1


# Units, levels, channels ---------------------------------------------------------------------------


def test_float_samples_in_integer_units_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", TONE.astype(np.float32), 16000, subtype="FLOAT")
    with pytest.raises(EdgernnError, match=r"float samples up to 7999.*divide"):
        read_audio(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", to_float(TONE) * 16, 16000, subtype="FLOAT")
    assert read_audio(tmp_path / "b.wav").max() == 32767  # loud, but in the right units


def found(path: Path, rate: int = 16000) -> Condition:
    condition = Condition("")
    read_audio(path, rate, condition)
    return condition


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    x = to_float(TONE) * 2.0  # peaks at 0.49
    soundfile.write(tmp_path / "a.wav", x, 16000)
    assert not found(tmp_path / "a.wav").troubles()
    soundfile.write(tmp_path / "a.wav", np.clip(4 * x, -1, 1), 16000)
    condition = found(tmp_path / "a.wav")
    share = np.mean(np.abs(4 * x) >= 32767 / 32768)
    assert condition.clipped == round(share * len(x)) and 0.5 < share < 0.8
    assert condition.troubles() == [f"is clipped: {100 * share:.2g} % of its samples lie at full scale"]


def test_a_few_samples_at_full_scale_are_no_clipping(tmp_path: Path) -> None:
    for count, said in ((32, 0), (33, 1)):  # of 32,000: a thousandth, and one more
        x = TONE.copy()
        x[:count] = 32767
        soundfile.write(tmp_path / "a.wav", x, 16000)
        assert len(found(tmp_path / "a.wav").troubles()) == said


def test_opposite_channels_are_said(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, -TONE], 1), 16000)
    assert "channels cancel" in found(tmp_path / "a.wav").silence
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, -(TONE * 0.95).astype(np.int16)], 1), 16000)
    assert found(tmp_path / "a.wav").silent and found(tmp_path / "a.wav").peak > 0.005  # next to nothing, not nothing
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, TONE // 2], 1), 16000)
    assert not found(tmp_path / "a.wav").silent
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, np.zeros_like(TONE)], 1), 16000)
    assert not found(tmp_path / "a.wav").silent


@pytest.mark.parametrize("subtype", ["PCM_32", "PCM_24"])
def test_16_bit_values_in_a_wider_file_are_silence(tmp_path: Path, subtype: str) -> None:
    scale = 65536 if subtype == "PCM_24" else 1
    soundfile.write(tmp_path / "a.wav", TONE.astype(np.int32) // (256 if scale > 1 else 1) * (1 if scale == 1 else 256), 16000,
                    subtype=subtype)  # fmt: skip
    condition = found(tmp_path / "a.wav")
    assert condition.silent and "16-bit values" in condition.silence


def test_silence_begins_at_minus_72_db(tmp_path: Path) -> None:
    for peak, silent in ((0, True), (8, True), (9, False)):
        soundfile.write(tmp_path / "a.wav", np.full(8000, peak, np.int16), 16000)
        assert found(tmp_path / "a.wav").silent is silent


def test_24_bit_values_in_a_file_of_32_bits_are_said(tmp_path: Path) -> None:
    for shift, said in ((8, 1), (16, 0)):  # the same sound in the wrong place, and in the right one
        soundfile.write(tmp_path / "a.wav", TONE.astype(np.int32) << shift, 16000, subtype="PCM_32")
        assert len(found(tmp_path / "a.wav").troubles()) == said
    soundfile.write(tmp_path / "a.wav", TONE.astype(np.int32) << 8, 16000, subtype="PCM_32")
    assert "is very quiet, its peak is -60 dB" in found(tmp_path / "a.wav").troubles()[0]


def test_a_lower_rate_is_said_once_and_a_higher_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for rate, said in ((8000, 1), (16000, 0), (44100, 0)):
        caplog.clear()
        soundfile.write(tmp_path / "a.wav", np.resize(TONE, 3 * rate), rate)
        with caplog.at_level(logging.WARNING, "edgernn"):
            assert len(read_audio(tmp_path / "a.wav")) == 48000
        assert len(caplog.messages) == said
        assert all("a.wav has 8000 Hz, 16000 are wanted: nothing above 4 kHz" in m for m in caplog.messages)


def test_sound_of_less_than_a_step_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert not list(in_steps(iter([TONE[:100], TONE[:219]]), 320)) and "319 samples of the 320" in caplog.text
    caplog.clear()
    assert len(list(in_steps(iter([TONE[:100], TONE[:220]]), 320))) == 1 and not caplog.text


# Standard input ---------------------------------------------------------------------------


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes, **options: int) -> np.ndarray:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(data))))
    return np.concatenate(list(stream_audio("-", **options)))


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF])
def test_a_wav_file_on_standard_input_is_one(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    data = header(size=2 * len(TONE) if size is None else size) + TONE.tobytes()
    assert np.array_equal(piped(monkeypatch, data, raw_rate=8000), TONE)  # what the header says counts
    assert np.array_equal(piped(monkeypatch, data[44:]), TONE)


def test_what_follows_the_samples_of_a_piped_wav_is_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    data = header(size=2 * len(TONE)) + TONE.tobytes() + b"LIST" + bytes(1000)
    assert np.array_equal(piped(monkeypatch, data), TONE)


def test_a_piped_wav_that_ends_early_is_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    data = header(size=2 * len(TONE)) + TONE.tobytes()
    with pytest.raises(EdgernnError, match=r"standard input is truncated.*100 are missing"):
        piped(monkeypatch, data[:-100])
    with pytest.raises(EdgernnError, match="ends within a WAV header"):
        piped(monkeypatch, data[:30])


def test_a_piped_wav_of_other_samples_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EdgernnError, match="not 16-bit PCM"):
        piped(monkeypatch, header(bits=24) + bytes(4000))
    with pytest.raises(EdgernnError, match="claims 1 Hz"):
        piped(monkeypatch, header(rate=1) + bytes(4000))


@pytest.mark.parametrize("kind", [k for k in CONTAINERS if k != "wav"])
def test_other_files_on_standard_input_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data = written(tmp_path, kind).read_bytes()
    if kind == "mp3":
        data = b"ID3\x04\x00\x00" + bytes(4) + data
    with pytest.raises(EdgernnError, match="standard input holds a file of the format"):
        piped(monkeypatch, data)
    assert pipe.NAME == "standard input"


# Rates ---------------------------------------------------------------------------


def test_resampled_keeps_a_tone_and_its_length() -> None:
    t = np.arange(16000) / 16000
    x = to_int16(0.4 * np.sin(2 * np.pi * 1000 * t))
    y = resampled(np.stack([x, x]), 16000, 8000)
    wanted = 0.4 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    error = to_float(y[1])[200:-200] - wanted[200:-200]
    assert y.shape == (2, 8000) and 10 * np.log10(0.08 / np.mean(error**2)) > 60
    assert resampled(x, 16000, 16000) is x
    high = to_int16(0.4 * np.sin(2 * np.pi * 6000 * t))
    assert np.abs(resampled(high, 16000, 8000)[200:-200]).max() < 40  # no alias
