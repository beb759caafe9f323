"""The recipe of a voice-activity detector: front end, layers, streams to learn from, decision. A TOML with `task = "vad"`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from edgernn.core.cell import LayerSpec
from edgernn.core.floatnet import FloatNet
from edgernn.data.mixing import MixConfig
from edgernn.errors import EdgernnError
from edgernn.recipe import QuantizeParams, Recipe, SourceParams, TrainParams, check_ranges
from edgernn.signal.audio import SAMPLE_RATE
from edgernn.signal.log_mel import FrontEndParams


@dataclass(frozen=True)
class StreamMix(MixConfig):
    """How a training stream is mixed: utterances with gaps, in noise. Ranges are uniform, probabilities 0 to 1."""

    seconds: float = 6.0
    snr_db: tuple[float, float] = (-7.0, 25.0)  #: over speech and its short pauses
    level_dbfs: tuple[float, float] = (-55.0, -10.0)  #: of the loudest tenth of the stream
    speed: float = 0.15
    noise_speed: float = 1.5
    room_probability: float = 0.12
    made_room_probability: float = 0.13  #: a room that nobody recorded
    more_noise: float = 0.3
    white_probability: float = 0.0
    machine_probability: float = 0.17
    babble_probability: float = 0.08  #: a noise of many voices: it is no speech
    made_probability: float = 0.08  #: a noise of impulses, hum, or one colour
    noise_filter: float = 0.6  #: how strongly a noise is filtered
    noise_alone: float = 0.2  #: streams without speech
    clean_alone: float = 0.05
    gap_s: tuple[float, float] = (0.3, 3.0)  #: between utterances
    utterance_s: tuple[float, float] = (1.5, 8.0)
    utterance_db: float = 6.0  #: an utterance is up to so much louder or softer than another
    noise_change: float = 0.35  #: noises whose level moves

    def __post_init__(self) -> None:
        """Refuse what cannot be mixed."""
        super().__post_init__()
        shares = ("made_room_probability", "babble_probability", "made_probability", "noise_change")
        check_ranges("mix", self, {"utterance_db": (0, 40), "noise_filter": (0, 3), **dict.fromkeys(shares, (0, 1))})
        for name, most in (("gap_s", 60.0), ("utterance_s", 60.0)):
            low, high = getattr(self, name)
            if not 0.05 <= low <= high <= most:
                raise EdgernnError(f"mix.{name} = {[low, high]} must rise within 0.05..{most:g} seconds")


@dataclass(frozen=True)
class VadTrain(TrainParams):
    """How to train: on streams that are mixed anew for every update from `stems` pieces of talk and as many of noise."""

    epochs: int = 20
    updates: int = 200  #: of an epoch
    batch: int = 64
    learning_rate: float = 8e-3
    weight_decay: float = 1e-3
    warmup: float = 0.0125
    average: float = 0.998
    stems: int = 4000
    delay_ms: float = 20.0  #: a step is asked what was so long ago: the net hears a little further before it answers
    validation: int = 200  #: validation streams

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        **TrainParams.RANGES, **dict.fromkeys(("stems", "updates", "validation"), (1, 1_000_000)), "delay_ms": (0, 1000),
    }  # fmt: skip


@dataclass(frozen=True)
class GateParams:
    """Posteriors to activity. Times in ms are rounded up to steps."""

    on: float = 0.7  #: posterior at which speech may begin
    off: float = 0.4  #: posterior below which it may end
    attack_ms: float = 40.0  #: so long in a row before it begins
    hold_ms: float = 100.0  #: it lasts so long at least
    release_ms: float = 100.0  #: so long in a row before it ends

    def __post_init__(self) -> None:
        """The end must lie below the beginning."""
        times = dict.fromkeys(("attack_ms", "hold_ms", "release_ms"), (0.0, 60000.0))
        check_ranges("decision", self, {"on": (0.0001, 0.9999), "off": (0.0001, 0.9999), **times})
        if self.off > self.on:
            raise EdgernnError(f"decision.off = {self.off} must not exceed decision.on = {self.on}")


@dataclass(frozen=True)
class VadRecipe(Recipe):
    """A whole detector: one field a section."""

    name: str = "vad"
    task: str = "vad"
    seed: int = 0
    data: SourceParams = field(default_factory=SourceParams)
    frontend: FrontEndParams = field(default_factory=FrontEndParams)
    layers: tuple[LayerSpec, ...] = ()
    mix: StreamMix = field(default_factory=StreamMix)
    train: VadTrain = field(default_factory=VadTrain)
    quantize: QuantizeParams = field(default_factory=QuantizeParams)
    decision: GateParams = field(default_factory=GateParams)

    @property
    def signal(self) -> FrontEndParams:
        """The log-mel front end."""
        return self.frontend

    @property
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        """See the base class."""
        return self.data.sources

    def scores(self, labels: Sequence[str]) -> int:
        """One: how sure the net is that there is speech."""
        return 1


VadNet = FloatNet[VadRecipe]


def check_rate(recipe: VadRecipe, where: str) -> None:
    """Recordings are read, and labelled, at one rate."""
    if recipe.frontend.sample_rate != SAMPLE_RATE:
        raise EdgernnError(
            f"{where}: frontend.sample_rate = {recipe.frontend.sample_rate}; recordings are read at {SAMPLE_RATE} Hz"
        )
