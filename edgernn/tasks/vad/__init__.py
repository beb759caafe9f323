"""Voice activity: PCM in, one posterior and one integer decision a step."""

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
    from edgernn.signal.audio import Int16
    from edgernn.tasks.vad.graph import VadGraph
    from edgernn.tasks.vad.recipe import VadNet, VadRecipe

RUN_SECONDS = 6.0  #: of a mixture that an emulated core is given when nothing else is asked for


class Vad(Task):
    """See the module docstring."""

    noun = "a voice-activity detector"
    whole = Whole("vad-train", "vad-demo", "run/vad", "A voice-activity detector in one command: recipe in, firmware out.")
    whole_question = Question(seconds=120.0, count=30)
    options = (
        Option("mixtures", Path, "CSV of mixtures (id, snr_db, clean, noise, noise_label); default: 50 of the split.",
               ("simulate",)),
    )  # fmt: skip
    gated: ClassVar[Mapping[str, Figure]] = {
        "int8_auc": Figure(+1, 0.003),
        "int8_misses": Figure(-1, 0.01, points=True),
        "int8_noise_alone": Figure(-1, 0.005, points=True),
        "float_auc": Figure(+1, 0.003),
        "mixture_auc": Figure(+1, 0.003),
        "misses": Figure(-1, 0.01, points=True),
        "false_alarms": Figure(-1, 0.01, points=True),
        "noise_alone": Figure(-1, 0.01, points=True),
        "triggers_a_minute": Figure(-1, 0.5),
        "onset_ms": Figure(-1, 20.0),
        "logit_snr_db": Figure(+1, 3.0),
        **DRIFT,
    }
    c = CInterface("vad", ("ern_net.c", "ern_frontend.c"), tflm_sources=("ern_frontend.c", "ern_frontend.h", "ern_fft.h"))

    def commands(self) -> Mapping[str, Callable[..., None]]:
        """Stretches of speech in a sound."""
        from edgernn.tasks.vad import verbs

        return {"vad": verbs.vad}

    def recipe_class(self) -> type[VadRecipe]:
        """See the base class."""
        from edgernn.tasks.vad.recipe import VadRecipe

        return VadRecipe

    def graph_class(self) -> type[VadGraph]:
        """See the base class."""
        from edgernn.tasks.vad.graph import VadGraph

        return VadGraph

    def check_recipe(self, recipe: Any, where: str) -> None:
        """One sample rate."""
        from edgernn.tasks.vad.recipe import check_rate

        check_rate(recipe, where)

    def check_data(self, recipe: Any) -> None:
        """Speech and noise."""
        if not recipe.sources:
            raise EdgernnError("the recipe names no data: give at least one [[data.sources]] table of speech and one of noise")

    def train(self, recipe: Any, dataset: Dataset, folder: Path, progress: Progress, device: str, options: Values) -> VadNet:
        """On streams of speech in noise."""
        from edgernn.tasks.vad.train import train_vad

        return train_vad(recipe, dataset, folder, progress, device)

    def calibration(self, net: VadNet, dataset: Dataset) -> list[Int16]:
        """Training streams end to end."""
        import numpy as np

        from edgernn.signal import native
        from edgernn.tasks.vad.streams import Streams

        q = net.recipe.quantize
        source = Streams(net.recipe.mix, dataset, "train", np.random.default_rng([net.recipe.seed, 9]))
        each = max(1, round(q.stream_seconds / net.recipe.mix.seconds))
        sounds = np.stack([np.concatenate([source.draw()[0] for _ in range(each)]) for _ in range(q.streams)])
        return list(native.log_mels(sounds, net.recipe.frontend, net.tables))

    def lowered(self, net: VadNet, parts: dict[str, Any]) -> VadGraph:
        """With front end and decision stage."""
        from edgernn.tasks.vad.decision import Gate

        r, d = net.recipe, net.recipe.decision
        on, off = (min(32767, max(1, round(x * 32768))) for x in (d.on, d.off))
        gate = Gate(on, off, r.steps(d.attack_ms), r.steps(d.hold_ms), r.steps(d.release_ms))
        return self.graph_class()(**parts, frontend=r.frontend, tables=net.tables, decision=gate, delay_ms=r.train.delay_ms)

    def judge(self, net: VadNet, graph: Any, dataset: Dataset, question: Question, progress: Progress) -> dict[str, Any]:
        """Mixtures, noise alone, one long stream, speed."""
        from edgernn.tasks.vad.judge import judge

        return judge(net, graph, dataset, question, progress)

    def material(self, net: VadNet, graph: Any, dataset: Dataset, split: str, seconds: float) -> Material:
        """Streams of the split."""
        import numpy as np

        from edgernn.tasks.vad.streams import Streams

        source = Streams(net.recipe.mix, dataset, split, np.random.default_rng([net.recipe.seed, 13]))
        count = max(1, round(seconds / net.recipe.mix.seconds))
        return Material(np.concatenate([source.draw()[0] for _ in range(count)]), split)

    def sound(self, graph: Any, dataset: Dataset) -> Int16:
        """The beginning of a mixture of the test split."""
        from edgernn.data.mixing import draw_ingredients
        from edgernn.signal.audio import SAMPLE_RATE
        from edgernn.tasks.vad.judge import case

        return case(list(draw_ingredients(dataset, "test", 2, 0))[1]).pcm[: round(RUN_SECONDS * SAMPLE_RATE)]

    def heard(self, graph: Any, output: Any, begin: int) -> Any:
        """Whether there is speech, one bool a step."""
        return output[:, 0] != 0

    def figures(self, simulated: Values) -> tuple[str, dict[str, float]]:
        """AUC, and misses and noise alone at 5 % false alarms, of the integer detector; what its thresholds give; drift."""
        s, own = simulated, simulated["integer"]
        judged = Path(s["list"]).name if s["list"] else f"{s['dataset']}/{s['split']}"
        five = own["at_5_percent_false_alarms"]
        figures = {"int8_auc": own["auc"], "int8_misses": five["misses"], "int8_noise_alone": five["noise_alone"]}
        figures |= {name: own[name] for name in ("misses", "false_alarms", "noise_alone", "triggers_a_minute") if name in own}
        figures |= {"float_auc": s["float"]["auc"]} if "auc" in s.get("float", {}) else {}
        figures |= {"logit_snr_db": s["logit_snr_db"]} if "logit_snr_db" in s else {}
        onset = own.get("onset_ms", {}).get("median")
        figures |= {} if onset is None else {"onset_ms": onset}
        figures |= drift_figures(s["stream"]) if "stream" in s else {}
        return f"{judged}, {s['mixtures']} mixtures", figures

    def summary(self, simulated: Values) -> dict[str, Any]:
        """All figures of both."""
        return {key: simulated[key] for key in ("mixtures", "float", "integer")}

    def show_simulated(self, r: Values) -> Shown:
        """See `show.py` of this folder."""
        from edgernn.tasks.vad.show import simulated

        return simulated(r)

    def verdict(self, simulated: Values) -> list[str]:
        """What int8 costs, and what is worst."""
        from edgernn.tasks.vad.show import verdict

        return verdict(simulated)

    def sections(self, run: Any) -> Iterator[Section]:
        """See `pages.py` of this folder."""
        from edgernn.tasks.vad.pages import sections

        return sections(run)

    def show_summary(self, s: Values) -> list[list[Any]]:
        """See `show.py` of this folder."""
        from edgernn.tasks.vad.show import summary

        return summary(s)

    def next_steps(self, folder: str, graph: str) -> list[str]:
        """Hear it, and put it on a core."""
        return [f"edgernn vad some.wav --graph {graph}", f"edgernn run {folder} --board microbit"]

    def live_marks(self, graph: Any) -> list[tuple[int, int]]:
        """Where speech begins and ends."""
        return [(0, graph.decision.on), (0, graph.decision.off)]

    def members(self, graph: Any) -> StateMembers:
        """Front-end scratch, decision stage, history."""
        p = graph.frontend
        scratch, history = (Member("int32_t", "work", p.fft),), (Member("int16_t", "history", max(1, graph.history_samples)),)
        gate = (Member("uint16_t", "active", 0), Member("uint16_t", "age", 0), Member("uint16_t", "count", 0))
        return StateMembers((), scratch, history, gate)


TASK = Vad()
