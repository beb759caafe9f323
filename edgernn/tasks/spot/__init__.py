"""Keyword and wake-word spotting: PCM in, an event out when a word was said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    from edgernn.tasks.spot.graph import SpotGraph
    from edgernn.tasks.spot.listening import Detection
    from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe

RUN_CLIPS = 10  #: test clips that an emulated core is given when nothing else is asked for


class Spot(Task):
    """See the module docstring."""

    noun = "a keyword spotter"
    whole = Whole("kws", "embedded", "run/kws", "A keyword spotter in one command: words in, firmware out.")
    options = (
        Option("keywords", str, 'Comma-separated words instead of the recipe\'s: "hey robin,stop".', ("data", "whole")),
        Option("language", str, "Language of the made-up voices, an espeak-ng code such as de or ru.", ("data", "whole")),
        Option("voices", str, "Engines that say the words: espeak, flite, pico, kokoro; commas between.", ("data", "whole")),
        Option("more_recordings", Path, "Folder of more recordings: WORD/SPEAKER_000.wav.", ("data", "whole")),
        Option("more_negatives", Path, "Folder of sound without keywords, as `audit` collects it.", ("data", "whole")),
        Option(
            "false_accepts_per_hour",
            float,
            "Thresholds for so many a word, of nets trained on streams; kept in the recipe.",
            ("data", "quantize", "whole"),
            low=0.001,
            high=1000.0,
        ),
        Option("teacher", Path, "Run folder of a trained net that teaches; repeatable.", ("train", "whole"), many=True),
    )
    gated: ClassVar[Mapping[str, Figure]] = {
        "int8_accuracy": Figure(+1, 0.005, points=True, group=0.02),
        "float_accuracy": Figure(+1, 0.005, points=True),
        "agreement": Figure(+1, 0.005, points=True),
        "logit_snr_db": Figure(+1, 3.0),
        "silence_taken": Figure(-1, 0.005, points=True),
        "misses": Figure(-1, 0.02, points=True, group=0.05),
        "misses_at_baselines_rate": Figure(-1, 0.02, points=True, group=0.05),
        "false_accepts_per_hour": Figure(-1, 0.25, relative=True, group=0.25),
        **DRIFT,
    }
    c = CInterface(
        "kws", ("ern_net.c", "ern_frontend.c", "ern_decide.c"), ("main.c", "main_interrupt.c"),
        ("ern_frontend.c", "ern_decide.c", "ern_frontend.h", "ern_decide.h", "ern_fft.h"),
    )  # fmt: skip

    def commands(self) -> Mapping[str, Callable[..., None]]:
        """Detection and recording on live sound; models from elsewhere."""
        from edgernn.tasks.spot import verbs

        return {"detect": verbs.detect, "record": verbs.record, "audit": verbs.audit, "import": verbs.import_model}

    def recipe_class(self) -> type[SpotRecipe]:
        """See the base class."""
        from edgernn.tasks.spot.recipe import SpotRecipe

        return SpotRecipe

    def graph_class(self) -> type[SpotGraph]:
        """See the base class."""
        from edgernn.tasks.spot.graph import SpotGraph

        return SpotGraph

    def adapted(self, recipe: Any, options: Values) -> SpotRecipe:
        """With the user's own words, language, voices and recordings."""
        from edgernn.tasks.spot.adapting import adapted

        return adapted(recipe, options)

    def check_recipe(self, recipe: Any, where: str) -> None:
        """Recordings are kept at one rate, and what they do not hold cannot be learnt."""
        from edgernn.tasks.spot.recipe import check_rate

        check_rate(recipe, where)

    def check_data(self, recipe: Any) -> None:
        """Words to learn, and what says them."""
        from edgernn.tasks.spot.adapting import check_voices

        if not recipe.keywords or not recipe.sources:
            raise EdgernnError("the recipe names no data: give data.keywords and at least one [[data.sources]] table")
        check_voices(recipe)

    def clip_seconds(self, recipe: Any) -> float | None:
        """The recipe's."""
        return recipe.data.clip_seconds or None

    def before_training(self, recipe: Any, options: Values) -> None:
        """Teachers must be there, or such that can be trained."""
        from edgernn.data.corpus import UNKNOWN
        from edgernn.runs import run_checkpoint
        from edgernn.tasks.spot.train_taught import check_teachers
        from edgernn.tasks.spot.train_teachers import teacher_recipes

        named = [run_checkpoint(Path(teacher)) for teacher in options.get("teacher", ())]
        if recipe.train.kind == "streams":
            check_teachers(recipe, (*recipe.keywords, UNKNOWN), named)
        if not named:
            teacher_recipes(recipe)

    def train(self, recipe: Any, dataset: Dataset, folder: Path, progress: Progress, device: str, options: Values) -> SpotNet:
        """On augmented clips, or on streams; teachers may give a share of what is asked: those named, or the recipe's own."""
        from edgernn.runs import run_checkpoint
        from edgernn.tasks.spot.train import train
        from edgernn.tasks.spot.train_streams import train_streams
        from edgernn.tasks.spot.train_teachers import trained_teachers

        def one(
            recipe: SpotRecipe, dataset: Dataset, folder: Path, progress: Progress, teachers: Sequence[SpotNet] = ()
        ) -> SpotNet:
            chosen = train_streams if recipe.train.kind == "streams" else train
            return chosen(recipe, dataset, folder, progress, device, teachers)

        named = [run_checkpoint(Path(t)) for t in options.get("teacher", ())]
        return one(recipe, dataset, folder, progress, named or trained_teachers(recipe, dataset, folder, progress, one))

    def calibration(self, net: SpotNet, dataset: Dataset) -> list[Int16]:
        """Streams of training speech in noise."""
        from edgernn.tasks.spot.clips import calibration_streams

        return list(calibration_streams(dataset, net.recipe, net.tables))

    def lowered(self, net: SpotNet, parts: dict[str, Any]) -> SpotGraph:
        """With front end, labels and decision stage."""
        from edgernn.tasks.spot.decision import make_decision

        r = net.recipe
        decision = make_decision(r, net.labels)
        return self.graph_class()(**parts, labels=net.labels, frontend=r.frontend, tables=net.tables, decision=decision)

    def tuned(self, net: SpotNet, graph: Any, dataset: Dataset) -> SpotGraph:
        """Nets trained on streams: smoothing and thresholds by false accepts an hour on the validation split."""
        if net.recipe.train.kind != "streams":
            return graph  # type: ignore[no-any-return]
        from edgernn.tasks.spot.spotting import tuned

        return tuned(net, graph, dataset)

    def judge(self, net: SpotNet, graph: Any, dataset: Dataset, question: Question, progress: Progress) -> dict[str, Any]:
        """Misses and false accepts in streams, clips of the split, one long stream, speed."""
        from edgernn.tasks.spot.judge import judge

        return judge(net, graph, dataset, question, progress)

    def material(self, net: SpotNet, graph: Any, dataset: Dataset, split: str, seconds: float) -> Material:
        """Clips of the split, and a stream of them in noise."""
        from edgernn.tasks.spot.judge import material

        return material(net, graph, dataset, split, seconds)

    def sound(self, graph: Any, dataset: Dataset) -> Int16:
        """Some test clips end to end."""
        from edgernn.tasks.spot.clips import clip_pcm

        rows = dataset.clips("test")
        every = max(1, len(rows) // RUN_CLIPS)
        return clip_pcm(dataset, rows[::every][:RUN_CLIPS], graph.sample_rate).ravel()

    def heard(self, graph: Any, output: Any, begin: int) -> list[Detection]:
        """Detections that are over."""
        from edgernn.tasks.spot.listening import detections_in

        return detections_in(graph, output, begin)

    def heard_last(self, graph: Any, process: Callable[[Int16], Any], begin: int) -> list[Detection]:
        """The detection that lasts."""
        from edgernn.tasks.spot.listening import last_detections

        return last_detections(graph, process, begin)

    def figures(self, simulated: Values) -> tuple[str, dict[str, float]]:
        """Accuracy over clips, float and int8, how far they agree, and drift; its outcomes tell misses and false accepts."""
        clips = simulated["clips"]
        figures = {"int8_accuracy": clips["integer"]["accuracy"], "agreement": clips["agreement"]}
        figures |= {"float_accuracy": clips["float"]["accuracy"]} if "accuracy" in clips.get("float", {}) else {}
        figures |= {"logit_snr_db": clips["logit_snr_db"]} if "logit_snr_db" in clips else {}
        figures |= drift_figures(simulated["stream"]) if "stream" in simulated else {}
        return f"{simulated['dataset']}/{clips['split']}", figures

    def summary(self, simulated: Values) -> dict[str, Any]:
        """Misses and false accepts, accuracies and agreement."""
        clips = simulated["clips"]
        return {
            **({"spotting": simulated["spotting"]} if "spotting" in simulated else {}),
            "clips": clips["float"]["clips"], "float_accuracy": clips["float"]["accuracy"],
            "int8_accuracy": clips["integer"]["accuracy"], "agreement": clips["agreement"],
        }  # fmt: skip

    def show_simulated(self, r: Values) -> Shown:
        """See `show.py` of this folder."""
        from edgernn.tasks.spot.show import simulated

        return simulated(r)

    def show_summary(self, s: Values) -> list[list[Any]]:
        """See `show.py` of this folder."""
        from edgernn.tasks.spot.show import summary

        return summary(s)

    def next_steps(self, folder: str, graph: str) -> list[str]:
        """Hear it, and put it on a core."""
        return [f"edgernn detect some.wav --graph {graph}", f"edgernn run {folder} --board microbit"]

    def verdict(self, simulated: Values) -> list[str]:
        """Misses and false accepts in words, where streams were judged."""
        from edgernn.tasks.spot.show import verdict

        return verdict(simulated["spotting"]) if "spotting" in simulated else []

    def sections(self, run: Any) -> Iterator[Section]:
        """See `pages.py` of this folder."""
        from edgernn.tasks.spot.pages import sections

        return sections(run)

    def live_marks(self, graph: Any) -> list[tuple[int, int]]:
        """Each keyword's threshold."""
        return list(enumerate(graph.decision.thresholds))

    def members(self, graph: Any) -> StateMembers:
        """Front-end scratch, decision stage, history."""
        p, keywords = graph.frontend, len(graph.decision.thresholds)
        scratch, history = (Member("int32_t", "work", p.fft),), (Member("int16_t", "history", max(1, graph.history_samples)),)
        last = (
            Member("int16_t", "ring", graph.decision.smoothing * keywords), Member("int16_t", "thresholds", keywords),
            Member("uint8_t", "held", keywords),
        )  # fmt: skip
        return StateMembers((Member("ern_decider", "decider", 0),), scratch, history, last)

    def arrays(self, graph: Any) -> dict[str, Any]:
        """The thresholds."""
        import numpy as np

        return {"thresholds": np.array(graph.decision.thresholds, np.int16)}


TASK = Spot()
