"""Speech denoising: PCM in, cleaner PCM out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgernn.errors import EdgernnError
from edgernn.reports.parts import Section
from edgernn.show import Shown
from edgernn.tasks.base import (
    DRIFT,
    CInterface,
    Figure,
    Material,
    Member,
    Option,
    Progress,
    Question,
    StateMembers,
    Task,
    Values,
    Whole,
    drift_figures,
)

if TYPE_CHECKING:
    from edgernn.data.corpus import Dataset
    from edgernn.outcomes import Outcome
    from edgernn.signal.audio import Int16
    from edgernn.tasks.denoise.graph import DenoiseGraph
    from edgernn.tasks.denoise.recipe import DenoiseNet, DenoiseRecipe

RUN_SECONDS = 4.0  #: of noisy speech that an emulated core is given when nothing else is asked for
METRICS = ("pesq", "stoi", "si_sdr")  #: that the summary shows, and no result may lack
SYSTEMS = (("integer", "int8"), ("float", "float"))  #: what `judge` calls the two, and their figures


class Denoise(Task):
    """See the module docstring."""

    noun = "a denoiser"
    whole = Whole("denoise-train", "dn-demo", "run/denoise", "A speech denoiser in one command: recipe in, firmware out.")
    whole_question = Question(seconds=180.0, count=20)
    posteriors = "gains"
    options = (
        Option("start", Path, "A trained run folder of the same layers, to go on from.", ("train", "whole")),
        Option("mixtures", Path, "CSV of mixtures (id, snr_db, clean, noise, noise_label); default: 50 of the split.",
               ("simulate",)),
        Option("mos", bool, "DNSMOS too, P.835 overall and P.808 (needs speechmos); slow.", ("simulate",)),
    )  # fmt: skip
    gated: ClassVar[Mapping[str, Figure]] = {
        "int8_pesq": Figure(+1, 0.02),
        "int8_stoi": Figure(+1, 0.005),
        "int8_estoi": Figure(+1, 0.01),
        "int8_si_sdr": Figure(+1, 0.1),
        "int8_dnsmos": Figure(+1, 0.03),
        "int8_p808": Figure(+1, 0.03),
        "float_pesq": Figure(+1, 0.02),
        "float_stoi": Figure(+1, 0.005),
        "float_estoi": Figure(+1, 0.01),
        "float_si_sdr": Figure(+1, 0.1),
        "float_dnsmos": Figure(+1, 0.03),
        "float_p808": Figure(+1, 0.03),
        "lost_si_sdr": Figure(-1, 0.05),
        **DRIFT,
        "stream_repeat_snr_db": Figure(+1, 3.0),
        "stream_growth_db": Figure(-1, 0.1),
        "stream_change": Figure(-1, 4.0),
        "stream_jump": Figure(-1, 0.2, relative=True),
        "stream_silence": Figure(-1, 2.0),
    }
    c = CInterface(
        "dn", ("ern_net.c", "ern_stft.c"), tflm_sources=("ern_stft.c", "ern_stft.h", "ern_fft.h"), gives_sound=True
    )  # fmt: skip

    def commands(self) -> Mapping[str, Callable[..., None]]:
        """Sound in, sound out."""
        from edgernn.tasks.denoise import verbs

        return {"denoise": verbs.denoise}

    def recipe_class(self) -> type[DenoiseRecipe]:
        """See the base class."""
        from edgernn.tasks.denoise.recipe import DenoiseRecipe

        return DenoiseRecipe

    def graph_class(self) -> type[DenoiseGraph]:
        """See the base class."""
        from edgernn.tasks.denoise.graph import DenoiseGraph

        return DenoiseGraph

    def check_recipe(self, recipe: Any, where: str) -> None:
        """One frame a step, bands folded once."""
        from edgernn.tasks.denoise.recipe import check_layers

        check_layers(recipe, where)

    def check_data(self, recipe: Any) -> None:
        """Speech and noise."""
        if not recipe.sources:
            raise EdgernnError("the recipe names no data: give at least one [[data.sources]] table of speech and one of noise")

    def before_training(self, recipe: Any, options: Values) -> None:
        """A start must have the same layers; who is to listen must be there."""
        if recipe.train.opinion_loss:
            from edgernn.tasks.denoise.train_opinion import Listener

            Listener()
        if options.get("start"):
            from edgernn.tasks._mixtures import check_start

            check_start(recipe, Path(options["start"]))

    def train(
        self, recipe: Any, dataset: Dataset, folder: Path, progress: Progress, device: str, options: Values
    ) -> DenoiseNet:
        """On mixtures made on the fly."""
        from edgernn.tasks.denoise.train import train_denoiser

        start = options.get("start")
        return train_denoiser(recipe, dataset, folder, progress, device, Path(start) if start else None)

    def calibration(self, net: DenoiseNet, dataset: Dataset) -> list[Int16]:
        """Streams of training mixtures, end to end."""
        from edgernn.signal import native
        from edgernn.tasks._mixtures import calibration_sounds

        return [native.analyze(pcm, net.recipe.stft, net.tables)[1] for pcm in calibration_sounds(net.recipe, dataset)]

    def lowered(self, net: DenoiseNet, parts: dict[str, Any]) -> DenoiseGraph:
        """With signal path and gain floor."""
        r = net.recipe
        return self.graph_class()(**parts, stft=r.stft, tables=net.tables, floor=r.gains.floor)

    def judge(self, net: DenoiseNet, graph: Any, dataset: Dataset, question: Question, progress: Progress) -> dict[str, Any]:
        """Mixtures judged file by file, one long stream, the floats beside it, speed."""
        from edgernn.tasks.denoise.evaluate import judge_denoiser

        return judge_denoiser(net, graph, dataset, question, progress)

    def material(self, net: DenoiseNet, graph: Any, dataset: Dataset, split: str, seconds: float) -> Material:
        """Noisy speech of the split."""
        from edgernn.tasks._mixtures import stream_of

        return Material(stream_of(net.recipe, dataset, split, seconds), split)

    def sound(self, graph: Any, dataset: Dataset) -> Int16:
        """Noisy speech of the test split."""
        from edgernn.data.mixing import make_mixtures
        from edgernn.signal.audio import SAMPLE_RATE

        return make_mixtures(dataset, "test", 2, 0)[1].pair.noisy[: round(RUN_SECONDS * SAMPLE_RATE)]

    def heard(self, graph: Any, output: Any, begin: int) -> Int16:
        """Denoised samples."""
        samples: Int16 = output.ravel()
        return samples

    def figures(self, simulated: Values) -> tuple[str, dict[str, float]]:
        """Every metric of the integer denoiser, and of the float one; what int8 loses; the stream without a reset."""
        s = simulated
        judged = Path(s["list"]).name if s["list"] else f"{s['dataset']}/{s['split']}"
        means = {f"{called}_{m}": x for system, called in SYSTEMS for m, x in s["mean"].get(system, {}).items()}
        figures = {**{f"int8_{m}": s["mean"]["integer"][m] for m in METRICS}, **means}
        figures |= {"lost_si_sdr": -s["integer_minus_float"]["si_sdr"]["mean"]} if "integer_minus_float" in s else {}
        figures |= {f"stream_{key}": value for key, value in s.get("stream", {}).items() if f"stream_{key}" in self.gated}
        figures |= drift_figures(s["drift"]) if "drift" in s else {}
        if "stream_repeat_snr_db" in figures:  # beyond, all that differs is a few last bits
            figures["stream_repeat_snr_db"] = min(60.0, figures["stream_repeat_snr_db"])
        return f"{judged}, {s['mixtures']} mixtures", figures

    def outcomes(self, simulated: Values) -> dict[str, Outcome]:
        """Every metric mixture by mixture."""
        from edgernn.outcomes import Values as Numbers
        from edgernn.outcomes import unique

        files = simulated.get("files", [])
        names, metrics = unique(row["name"] for row in files), files[0]["scores"]["integer"] if files else ()
        return {
            f"{called}_{m}": Numbers({name: (row["scores"][system][m], 1) for name, row in zip(names, files, strict=True)})
            for system, called in SYSTEMS for m in metrics
        }  # fmt: skip

    def summary(self, simulated: Values) -> dict[str, Any]:
        """Means of each metric."""
        return {key: simulated[key] for key in ("mixtures", "mean", "integer_minus_float")}

    def show_simulated(self, r: Values) -> Shown:
        """See `show.py` of this folder."""
        from edgernn.tasks.denoise.show import simulated

        return simulated(r)

    def verdict(self, simulated: Values) -> list[str]:
        """What int8 costs, and what is worst."""
        from edgernn.tasks.denoise.show import verdict

        return verdict(simulated)

    def sections(self, run: Any) -> Iterator[Section]:
        """See `pages.py` of this folder."""
        from edgernn.tasks.denoise.pages import sections

        return sections(run)

    def show_summary(self, s: Values) -> list[list[Any]]:
        """See `show.py` of this folder."""
        from edgernn.tasks.denoise.show import summary

        return summary(s)

    def next_steps(self, folder: str, graph: str) -> list[str]:
        """Hear it."""
        return [f"edgernn denoise noisy.wav clean.wav --graph {graph} --report report.png"]

    def members(self, graph: Any) -> StateMembers:
        """Spectrum, overlap, history."""
        p = graph.stft
        first = (Member("int32_t", "spectrum", p.window + 2), Member("int32_t", "overlap", p.hop))
        return StateMembers(first, (Member("int16_t", "bands", p.bands),), (Member("int16_t", "history", p.hop),))


TASK = Denoise()
