"""Training to listen without end: on composed sequences, then also on what wakes the net in hours without a keyword."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgernn.core.fresh_training import FreshTrainer
from edgernn.core.net import Net
from edgernn.core.training import PROGRESS, load_progress, normalised, training_device
from edgernn.data.corpus import UNKNOWN, Dataset, Row
from edgernn.data.energies import of_logs
from edgernn.errors import EdgernnError
from edgernn.runs import CHECKPOINT
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe
from edgernn.tasks.spot.bank import negative_pieces, training_streams, validation_bank
from edgernn.tasks.spot.det import FAINT, Evidence, peaks, smoothed
from edgernn.tasks.spot.fresh import MOST_MARKS, NONE, Bank
from edgernn.tasks.spot.hearer import Hearer
from edgernn.tasks.spot.hearing import LATE_S
from edgernn.tasks.spot.losses import Asked, asked, stream_loss
from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe
from edgernn.tasks.spot.scoring import to_posteriors
from edgernn.tasks.spot.suspects import Suspect, clear_scores, suspects, tell
from edgernn.tasks.spot.train_masks import mask_bands, tilt
from edgernn.tasks.spot.train_taught import Panel, check_teachers, depends_on, taught_loss

Progress = Callable[[str, int, int], None]
SMOOTHING_MS = 400.0  #: with which an epoch is judged, and hard examples are found
JUDGED_AT = (1.0, 10.0)  #: false accepts an hour of each keyword at which an epoch's misses count
WAKES = 200  #: hard examples of each keyword that a round takes, at most
WAKING = 0.1  #: a mean posterior that counts as woken
STATISTICS_STREAMS = 512  #: from which the bands' means and deviations are taken
LEAD = 0.7  #: share of a hard example that lies before what woke the net


def train_streams(
    recipe: SpotRecipe,
    dataset: Dataset,
    folder: Path,
    progress: Progress,
    device: str = "auto",
    teachers: Sequence[SpotNet] = (),
) -> SpotNet:
    """Train the recipe's model on a prepared dataset; writes `metrics.csv` and `model.safetensors` into `folder`.

    Running it again on the same folder resumes. Teachers are trained nets with the same front end, labels and steps, to whose
    posteriors a share of the loss is compared. Raises EdgernnError when the loss is no longer finite.
    """
    where, labels = training_device(device, recipe.train.threads), (*dataset.keywords, UNKNOWN)
    check_teachers(recipe, labels, teachers)
    depends = depends_on(dataset, teachers)
    load_progress(folder / PROGRESS, lambda kept: make_recipe(kept) == recipe, where, depends)
    trainer = StreamTrainer(recipe, dataset, labels, where, progress, teachers)
    trainer.resume(folder, lambda kept: make_recipe(kept) == recipe)
    trainer.run(folder, progress)
    tables, weights = make_tables(recipe.frontend), trainer.net.weights(trainer.best)
    source = {name: value for name, value in depends.items() if value}
    net = SpotNet(recipe, labels, tables, trainer.mean, trainer.deviation, weights, source)
    net.save(folder / CHECKPOINT)
    return net


def check_split(dataset: Dataset) -> None:
    """Refuse data in which nothing can be laid, or listened to."""
    if not dataset.keywords:
        raise EdgernnError("training on streams needs keywords; name some in data.keywords")
    for split in ("train", "validation"):
        if not dataset.noise(split):
            raise EdgernnError(
                f'the {split} split has no noise: streams cannot be composed; add a noise source, or train.kind = "clips"'
            )


class StreamTrainer(FreshTrainer):
    """An epoch is `streams.count` sequences, composed anew; after a round of listening, hard examples are among them."""

    parts = ("said", "quiet", "taught")
    judged = ("missed",)

    def __init__(
        self, recipe: SpotRecipe, dataset: Dataset, labels: tuple[str, ...], device: torch.device, progress: Progress,
        teachers: Sequence[SpotNet] = (),
    ) -> None:  # fmt: skip
        check_split(dataset)
        self.recipe, self.labels, self._dataset = recipe, labels, dataset
        self.streams = training_streams(dataset, recipe, progress)
        self._validation = validation_bank(dataset, recipe, labels, progress)
        self._quiet = {split: negative_pieces(dataset, recipe, split, progress) for split in ("train", "validation")}
        some = self.streams.draw(STATISTICS_STREAMS, np.random.default_rng([recipe.seed, 44])).log_mel.astype(np.float64)
        self.mean, self.deviation = some.mean((0, 1)), some.std((0, 1))
        torch.manual_seed(recipe.seed)
        net = Net(recipe.net_layers(labels), recipe.train.dropout)
        batches = max(1, recipe.streams.count // recipe.train.batch)
        super().__init__(recipe.to_dict(), net, recipe.train, batches, device, depends_on(dataset, teachers))
        self._teachers = Panel(teachers, device) if teachers else None
        self.best: dict[str, Tensor] = {}
        self._best_score, self.hard = 2.0, torch.zeros((0, 2), dtype=torch.int64)

    # Batches ---------------------------------------------------------------------------

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Asked, Tensor]]:
        """Those of an epoch; before some, the negative hours are listened to."""
        if self._epoch in self.rounds:
            if self._epoch == self.rounds[0]:
                tell(self.suspects())  # later, the net has been taught that they are none
            self.listen()
        return super().batches(rng)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Asked, Tensor]:
        """Features [B, T, bands], what is asked of them, and their int16 log-energies before masks, as teachers hear them."""
        batch = self.recipe.train.batch
        hard = round(self.recipe.streams.hard * batch) if len(self.hard) else 0
        rows = self.streams.draw(batch - hard, rng)
        return self._heard(joined(rows, self.woken(hard, rng)) if hard else rows, rng)

    def _heard(self, rows: Bank, rng: np.random.Generator) -> tuple[Tensor, Asked, Tensor]:
        p, logs = self.recipe.train, warped_bands(rows.log_mel, self.recipe.streams.warp, rng)
        x = mask_bands(tilt(normalised(logs, self.mean, self.deviation), p.tilt, rng), p, rng)
        return x, self._asked(rows), torch.from_numpy(logs)

    def _asked(self, rows: Bank) -> Asked:
        steps = rows.log_mel.shape[1] // self.recipe.frames_per_step
        return asked(rows.marks, steps, len(self.labels), self.step_ms, self.recipe.streams)

    @property
    def step_ms(self) -> float:
        """Of the net."""
        f = self.recipe.frontend
        return 1000 * f.hop * self.recipe.frames_per_step / f.sample_rate

    def loss(self, net: Net, batch: tuple[Tensor, Asked, Tensor]) -> tuple[Tensor, tuple[float, ...]]:
        """See `stream_loss`; teachers, where there are some, stand for a share of it by `taught_loss`."""
        x, wanted, logs = batch
        logits = net(x)[0]
        said, quiet = stream_loss(logits, wanted, self.recipe.streams)
        if self._teachers is None:
            return said + quiet, (float(said.detach()), float(quiet.detach()), 0.0)
        taught, share = taught_loss(logits, self._teachers.posteriors(logs)), self.recipe.train.distill
        whole = (1 - share) * (said + quiet) + share * self.recipe.streams.taught * taught
        return whole, (float(said.detach()), float(quiet.detach()), float(taught.detach()))

    # Hard examples ---------------------------------------------------------------------------

    @property
    def rounds(self) -> tuple[int, ...]:
        """Epochs before which the negative hours are listened to: evenly over the second half."""
        count = self.recipe.streams.rounds
        return tuple(round(self.epochs * (0.5 + 0.5 * i / count)) for i in range(count))

    def listen(self) -> None:
        """Find what wakes the averaged net in the negative hours: `hard`, int64 [n, 2], piece and frame, of both rounds."""
        self.average.eval()
        sums = [smoothed(p, self._smoothing) for p in self._posteriors(self._quiet["train"])]
        found = woken_at(sums, self._smoothing, len(self.labels) - 1, self._apart)
        frames = [(piece, step * self.recipe.frames_per_step) for piece, step in found]
        self.hard = torch.unique(torch.cat([self.hard, torch.tensor(frames, dtype=torch.int64).reshape(-1, 2)]), dim=0)

    def woken(self, count: int, rng: np.random.Generator) -> Bank:
        """`count` sequences, each of two cuts around what woke the net; no keyword is in them.

        In noise as all others: what sounds as the negatives were recorded must not be known by that.
        """
        frames, logs = self._validation.log_mel.shape[1], self._quiet["train"]
        half = frames // 2 // self.recipe.frames_per_step * self.recipe.frames_per_step
        pick = self.hard[torch.from_numpy(rng.integers(len(self.hard), size=(count, 2)))].tolist()
        cuts = np.stack([np.concatenate([around(logs[i], at, n) for (i, at), n in zip(two, (half, frames - half), strict=True)])
                         for two in pick])  # fmt: skip
        marks = np.full((count, MOST_MARKS, 3), NONE, np.int32)
        return Bank(self.streams.heard(of_logs(cuts), rng), marks)

    def suspects(self) -> list[Suspect]:
        """Where running speech of train and validation sounds like a keyword."""
        rows = [row for split in ("train", "validation") for row in self._dataset.speech(split)]
        clear = clear_scores(self._said(self._posteriors(self._validation.log_mel)))
        hear = Hearer(self.recipe)

        def posteriors(row: Row) -> NDArray[np.int16]:
            heard: NDArray[np.int16] = self._posteriors(hear(self._dataset.pcm(row))[None])[0]
            return heard

        return suspects(rows, posteriors, self.labels[:-1], clear, self._smoothing, self._apart, self.step_ms)

    # Validation ---------------------------------------------------------------------------

    @property
    def _smoothing(self) -> int:
        return self.recipe.steps(SMOOTHING_MS)

    @property
    def _apart(self) -> int:
        return self.recipe.steps(self.recipe.decision.refractory_ms)

    def validate(self) -> tuple[float]:
        """Misses of the validation's keywords, the mean over JUDGED_AT; the best weights are remembered."""
        said = self._posteriors(self._validation.log_mel)
        quiet = self._posteriors(self._quiet["validation"])
        found = [e.misses(e.threshold(rate)) for e in self._evidence(said, quiet) for rate in JUDGED_AT]
        missed = float(np.mean(found))
        if missed <= self._best_score:
            self._best_score = missed
            self.best = {k: v.detach().cpu().clone() for k, v in self.average.state_dict().items()}
        return (missed,)

    def _evidence(self, said: NDArray[np.int16], quiet: NDArray[np.int16]) -> Iterator[Evidence]:
        n = self._smoothing
        hours = quiet.shape[0] * quiet.shape[1] * self.step_ms / 3.6e6
        for k, highest in enumerate(self._said(said)):
            false = [peaks(smoothed(row, n)[:, k], self._apart, round(FAINT * 32768 * n))[1] for row in quiet]
            yield Evidence(n, highest, np.concatenate(false), hours)

    def _said(self, posteriors: NDArray[np.int16]) -> list[NDArray[np.int64]]:
        """Of each keyword, the highest sums of the validation's sequences with it, in its time."""
        highest: list[list[int]] = [[] for _ in self.labels[:-1]]
        for row, (label, begin, end) in zip(posteriors, self._validation.marks[:, 0], strict=True):
            if label != NONE:
                first, last = int(begin / self.step_ms), int((end + 1000 * LATE_S) / self.step_ms) + 1
                highest[label].append(int(smoothed(row, self._smoothing)[first:last, label].max()))
        return [np.array(h, np.int64) for h in highest]

    def _posteriors(self, logs: NDArray[np.int16]) -> NDArray[np.int16]:
        """Of the averaged net, Q15 [N, steps, labels] of log-energies [N, T, bands], each from reset."""
        out = []
        with torch.no_grad():
            for begin in range(0, len(logs), 64):
                x = normalised(logs[begin : begin + 64], self.mean, self.deviation).to(self.device)
                out.append(to_posteriors(self.average(x)[0].cpu().numpy()))
        return np.concatenate(out)

    def state(self) -> dict[str, Any]:
        """The best weights so far, and what woke the net."""
        return {"best": self.best, "best_score": self._best_score, "hard": self.hard}

    def load(self, state: Mapping[str, Any]) -> None:
        """The opposite."""
        self.best, self._best_score, self.hard = state["best"], state["best_score"], state["hard"].cpu()


def woken_at(sums: list[NDArray[np.int64]], smoothing: int, keywords: int, apart: int) -> list[tuple[int, int]]:
    """(piece, step) of the highest peaks of each keyword in pieces of sums [T, labels], WAKES of each at most."""
    found = []
    for k in range(keywords):
        heights = []
        for piece, s in enumerate(sums):
            at, height = peaks(s[:, k], apart, round(WAKING * 32768 * smoothing))
            heights += [(-h, piece, step) for step, h in zip(at.tolist(), height.tolist(), strict=True)]
        found += [(piece, step) for _, piece, step in sorted(heights)[:WAKES]]
    return found


def around(logs: NDArray[np.int16], at: int, frames: int) -> NDArray[np.int16]:
    """`frames` of logs [T, bands], LEAD of them before frame `at`, moved so that all lie within."""
    first = min(max(0, at - round(LEAD * frames)), len(logs) - frames)
    return logs[first : first + frames]


def joined(a: Bank, b: Bank) -> Bank:
    """Both."""
    return Bank(np.concatenate((a.log_mel, b.log_mel)), np.concatenate((a.marks, b.marks)))


def warped_bands(log_mel: NDArray[np.int16], amount: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Other vocal tracts: the bands of each sequence [N, T, bands] stretched by up to ± `amount`, interpolated."""
    bands = log_mel.shape[2]
    at = np.minimum(np.arange(bands) * (1 + rng.uniform(-amount, amount, (len(log_mel), 1))), bands - 1)
    low = np.minimum(at.astype(int), max(0, bands - 2))
    share = (at - low)[:, None].astype(np.float32)
    rows = np.arange(len(log_mel))[:, None]
    below = log_mel.transpose(0, 2, 1)[rows, low].transpose(0, 2, 1).astype(np.float32)
    above = log_mel.transpose(0, 2, 1)[rows, np.minimum(low + 1, bands - 1)].transpose(0, 2, 1)
    return np.asarray(np.rint(below + share * (above - below)), np.int16)
