"""A beep detector's recipe, graph, training and judgement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgernn.core.graph import Output, SignalPath
from edgernn.core.primitives import Shape
from edgernn.data.corpus import Dataset
from edgernn.recipe import Recipe, SourceParams, TrainParams
from edgernn.runs import CHECKPOINT
from edgernn.runtimes import make_runtime
from edgernn.signal import native
from edgernn.signal.log_mel import FrontEndParams, make_tables
from edgernn.signal.log_mel_graph import LogMelGraph


@dataclass(frozen=True)
class BeepRecipe(Recipe):
    """One field a section."""

    task: str = "beep"
    data: SourceParams = field(default_factory=SourceParams)
    frontend: FrontEndParams = field(default_factory=lambda: FrontEndParams(bands=16))
    train: TrainParams = field(default_factory=TrainParams)

    @property
    def signal(self) -> FrontEndParams:
        return self.frontend

    @property
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        return self.data.sources

    @property
    def keywords(self) -> tuple[str, ...]:
        return ("beep",)

    def scores(self, labels: Sequence[str]) -> int:
        return 1


@dataclass(frozen=True, kw_only=True)
class BeepGraph(LogMelGraph):
    """1 while the posterior is at the threshold or above."""

    threshold: int
    task: ClassVar[str | None] = "beep"

    @property
    def latency_ms(self) -> float:
        return 1000.0 * self.frontend.window / self.frontend.sample_rate

    @property
    def output_shape(self) -> Shape:
        return 1, 1

    @property
    def output(self) -> Output:
        return Output("int16", 1, ("beeps",))

    def path(self) -> SignalPath:
        return BeepPath(self)

    def task_description(self) -> dict[str, Any]:
        return {**self.front_end_description(), "threshold": self.threshold}

    def about(self) -> dict[str, Any]:
        return {"task": "beep", **self.about_front_end(), "threshold": self.threshold}

    @classmethod
    def from_parts(cls, net: dict[str, Any], d: dict[str, Any], tensors: dict[str, Any]) -> BeepGraph:
        return cls(**net, **cls.front_end_fields(d, tensors), threshold=d["threshold"])


class BeepPath(SignalPath):
    """Log-mel features in, beeps out."""

    def __init__(self, g: BeepGraph) -> None:
        self._front, self._threshold = g.front_end(), g.threshold

    def reset(self) -> None:
        self._front.reset()

    def features(self, pcm: Any) -> Any:
        return self._front.features(pcm)

    def finish(self, posteriors: Any) -> Any:
        return (posteriors >= self._threshold).astype(np.int16)


def clips(dataset: Dataset, recipe: BeepRecipe, split: str) -> tuple[Any, Any]:
    """Log-mels [N, T, bands] and whether each clip beeps [N]."""
    rows = dataset.clips(split)
    pcm = np.stack([dataset.pcm(row) for row in rows])
    said = np.array([row.label == "beep" for row in rows], np.float32)
    return native.log_mels(pcm, recipe.frontend, make_tables(recipe.frontend)), said


def train_beep(recipe: BeepRecipe, dataset: Dataset, folder: Path, progress: Any, device: str) -> Any:
    """A few epochs over the clips."""
    import torch

    from edgernn.core.floatnet import FloatNet
    from edgernn.core.net import Net
    from edgernn.core.training import Trainer, normalised, training_device
    from edgernn.tasks import make_recipe

    logs, said = clips(dataset, recipe, "train")
    mean, deviation = logs.mean((0, 1), dtype=np.float64), logs.std((0, 1), dtype=np.float64)

    class BeepTrainer(Trainer):
        def batches(self, rng: np.random.Generator) -> Iterator[Any]:
            order = rng.permutation(len(said))
            for i in range(self.batches_per_epoch):
                index = order[i * recipe.train.batch : (i + 1) * recipe.train.batch]
                yield normalised(logs[index], mean, deviation), torch.from_numpy(said[index])

        def loss(self, net: Net, batch: Any) -> Any:
            logits = net(batch[0])[0][:, 5:, 0]
            wanted = batch[1][:, None].expand_as(logits)
            return torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted), ()

        def validate(self) -> tuple[float, ...]:
            return (0.0,)

    torch.manual_seed(recipe.seed)
    net = Net(recipe.net_layers(()))
    where = training_device(device, 1)
    trainer = BeepTrainer(
        recipe.to_dict(), net, recipe.train, max(1, len(said) // recipe.train.batch), where, {"dataset": dataset.id}
    )
    trainer.resume(folder, lambda kept: make_recipe(kept) == recipe)
    trainer.run(folder, progress)
    weights = net.weights(trainer.average.state_dict())
    trained = FloatNet(recipe, (), make_tables(recipe.frontend), mean, deviation, weights, {"dataset": dataset.id})
    trained.save(folder / CHECKPOINT)
    return trained


def judged(net: Any, graph: BeepGraph, dataset: Dataset, split: str) -> dict[str, Any]:
    """Share of clips whose last step is right."""
    logs, said = clips(dataset, net.recipe, split)
    floats = net.run(net.features(logs))[:, -1, 0] > 0
    runtime, last = make_runtime("c", graph), []
    for row in dataset.clips(split):
        runtime.reset()
        last.append(runtime.process(dataset.pcm(row))[-1, 0])
    right = {name: float(np.mean((x != 0) == (said != 0))) for name, x in (("float", floats), ("integer", np.array(last)))}
    return {"runtime": "c", "right": right}
