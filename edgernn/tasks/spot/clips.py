"""From a prepared dataset to front-end features: whole splits, augmented copies for training, calibration streams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.data.augment import Augmenter, Span, StreamConfig, cut, make_stream
from edgernn.data.corpus import Dataset, Row
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.signal import native
from edgernn.signal.audio import SAMPLE_RATE, resampled, to_int16
from edgernn.signal.log_mel import FrontEndTables, Int16
from edgernn.signal.native import NativeFrontEnd
from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe

SILENCE = "silence"
Progress = Callable[[str, int, int], None]


def labels_of(dataset: Dataset) -> tuple[str, ...]:
    """Keywords, "unknown", "silence": the order of the logits."""
    return (*dataset.labels, SILENCE)


def fitted(pcm: Int16, samples: int) -> Int16:
    """A clip of that many samples: zeros on the right of a shorter recording, of a longer one the stretch with the word.

    That is the loudest stretch; where several hold all of the sound (to a thousandth of its energy), the middle one.
    """
    if len(pcm) <= samples:
        return np.pad(pcm, (0, samples - len(pcm)))
    energy = np.concatenate([[0.0], np.cumsum(np.square(pcm, dtype=np.float64))])
    held = energy[samples:] - energy[:-samples]
    best = np.flatnonzero(held >= 0.999 * held.max())
    first = best[len(best) // 2] if best[-1] - best[0] < samples else int(held.argmax())
    return pcm[first : first + samples]


def clip_pcm(dataset: Dataset, rows: Sequence[Row], rate: int) -> Int16:
    """Rows as clips at `rate` Hz, int16 [N, samples]; the dataset holds 16 kHz."""
    return resampled(np.stack([fitted(dataset.pcm(row), dataset.clip_samples) for row in rows]), SAMPLE_RATE, rate)


def clip_samples(dataset: Dataset, rate: int) -> int:
    """Length of a clip at `rate` Hz."""
    return round(dataset.clip_samples * rate / SAMPLE_RATE)


def stream_pcm(
    dataset: Dataset, rows: Sequence[Row], rng: np.random.Generator, seconds: float, rate: int, config: StreamConfig
) -> tuple[Int16, list[Span]]:
    """As `make_stream`, at `rate` Hz: int16 [n] and the spans in its samples. Without noise where the split has none."""
    if not dataset.noise(rows[0].split):
        config = replace(config, noise_snr_db=None)
    pcm, spans = make_stream(rows, dataset, rng, seconds, config)
    moved = [(round(a * rate / SAMPLE_RATE), round(b * rate / SAMPLE_RATE), label) for a, b, label in spans]
    return resampled(pcm, SAMPLE_RATE, rate), moved


def label_indices(dataset: Dataset, rows: Sequence[Row]) -> NDArray[np.int64]:
    """Index of each row's label."""
    order = {label: i for i, label in enumerate(labels_of(dataset))}
    return np.array([order[row.label] for row in rows], np.int64)


def silence_pcm(dataset: Dataset, split: str, count: int, rng: np.random.Generator, rate: int) -> Int16:
    """`count` cuts of the split's noise recordings, as they are, at `rate` Hz: int16 [count, samples of a clip]."""
    noise = [dataset.pcm(row) for row in dataset.noise(split)]
    if not noise:
        raise EdgernnError(f"the dataset has no {split} noise to cut silence from; add a noise source")
    cuts = np.stack([to_int16(cut(noise, dataset.clip_samples, rng)) for _ in range(count)])
    return resampled(cuts, SAMPLE_RATE, rate)


@dataclass(frozen=True)
class TrainingSet:
    """Augmented features for training.

    log_mel int16 [variants, N, context + T, bands] (Q9, memory-mapped); label int64 [N]; context: frames before the clip;
    soft float32 [variants, N, labels]: what teachers say, if there are any.
    """

    log_mel: Int16
    label: NDArray[np.int64]
    context: int
    soft: NDArray[np.float32] | None = None

    def taught_by(self, teachers: Sequence[SpotNet], progress: Progress) -> TrainingSet:
        """With `soft`: mean class probabilities of the teachers for every copy, each clip from reset."""
        variants, count = self.log_mel.shape[:2]
        out = np.zeros((variants, count, len(teachers[0].labels)), np.float32)
        for v in range(variants):
            for begin in range(0, count, 512):
                part = slice(begin, begin + 512)
                for teacher in teachers:
                    out[v, part] += _probabilities(teacher, self.log_mel[v, part, self.context :]) / len(teachers)
                progress("asking the teachers", v * count + min(begin + 512, count), variants * count)
        return replace(self, soft=out)

    def statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of each band over (a part of) the clips, float64 [bands]."""
        part = self.log_mel[0, ::4, self.context :].astype(np.float64)
        return part.mean((0, 1)), part.std((0, 1))


def _probabilities(net: SpotNet, log_mel: Int16) -> NDArray[np.float32]:
    """Softmax of the clip score, [N, labels]."""
    steps = net.recipe.steps(net.recipe.decision.clip_ms)
    score = net.run(net.features(log_mel))[:, -steps:].mean(1)
    e = np.exp(score - score.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True), np.float32)


@dataclass(frozen=True)
class _Extra:
    """Training clips that no row holds: cuts of noise (silence) and of running speech (unknown)."""

    silence: int
    speech: int

    @classmethod
    def of(cls, dataset: Dataset, recipe: SpotRecipe) -> _Extra:
        count = len(dataset.clips("train"))
        silence = round(recipe.train.silence * count) if dataset.noise("train") else 0
        return cls(silence, round(recipe.train.speech * count) if dataset.speech("train") else 0)

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        order = labels_of(dataset)
        silence = np.full(self.silence, order.index(SILENCE), np.int64)
        return np.concatenate([silence, np.full(self.speech, order.index("unknown"), np.int64)])


def training_set(dataset: Dataset, recipe: SpotRecipe, tables: FrontEndTables, progress: Progress) -> TrainingSet:
    """Prepare (or find prepared, in cache/ beside the dataset) the augmented copies of the train split.

    They do not depend on the recipe's seed, so that several seeds share them.
    """
    rows = dataset.clips("train")
    extra = _Extra.of(dataset, recipe)
    labels = np.concatenate([label_indices(dataset, rows), extra.labels(dataset)])
    context = round(recipe.train.context_s * recipe.frontend.sample_rate / recipe.frontend.hop)
    context -= context % recipe.frames_per_step
    path = dataset.path.resolve().parent / "cache" / f"features-{_key(dataset, recipe)}.npy"
    if not path.exists():
        _prepare(dataset, recipe, tables, path, context, extra, progress)
    return TrainingSet(np.load(path, mmap_mode="r"), labels, context)


def _key(dataset: Dataset, recipe: SpotRecipe) -> str:
    """Names the prepared features: everything they depend on."""
    parts = [dataset.id, asdict(recipe.frontend), asdict(recipe.augment), recipe.train.variants, recipe.train.silence,
             recipe.train.speech, recipe.train.context_s, recipe.frames_per_step]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _prepare(
    dataset: Dataset, recipe: SpotRecipe, tables: FrontEndTables, path: Path, context: int, extra: _Extra, progress: Progress
) -> None:
    hop, variants = recipe.frontend.hop, recipe.train.variants
    count = len(dataset.clips("train")) + extra.silence + extra.speech
    frames = context + clip_samples(dataset, recipe.frontend.sample_rate) // hop
    with replacing(path) as scratch, scratch.open("wb") as file:
        shape = (variants, count, frames, recipe.frontend.bands)
        np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": shape})
        for done, features in enumerate(_augmented(dataset, recipe, tables, context, extra), 1):
            file.write(features.tobytes())
            progress("augmenting", done, variants * count)


def _augmented(dataset: Dataset, recipe: SpotRecipe, tables: FrontEndTables, frames: int, extra: _Extra) -> Iterator[Int16]:
    """Features of each copy of each clip, then of the silence and speech cuts; `frames` of other sound come before."""
    rows, rate = dataset.clips("train"), recipe.frontend.sample_rate
    noise = [dataset.pcm(row) for row in dataset.noise("train")]
    speech = [dataset.pcm(row) for row in dataset.speech("train")]
    context = -(-frames * recipe.frontend.hop * SAMPLE_RATE // rate)
    frontend = NativeFrontEnd(recipe.frontend, tables)

    def features(pcm: Int16) -> Int16:
        frontend.reset()
        heard = resampled(pcm, SAMPLE_RATE, rate)
        return frontend(heard[: (frames + clip_samples(dataset, rate) // recipe.frontend.hop) * recipe.frontend.hop])

    for variant in range(recipe.train.variants):
        rng = np.random.default_rng([2, variant])
        augment = Augmenter(recipe.augment, noise, rng)
        for row in rows:
            clip = fitted(_placed(dataset.pcm(row), dataset.clip_samples, recipe, rng), dataset.clip_samples)
            before = _before(dataset, rows, context, rng)
            yield features(augment(clip, np.zeros(context, np.int16) if before is None else before))
        for material, times in ((noise, extra.silence), (speech, extra.speech)):
            for _ in range(times):
                gain = np.float32(_hush(rng) if material is noise else 1.0)
                whole = to_int16(cut(material, context + dataset.clip_samples, rng) * gain)
                before = _before(dataset, rows, context, rng)
                yield features(augment(whole[context:], whole[:context] if before is None else before))


def _placed(pcm: Int16, samples: int, recipe: SpotRecipe, rng: np.random.Generator) -> Int16:
    """The recording with a random part of the clip's spare time before it: in a stream, words are not followed by silence."""
    spare = samples - len(pcm)
    if not recipe.augment.place or spare <= 0:
        return pcm
    return np.concatenate([np.zeros(int(rng.integers(spare + 1)), np.int16), pcm])


def _before(dataset: Dataset, rows: Sequence[Row], context: int, rng: np.random.Generator) -> Int16 | None:
    """The end of some training clip, int16 [context], every other time: a score must not outlive its word."""
    if rng.random() < 0.5:
        return None
    pcm = dataset.pcm(rows[int(rng.integers(len(rows)))])[-context:] if context else np.zeros(0, np.int16)
    return np.pad(pcm, (context - len(pcm), 0))


def _hush(rng: np.random.Generator) -> float:
    """A gain that makes one cut of noise in four the sound of a quiet room, down to digital silence."""
    return 10 ** -rng.uniform(1.0, 5.0) if rng.random() < 0.25 else 1.0


def calibration_streams(dataset: Dataset, recipe: SpotRecipe, tables: FrontEndTables) -> Int16:
    """Streams of training speech in noise, Q9 log-energies [streams, T, bands], each one run without a reset."""
    q = recipe.quantize
    rng = np.random.default_rng([3, recipe.seed])
    rows = dataset.clips("train")
    seconds = max(q.stream_seconds, 3 * dataset.clip_seconds)
    config = StreamConfig(keyword_fraction=0.5)
    if not dataset.noise("train"):
        note("the data holds no noise: the integers are calibrated on clean speech; add a noise source for noisy places")
    rate = recipe.frontend.sample_rate
    pcm = np.stack([stream_pcm(dataset, rows, rng, seconds, rate, config)[0] for _ in range(q.streams)])
    return native.log_mels(pcm, recipe.frontend, tables)
