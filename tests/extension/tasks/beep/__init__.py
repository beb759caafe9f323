"""A task from outside: does it beep?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgernn.show import Shown
from edgernn.tasks.base import CInterface, Figure, Material, Member, Option, Question, StateMembers, Task, Values, Whole


class Beep(Task):
    """See the module docstring."""

    noun = "a beep detector"
    whole = Whole("beep-train", "beeps", "run/beep", "A beep detector in one command.")
    options = (Option("loudness", float, "How loud a beep is.", ("train",), low=0.0, high=1.0),)
    gated = {"int8_right": Figure(+1, 0.01, points=True)}  # noqa: RUF012
    c = CInterface("beep", ("ern_net.c", "ern_frontend.c"), tflm_sources=("ern_frontend.c", "ern_frontend.h", "ern_fft.h"))

    def recipe_class(self) -> Any:
        from edgernn.tasks.beep.parts import BeepRecipe

        return BeepRecipe

    def graph_class(self) -> Any:
        from edgernn.tasks.beep.parts import BeepGraph

        return BeepGraph

    def train(self, recipe: Any, dataset: Any, folder: Path, progress: Any, device: str, options: Values) -> Any:
        from edgernn.tasks.beep.parts import train_beep

        return train_beep(recipe, dataset, folder, progress, device)

    def calibration(self, net: Any, dataset: Any) -> Any:
        from edgernn.tasks.beep.parts import clips

        return list(clips(dataset, net.recipe, "train")[0])

    def lowered(self, net: Any, parts: dict[str, Any]) -> Any:
        return self.graph_class()(**parts, frontend=net.recipe.frontend, tables=net.tables, threshold=16384)

    def judge(self, net: Any, graph: Any, dataset: Any, question: Question, progress: Any) -> dict[str, Any]:
        from edgernn.tasks.beep.parts import judged

        return judged(net, graph, dataset, question.split)

    def sound(self, graph: Any, dataset: Any) -> Any:
        return dataset.pcm(dataset.clips("test")[0])

    def material(self, net: Any, graph: Any, dataset: Any, split: str, seconds: float) -> Material:
        return Material(self.sound(graph, dataset), split)

    def heard(self, graph: Any, output: Any, begin: int) -> Any:
        return output[:, 0] != 0

    def figures(self, simulated: Values) -> tuple[str, dict[str, float]]:
        return simulated["dataset"], {"int8_right": simulated["right"]["integer"]}

    def summary(self, simulated: Values) -> dict[str, Any]:
        return {"right": simulated["right"]}

    def show_simulated(self, r: Values) -> Shown:
        yield f"right: {r['right']}"

    def show_summary(self, s: Values) -> list[list[Any]]:
        return [["right", s["right"]["integer"]]]

    def next_steps(self, folder: str, graph: str) -> list[str]:
        return [f"edgernn run {folder}"]

    def members(self, graph: Any) -> StateMembers:
        p = graph.frontend
        scratch, history = (Member("int32_t", "work", p.fft),), (Member("int16_t", "history", max(1, graph.history_samples)),)
        return StateMembers((), scratch, history)


TASK = Beep()
