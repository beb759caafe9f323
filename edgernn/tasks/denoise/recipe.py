"""The recipe of a denoiser: signal path, layers, mixtures, training. A TOML with `task = "denoise"`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from edgernn.cells import all_cells
from edgernn.core.cell import LayerSpec
from edgernn.core.floatnet import FloatNet
from edgernn.data.mixing import MixConfig
from edgernn.errors import EdgernnError
from edgernn.recipe import QuantizeParams, Recipe, SourceParams, TrainParams, check_ranges
from edgernn.signal.audio import SAMPLE_RATE
from edgernn.signal.stft import StftParams


@dataclass(frozen=True)
class DenoiseTrain(TrainParams):
    """How to train. An epoch is `batches` batches of fresh mixtures."""

    batches: int = 100
    batch: int = 16
    learning_rate: float = 2e-3
    warmup: float = 0.05  #: share of the run in which the rate rises; it then falls as a cosine
    average: float = 0.998  #: decay of the moving average of the weights per step (what is validated and kept)
    magnitude_loss: float = 70.0  #: weight of the squared error of magnitudes to the power of 0.3
    complex_loss: float = 30.0  #: weight of the squared error of the spectra whose magnitudes are so compressed
    sdr_loss: float = 0.3  #: weight of the negative signal-to-distortion ratio in dB
    intelligibility_loss: float = 300.0  #: weight of 1 - STOI
    residue_loss: float = 0.0  #: weight of the dB by which bins are louder than those of clean speech
    opinion_loss: float = 0.0  #: weight of minus DNSMOS, overall: what listeners would say; 20 is a good one
    opinion_pairs: int = 1  #: of each batch, so many are listened to: one takes as long as all else of the batch, or half
    opinion_from: float = 0.6  #: share of the epochs before the first that is listened to

    #: a negative weight would train for the worse
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        **TrainParams.RANGES, "batches": (1, 1_000_000), "magnitude_loss": (0, 1e9), "complex_loss": (0, 1e9),
        "sdr_loss": (0, 1e9), "intelligibility_loss": (0, 1e9), "residue_loss": (0, 1e9),
        "opinion_loss": (0, 1e9), "opinion_pairs": (1, 65_536), "opinion_from": (0, 1),
    }  # fmt: skip


@dataclass(frozen=True)
class GainParams:
    """What happens to the net's gains before they meet the spectrum."""

    floor_db: float = -40.0  #: no band is attenuated further: what is left of the noise keeps its colour

    def __post_init__(self) -> None:
        """A gain floor is no amplification."""
        check_ranges("gains", self, {"floor_db": (-90.0, 0.0)})

    @property
    def floor(self) -> int:
        """The floor in Q15."""
        return min(32767, round(32768 * 10 ** (self.floor_db / 20)))


def _quantize() -> QuantizeParams:
    return QuantizeParams(stream_seconds=12.0)


@dataclass(frozen=True)
class DenoiseRecipe(Recipe):
    """A whole denoiser: one field a section."""

    name: str = "denoise"
    task: str = "denoise"
    seed: int = 0
    data: SourceParams = field(default_factory=SourceParams)
    stft: StftParams = field(default_factory=StftParams)
    layers: tuple[LayerSpec, ...] = ()
    mix: MixConfig = field(default_factory=MixConfig)
    train: DenoiseTrain = field(default_factory=DenoiseTrain)
    quantize: QuantizeParams = field(default_factory=_quantize)
    gains: GainParams = field(default_factory=GainParams)

    @property
    def signal(self) -> StftParams:
        """The signal path from sound to sound."""
        return self.stft

    @property
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        """See the base class."""
        return self.data.sources

    def scores(self, labels: Sequence[str]) -> int:
        """Each row gets the gains of its own bands."""
        return self.stft.bands // self.rows


DenoiseNet = FloatNet[DenoiseRecipe]


def check_layers(recipe: DenoiseRecipe, where: str) -> None:
    """What the layers of a denoiser must keep to: one frame a step, bands folded into rows once."""
    if recipe.stft.sample_rate != SAMPLE_RATE:
        raise EdgernnError(f"{where}: stft.sample_rate = {recipe.stft.sample_rate}; recordings are read at {SAMPLE_RATE} Hz")
    bands, rows = recipe.stft.bands, 1
    for i, layer in enumerate(recipe.layers):
        cell = all_cells()[layer.cell]
        if cell.frames(layer.options) > 1:
            raise EdgernnError(f"{where}: layers[{i}]: a denoiser takes one frame a step; set stride = 1")
        if i and cell.rows(layer.options, 0):
            raise EdgernnError(f"{where}: layers[{i}]: only the first layer may fold bands into rows")
        if rows > 1 and "kernel" in layer.options and not cell.mixes_rows:
            raise EdgernnError(f"{where}: layers[{i}]: {layer.cell} looks back in time, rows cannot; use row_conv")
        rows = cell.rows(layer.options, rows)
        if bands % max(1, cell.rows(layer.options, 1)):
            raise EdgernnError(f"{where}: layers[{i}].rows = {layer.options['rows']} does not divide the {bands} bands")
