"""The recipe of a denoiser: signal path, layers, mixtures, training. A TOML with `task = "denoise"`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgernn.audio import SAMPLE_RATE
from edgernn.cells import all_cells
from edgernn.data.mixing import MixConfig
from edgernn.errors import EdgernnError
from edgernn.primitives import check_scheme
from edgernn.recipe import LayerSpec, build_recipe, recipe_dict
from edgernn.stft import StftParams

TASK = "denoise"


@dataclass(frozen=True)
class DenoiseData:
    """What to learn from: sources of running speech, of noise and of rooms (`edgernn/data/sources`)."""

    sources: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class DenoiseTrain:
    """How to train. An epoch is `batches` batches of fresh mixtures."""

    epochs: int = 60
    batches: int = 100
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05  #: share of the run in which the rate rises; it then falls as a cosine
    clip_norm: float = 1.0  #: gradients longer than this are shortened to it
    average: float = 0.998  #: decay of the moving average of the weights per step (what is validated and kept)
    magnitude_loss: float = 70.0  #: weight of the squared error of magnitudes to the power of 0.3
    complex_loss: float = 30.0  #: weight of the squared error of the spectra whose magnitudes are so compressed
    sdr_loss: float = 0.3  #: weight of the negative signal-to-distortion ratio in dB
    intelligibility_loss: float = 300.0  #: weight of 1 - STOI
    threads: int = 1

    def __post_init__(self) -> None:
        """A negative weight would train for the worse."""
        for name in ("magnitude_loss", "complex_loss", "sdr_loss", "intelligibility_loss"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise EdgernnError(f"train: {name} = {getattr(self, name)} must be a number of at least 0")
        if not 0 < self.learning_rate < float("inf"):
            raise EdgernnError(f"train: learning_rate = {self.learning_rate} must be positive")


@dataclass(frozen=True)
class DenoiseQuantize:
    """How to go to integers: calibrated on mixtures of training audio, run with carried state."""

    scheme: str = "int8x16"
    streams: int = 32
    stream_seconds: float = 12.0

    def __post_init__(self) -> None:
        """A scheme that does not exist is told before hours of training."""
        check_scheme(self.scheme)


@dataclass(frozen=True)
class GainParams:
    """What happens to the net's gains before they meet the spectrum."""

    floor_db: float = -40.0  #: no band is attenuated further: what is left of the noise keeps its colour

    def __post_init__(self) -> None:
        """A gain floor is no amplification."""
        if not -90.0 <= self.floor_db <= 0.0:
            raise EdgernnError(f"gains: floor_db = {self.floor_db} must lie in -90..0 dB")

    @property
    def floor(self) -> int:
        """The floor in Q15."""
        return min(32767, round(32768 * 10 ** (self.floor_db / 20)))


@dataclass(frozen=True)
class DenoiseRecipe:
    """A whole denoiser: one field a section."""

    name: str = "denoise"
    task: str = TASK
    seed: int = 0
    data: DenoiseData = field(default_factory=DenoiseData)
    stft: StftParams = field(default_factory=StftParams)
    layers: tuple[LayerSpec, ...] = ()
    mix: MixConfig = field(default_factory=MixConfig)
    train: DenoiseTrain = field(default_factory=DenoiseTrain)
    quantize: DenoiseQuantize = field(default_factory=DenoiseQuantize)
    gains: GainParams = field(default_factory=GainParams)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every default spelled out."""
        return recipe_dict(self)

    @property
    def rows(self) -> int:
        """Rows of the net's output."""
        rows = 1
        for layer in self.layers:
            rows = all_cells()[layer.cell].rows(layer.options, rows)
        return rows


def make_denoise_recipe(values: Mapping[str, Any], where: str = "recipe") -> DenoiseRecipe:
    """A denoiser's recipe from plain values; every problem in one error."""
    recipe = build_recipe(DenoiseRecipe, values, where)
    if recipe.task != TASK:
        raise EdgernnError(f"{where}: task = {recipe.task!r} is not {TASK!r}")
    if recipe.stft.sample_rate != SAMPLE_RATE:
        raise EdgernnError(f"{where}: stft.sample_rate = {recipe.stft.sample_rate}; recordings are read at {SAMPLE_RATE} Hz")
    t, q = recipe.train, recipe.quantize
    if min(t.epochs, t.batches, t.batch, q.streams) < 1 or q.stream_seconds <= 0:
        raise EdgernnError(f"{where}: epochs, batches, batch, streams and stream_seconds must be positive")
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
    return recipe
