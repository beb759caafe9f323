"""The recipe of a keyword spotter: words, front end, layers, training, augmentation, decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from edgernn.core.cell import LayerSpec
from edgernn.core.floatnet import FloatNet
from edgernn.data.augment import AugmentConfig
from edgernn.errors import EdgernnError
from edgernn.recipe import QuantizeParams, Recipe, SourceParams, TrainParams, check_ranges, check_text
from edgernn.signal.audio import SAMPLE_RATE
from edgernn.signal.log_mel import FrontEndParams

KINDS = ("clips", "streams")  #: of training
LEAST_RATE = 4000  #: Hz; telephones have 8000


@dataclass(frozen=True)
class SpotTrain(TrainParams):
    """How to train. Times in epochs unless said otherwise.

    kind `clips`: to classify clips of some length. `streams`: to listen without end; see the section `streams`. Of the rest of
    this section, streams use `tilt`, `dropout` and the masks of bands.
    """

    kind: str = "clips"
    weight_decay: float = 2e-2
    warmup: float = 0.15  #: share of the run in which the rate rises; it then falls as a cosine
    label_smoothing: float = 0.05
    sigmoid_loss: float = 0.3  #: weight of the per-label binary loss that calibrates the posteriors
    dropout: float = 0.1  #: on the input of each recurrent layer
    patience: int = 0  #: stop after this many epochs without a better validation score; 0: never
    variants: int = 12  #: augmented copies of each clip prepared before training
    carried: float = 0.3  #: share of clips that follow other sound without a reset
    context_s: float = 0.6  #: longest such preceding sound, seconds
    silence: float = 0.08  #: silence clips (cuts of noise) per training clip
    speech: float = 0.08  #: cuts of running speech per training clip, as unknown words
    time_masks: int = 1
    time_mask_frames: int = 6
    band_masks: int = 1
    band_mask_bands: int = 6
    tilt: float = 0.15  #: random spectral slope and bend, in standard deviations of a band
    distill: float = 0.6  #: share of the target (streams: of the loss) that teachers give, where there are some
    teachers: int = 0  #: nets of other seeds that are trained first, on the same data, and teach; `--teacher` names others
    taught_by: str = ""  #: recipe whose layers and training those have; empty: this one
    mixup: float = 0.0  #: Beta(a, a) parameter; 0: off

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        **TrainParams.RANGES, "label_smoothing": (0, 0.99), "sigmoid_loss": (0, 1000), "dropout": (0, 0.95),
        "patience": (0, 100_000), "variants": (1, 1000), "carried": (0, 1),
        "context_s": (0, 60), "silence": (0, 100), "speech": (0, 100),
        "time_masks": (0, 100), "time_mask_frames": (0, 10_000), "band_masks": (0, 100), "band_mask_bands": (0, 80),
        "tilt": (0, 10), "distill": (0, 1), "teachers": (0, 20), "mixup": (0, 100),
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Two kinds of training there are."""
        super().__post_init__()
        if self.kind not in KINDS:
            raise EdgernnError(f"train: kind = {self.kind!r} is none of {', '.join(KINDS)}")


@dataclass(frozen=True)
class StreamParams:
    """What `train.kind = "streams"` learns from: sequences composed anew of the train split. Ranges are uniform, shares 0 to 1.

    speech + words <= 1; the rest is noise. A keyword's target is the mean of its `best_steps` highest logits in `target_ms`
    around its end; from its middle to `ignored_ms` after its end nothing else is asked; everywhere else it should be off.
    """

    count: int = 8000  #: sequences of an epoch, no two alike
    variants: int = 3  #: of each recording of a keyword that sequences are composed of: other speeds and rooms
    talk: int = 2500  #: pieces of running speech that they are composed of
    noise: int = 2000  #: pieces of noise
    seconds: float = 5.0  #: of a sequence
    speech: float = 0.55  #: sequences of running speech
    talk_db: tuple[float, float] = (-20.0, 0.0)  #: level of that speech, of words' in it: who calls a device is louder
    words: float = 0.25  #: sequences of other words and parts of keywords, one after the other
    quiet: float = 0.5  #: keywords with `quiet_s` of nothing else before and after them
    quiet_s: tuple[float, float] = (0.1, 0.5)
    snr_db: tuple[float, float] = (-2.0, 25.0)
    clean: float = 0.25  #: sequences that nearly no noise is added to
    room: float = 0.3
    level_dbfs: tuple[float, float] = (-45.0, -15.0)  #: of a sequence; its peak stays below full scale
    speed: float = 0.1  #: ± fraction of each word and stretch of speech; pitch follows
    tempo: float = 0.2  #: ± fraction of how long a word lasts, at the same pitch
    behind: float = 0.2  #: noises with other people's talk in them
    warp: float = 0.15  #: ± fraction by which a sequence's mel bands are stretched: other vocal tracts
    target_ms: tuple[float, float] = (-200.0, 400.0)
    ignored_ms: float = 600.0
    best_steps: int = 5
    negative: float = 0.05  #: weight of a step in which a keyword should be off; a keyword said weighs 1
    taught: float = 0.2  #: weight of a step's distance from what teachers say
    rounds: int = 2  #: times that the negative hours are listened to for what wakes the net, in the second half of the epochs
    hard: float = 0.25  #: share of batches that is cut around what woke it, after the first round
    hours: float = 2.0  #: of negatives that are listened to, in training and in validation

    def __post_init__(self) -> None:
        """Refuse what cannot be composed."""
        shares = ("speech", "words", "quiet", "clean", "room", "hard", "behind")
        check_ranges(
            "streams", self,
            {"count": (1, 1_000_000), "seconds": (1, 60), "quiet_s": (0, 10), "snr_db": (-100, 150), "level_dbfs": (-150, 0),
             "talk_db": (-100, 100),
             "variants": (1, 1000), "talk": (1, 1_000_000), "noise": (1, 1_000_000),
             "speed": (0, 0.9), "tempo": (0, 0.9), "warp": (0, 0.5), "target_ms": (-5000, 5000), "ignored_ms": (0, 5000),
             "best_steps": (1, 100),
             "negative": (0, 100), "taught": (0, 100), "rounds": (0, 10), "hours": (0.01, 1000),
             **dict.fromkeys(shares, (0, 1))},
        )  # fmt: skip
        if self.speech + self.words > 1:
            raise EdgernnError(f"streams: speech + words = {self.speech + self.words:g} must not exceed 1")
        if self.hard == 1:
            raise EdgernnError("streams: hard = 1 leaves no batch of keywords; lower it")


@dataclass(frozen=True)
class DecisionParams:
    """Posteriors to events. Times in ms are rounded up to steps.

    A net trained on streams gets smoothing and thresholds by `false_accepts_per_hour`, chosen on validation streams when it is
    quantized; `smoothing_ms` and `threshold` are those of a net trained on clips. All but `clip_ms` is decided after training:
    a recipe with others is the same to a trained run, which is only quantized again.
    """

    smoothing_ms: float = field(default=200.0, compare=False)
    refractory_ms: float = field(default=800.0, compare=False)
    clip_ms: float = 600.0  #: a clip's label is the argmax of the logits summed over its last so many ms
    threshold: float = field(default=0.7, compare=False)
    false_accepts_per_hour: float = field(default=0.5, compare=False)  #: of each keyword

    def __post_init__(self) -> None:
        """A threshold that nothing reaches, or everything, is no threshold."""
        times = dict.fromkeys(("smoothing_ms", "refractory_ms", "clip_ms"), (0.0, 60000.0))
        check_ranges("decision", self, {**times, "threshold": (0.0001, 0.9999), "false_accepts_per_hour": (0.001, 1000)})


@dataclass(frozen=True)
class DataParams(SourceParams):
    """What to learn and from what. clip_seconds 0: one second, or the longest keyword clip."""

    keywords: tuple[str, ...] = ()
    clip_seconds: float = 0.0

    def __post_init__(self) -> None:
        """A clip is some seconds, a keyword one line."""
        for word in self.keywords:
            check_text("data.keywords", word)
        check_ranges("data", self, {"clip_seconds": (0, 60)})


@dataclass(frozen=True)
class SpotRecipe(Recipe):
    """A whole keyword spotter: one field a section."""

    name: str = "kws"
    task: str = "spot"
    seed: int = 0
    data: DataParams = field(default_factory=DataParams)
    frontend: FrontEndParams = field(default_factory=FrontEndParams)
    layers: tuple[LayerSpec, ...] = ()
    train: SpotTrain = field(default_factory=SpotTrain)
    streams: StreamParams = field(default_factory=StreamParams)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    quantize: QuantizeParams = field(default_factory=QuantizeParams)
    decision: DecisionParams = field(default_factory=DecisionParams)

    @property
    def signal(self) -> FrontEndParams:
        """The log-mel front end."""
        return self.frontend

    @property
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        """See the base class."""
        return self.data.sources

    @property
    def keywords(self) -> tuple[str, ...]:
        """The words to spot."""
        return self.data.keywords

    def scores(self, labels: Sequence[str]) -> int:
        """One a label."""
        return len(labels)


SpotNet = FloatNet[SpotRecipe]


def check_rate(recipe: SpotRecipe, where: str) -> None:
    """Recordings are kept at 16 kHz and resampled for the front end: a higher rate would promise what is not there."""
    if not LEAST_RATE <= recipe.frontend.sample_rate <= SAMPLE_RATE:
        raise EdgernnError(
            f"{where}: frontend.sample_rate = {recipe.frontend.sample_rate} must lie in {LEAST_RATE}..{SAMPLE_RATE}; "
            f"recordings are kept at {SAMPLE_RATE} Hz, so that a net could learn nothing above {SAMPLE_RATE // 2000} kHz"
        )
