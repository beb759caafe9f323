"""The same items in two models: what fails a build, what is chance, and what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_gate import GRAPH, write

from edgernn import gate
from edgernn.errors import EdgernnError
from edgernn.gate import judging, paired
from edgernn.gate.paired import OtherItemsError, compare, mcnemar
from edgernn.outcomes import Events, Heights, Marks, Outcome, Values, outcome_dict, read_outcome, unique
from edgernn.tasks.base import Figure

# Accuracy on 1,046 clips ---------------------------------------------------------------------------

CLIPS = 1046


def wrong(*numbers: int) -> dict[str, str]:
    return {f"clip{i}": "another" for i in numbers}


def run_of(folder: Path, failed: dict[str, str], of: int = CLIPS) -> Path:
    """A run whose int8 model is wrong on these clips."""
    accuracy = 1 - len(failed) / of
    return write(folder, {"simulate-int8": {
        "task": "spot", "name": "demo", "labels": ["left"], "graph": GRAPH, "scheme": "int8", "dataset": "d" * 64,
        "weight_bytes": 3395, "clips": {"split": "test", "agreement": 1.0, "integer": {"accuracy": round(accuracy, 5)}},
        "outcomes": {"int8_accuracy": outcome_dict(Marks({"left": of}, {"left": failed}))},
    }})  # fmt: skip


def verdict(tmp_path: Path, lost: int, won: int, of: int = CLIPS, **base: Any) -> dict[str, Any]:
    """The row of a model that lost and won so many of the clips that 40 were wrong of."""
    before = wrong(*range(40))
    (tmp_path / "b.json").unlink(missing_ok=True)
    path = gate.write_baseline(run_of(tmp_path / "a", before, of), tmp_path / "b.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **base}))
    result = gate.check(run_of(tmp_path / "b", wrong(*range(won, 40), *range(100, 100 + lost)), of), path)
    (row,) = (row for row in result["rows"] if row["metric"] == "int8.int8_accuracy")
    assert gate.exit_code(result) == (0 if row["ok"] else 1)
    return row


def test_12_clips_lost_against_5_won_fail(tmp_path: Path) -> None:
    row = verdict(tmp_path, 12, 5)
    assert row["verdict"] == "worse"
    assert row["paired"] == "12 lost, 5 won of 1046"
    assert row["chance"] == pytest.approx(sum([6188, 2380, 680, 136, 17, 1]) / 2**17, abs=1e-4), "12 to 17 heads of 17 coins"
    assert row["baseline"] - row["value"] == pytest.approx(0.0067, abs=1e-4), "0.7 points"
    assert list(row["lost"]) == [f"clip{i}" for i in range(100, 112)] and row["won"] == [f"clip{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("lost", "won", "found"),
    [(0, 0, "ok"), (0, 40, "ok"), (20, 20, "ok"), (8, 3, "ok"), (5, 0, "ok"), (6, 0, "worse"), (30, 24, "unclear"),
     (11, 5, "unclear"), (60, 20, "worse"), (40, 34, "unclear"), (25, 14, "worse")],
)  # fmt: skip
def test_a_loss_counts_when_it_is_larger_than_the_tolerance_and_than_chance(
    lost: int, won: int, found: str, tmp_path: Path
) -> None:
    row = verdict(tmp_path, lost, won)
    assert (row["verdict"], row["ok"]) == (found, found != "worse")


def test_with_level_1_the_tolerance_alone_decides(tmp_path: Path) -> None:
    assert verdict(tmp_path, 30, 24, level=1)["verdict"] == "worse"
    assert verdict(tmp_path, 28, 24, level=1)["verdict"] == "ok", "0.4 points"
    certain = paired.Pair(0.9, 0.8, 1.0, "one of many classes, whose chance was raised to 1")
    rule = judging._Rule(Figure(+1, 0.05), 0.05, 0.05, 1.0)
    assert rule.verdict(0.9, 0.8, certain) == "worse"
    assert replace(rule, level=0.99).verdict(0.9, 0.8, certain) == "unclear"


def test_a_stricter_level_needs_more(tmp_path: Path) -> None:
    assert verdict(tmp_path, 12, 5, level=0.05)["verdict"] == "unclear"
    assert verdict(tmp_path, 14, 5, level=0.05)["verdict"] == "worse"


def test_noise_fails_few_builds() -> None:
    """A retraining that is as good changes 40 clips at random: no more than the level of them may fail."""
    lost = np.random.default_rng(0).binomial(40, 0.5, 2000)
    failed = [2 * n - 40 > 0.005 * CLIPS and mcnemar(int(n), 40 - int(n)) < 0.1 for n in lost]
    assert 0 < np.mean(failed) < 0.1


def test_another_number_of_clips_cannot_be_told(tmp_path: Path) -> None:
    path = gate.write_baseline(run_of(tmp_path / "a", wrong(1)), tmp_path / "b.json")
    with pytest.raises(EdgernnError, match=r"int8_accuracy was not judged on the same items \(1046 items in the one, 1045"):
        gate.check(run_of(tmp_path / "b", wrong(1), CLIPS - 1), path)


def test_figures_and_items_must_say_the_same(tmp_path: Path) -> None:
    path = gate.write_baseline(run_of(tmp_path / "a", wrong(1)), tmp_path / "b.json")
    base = json.loads(path.read_text())
    path.write_text(json.dumps({**base, "metrics": {**base["metrics"], "int8.int8_accuracy": 0.5}}))
    with pytest.raises(EdgernnError, match=r"says int8.int8_accuracy = 0.5, item by item it says 0.999"):
        gate.check(tmp_path / "a", path)
    values = json.loads((tmp_path / "a" / "simulate-int8.json").read_text())
    values["clips"]["integer"]["accuracy"] = 0.5
    write(tmp_path / "a", {"simulate-int8": values})
    with pytest.raises(EdgernnError, match=r"int8_accuracy = 0.5, item by item it is 0.999"):
        gate.collect(tmp_path / "a")


def test_a_test_set_that_is_made_anew_is_the_same_when_its_items_are(tmp_path: Path) -> None:
    """context = any: another dataset may stand in its place, other items may not."""
    path = gate.write_baseline(run_of(tmp_path / "a", wrong(1)), tmp_path / "b.json", any_data=True)
    assert json.loads(path.read_text())["context"] == {"int8.test_set": "any"}
    values = json.loads((run_of(tmp_path / "b", wrong(1)) / "simulate-int8.json").read_text())
    write(tmp_path / "b", {"simulate-int8": {**values, "dataset": "e" * 64}})
    assert gate.exit_code(gate.check(tmp_path / "b", path)) == 0
    gate.write_baseline(tmp_path / "b", path, why="spoken anew")
    assert json.loads(path.read_text())["context"] == {"int8.test_set": "any"}, "it stays so when it is written anew"
    with pytest.raises(EdgernnError, match="not judged on the same items"):
        gate.check(run_of(tmp_path / "c", wrong(1), CLIPS - 1), path)


# Statistics ---------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "won", "chance"), [(0, 0, 1.0), (0, 9, 1.0), (1, 0, 0.5), (4, 0, 1 / 16), (2, 1, 0.5)])
def test_mcnemar_counts_coins(lost: int, won: int, chance: float) -> None:
    assert mcnemar(lost, won) == pytest.approx(chance)


def test_classes_are_judged_together() -> None:
    """One class of ten that lost four clips is no proof: one of ten is easily unlucky; one that lost nine is."""
    groups = {f"g{i}": 50 for i in range(10)}

    def chance(lost: int) -> float:
        now = Marks(groups, {"g3": {f"c{i}": "x" for i in range(lost)}})
        return compare(Marks(groups, {}), now, +1)["g3"].chance

    assert mcnemar(4, 0) < 0.1 < chance(4)
    assert chance(9) < 0.1
    found = compare(Marks(groups, {}), Marks(groups, {"g3": {"c": "x"}}), +1)
    assert (found["g3"].before, found["g3"].now, found["g4"].now) == (1.0, 0.98, 1.0)
    assert found[""].says == "1 lost, 0 won of 500"
    assert compare(Marks(groups, {}), Marks(groups, {"g3": {"c": "x"}}), -1)["g3"].now == 0.02, "misses are shares that failed"


def values(*numbers: float, weights: float = 1) -> Values:
    return Values({f"m{i}": (x, weights) for i, x in enumerate(numbers)})


def test_numbers_are_compared_by_a_paired_bootstrap() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(2.0, 0.5, 50)
    noise = rng.normal(0, 0.05, 50)
    noise -= noise.mean()
    small, large = ((before + noise - loss).tolist() for loss in (0.0, 0.05))
    old = values(*before.tolist())
    assert compare(old, values(*small), +1)[""].chance > 0.3, "as many mixtures got better as worse"
    lost = compare(old, values(*large), +1)[""]
    assert lost.chance < 0.01, "a loss a tenth as large as mixtures differ from each other, but on the same mixtures"
    assert lost.now - lost.before == pytest.approx(-0.05)
    assert compare(old, values(*large), -1)[""].chance > 0.99, "where less is better nothing is lost"
    assert compare(old, old, +1)[""].chance == 1.0
    assert compare(old, values(*(before - 0.1).tolist()), +1)[""].chance < 0.01, "all of them lost the same"
    assert compare(old, values(*large), +1) == compare(old, values(*large), +1), "the same answer every time"


def test_weights_count() -> None:
    before, now = Values({"a": (0.1, 90), "b": (0.5, 10)}), Values({"a": (0.2, 90), "b": (0.1, 10)})
    pair = compare(before, now, -1)[""]
    assert (pair.before, pair.now) == (pytest.approx(0.14), pytest.approx(0.19))
    assert (dict(pair.lost), list(pair.won)) == ({"a": "0.1 to 0.2"}, ["b"])
    with pytest.raises(OtherItemsError, match="other weights"):
        compare(before, Values({"a": (0.2, 90), "b": (0.1, 11)}), -1)
    with pytest.raises(OtherItemsError):
        compare(before, Values({"a": (0.2, 90), "c": (0.1, 10)}), -1)


def events(*times: float, hours: float = 2.0) -> Events:
    return Events(hours, {"stop": sorted(times), "go": []})


@pytest.mark.parametrize("count", [4, 8, 50])
def test_false_accepts_doubled_fail(count: int, tmp_path: Path) -> None:
    """Those that were there and as many new ones."""
    old = [100.0 * i for i in range(count)]
    rows = heard(tmp_path, old, [*old, *(x + 50 for x in old)])
    assert rows["int8.false_accepts_per_hour"]["verdict"] == "worse"
    assert rows["int8.false_accepts_per_hour"]["baseline"] * 2 == rows["int8.false_accepts_per_hour"]["value"]
    assert f"{count} new, 0 gone" in rows["int8.false_accepts_per_hour"]["paired"]
    assert "stop at 50 s" in rows["int8.false_accepts_per_hour"]["lost"]


def heard(tmp_path: Path, before: list[float], now: list[float]) -> dict[str, dict[str, Any]]:
    """Rows by metric of two runs with these false accepts."""
    runs = []
    for name, times in (("a", before), ("b", now)):
        run = run_of(tmp_path / name, {})
        path = run / "simulate-int8.json"
        found = json.loads(path.read_text())
        found["outcomes"]["false_accepts_per_hour"] = outcome_dict(events(*times))
        path.write_text(json.dumps(found))
        runs.append(run)
    result = gate.check(runs[1], gate.write_baseline(runs[0], tmp_path / "b.json"))
    return {row["metric"]: row for row in result["rows"]}


def test_a_few_more_false_accepts_are_chance(tmp_path: Path) -> None:
    assert heard(tmp_path, [10.0, 20.0], [10.5, 30.0, 40.0])["int8.false_accepts_per_hour"]["verdict"] == "unclear"
    (tmp_path / "b.json").unlink()
    assert heard(tmp_path, [10.0, 20.0], [10.5, 20.9])["int8.false_accepts_per_hour"]["verdict"] == "ok", "the same ones"


def test_events_meet_one_partner_each() -> None:
    pair = compare(events(1.0, 1.5, 9.0), events(1.2, 20.0, 21.5), -1)
    assert (dict(pair["stop"].lost), list(pair["stop"].won)) == (
        {"stop at 20 s": "new", "stop at 21.5 s": "new"}, ["stop at 1.5 s", "stop at 9 s"]
    )  # fmt: skip
    assert (pair["stop"].before, pair["stop"].now, pair["go"].now) == (1.5, 1.5, 0.0)
    assert not compare(events(1.0, 5.0), events(0.2, 5.9), -1)["stop"].lost, "a little earlier or later is the same event"
    with pytest.raises(OtherItemsError, match="2 hours in the one, 3 in the other"):
        compare(events(1.0), events(1.0, hours=3.0), -1)


def heights(said: list[int], peaks: list[int], threshold: int = 500, least: int = 100) -> Heights:
    return Heights(2.0, {"stop": threshold}, {"stop": {f"c{i}": x for i, x in enumerate(said)}}, {"stop": peaks}, least)


def test_misses_are_compared_at_the_baselines_rate() -> None:
    """The old model wakes once in two hours. The new one, whose scores are 200 higher, does so at a threshold 200 higher."""
    old = heights([900, 800, 600, 300], [550, 400, 390])
    pair = compare(old, heights([1100, 1000, 800, 500], [750, 600, 590], threshold=500), -1)[""]
    assert (pair.before, pair.now, pair.chance) == (0.25, 0.25, 1.0)
    assert "at 0.5 false accepts an hour" in compare(
        Heights(2.0, {"a": 500, "b": 500}, {"a": {"x": 1}, "b": {"y": 1}}, {"a": [600], "b": []}, 1),
        Heights(2.0, {"a": 500, "b": 500}, {"a": {"x": 1}, "b": {"y": 1}}, {"a": [600], "b": []}, 1), -1)["a"].says  # fmt: skip
    louder = compare(old, heights([900, 800, 600, 300], [950, 850, 800]), -1)[""]
    assert louder.now == 0.75, "to wake no more often its threshold would lie at 851"
    assert louder.lost == {"c1": "800 of 851", "c2": "600 of 851"}
    with pytest.raises(OtherItemsError, match="other items should fire"):
        compare(old, heights([900, 800, 600], [550]), -1)


def test_a_threshold_below_the_least_is_not_meant() -> None:
    assert heights([1], []).threshold_at("stop", 5.0) == 100
    assert heights([1], [300, 200], least=250).threshold_at("stop", 0.5) == 250
    assert heights([1], [300, 200], least=150).threshold_at("stop", 0.5) == 201


def test_other_kinds_cannot_be_compared() -> None:
    with pytest.raises(OtherItemsError, match="values in the one, marks in the other"):
        compare(values(1.0), Marks({"a": 1}, {}), +1)


# Outcomes as files keep them ---------------------------------------------------------------------------

ONES: list[Outcome] = [Marks({"a": 3, "b": 0}, {"a": {"x": "y"}}), values(1.0, 2.5), events(1.0), heights([1], [2])]


@pytest.mark.parametrize("outcome", ONES, ids=lambda x: type(x).__name__)
def test_an_outcome_comes_back_from_json(outcome: Outcome) -> None:
    again = read_outcome(json.loads(json.dumps(outcome_dict(outcome))))
    assert type(again) is type(outcome) and again.shares() == outcome.shares()


WRONG: list[Any] = [
    None, [], "marks", {}, {"kind": "guess"}, {"kind": "marks"}, {"kind": "marks", "of": {}, "failed": {}},
    {"kind": "marks", "of": {"a": 0}, "failed": {}}, {"kind": "marks", "of": {"a": 1}, "failed": {"b": {}}},
    {"kind": "marks", "of": {"a": 1}, "failed": {"a": {"x": "", "y": ""}}}, {"kind": "marks", "of": {"a": 1.5}, "failed": {}},
    {"kind": "marks", "of": {"a": 1}, "failed": {"a": {"x": 5}}}, {"kind": "marks", "of": {"a": 1}, "failed": {}, "more": 1},
    {"kind": "values", "items": {}}, {"kind": "values", "items": {"a": [1]}},
    {"kind": "values", "items": {"a": [float("nan"), 1]}},
    {"kind": "values", "items": {"a": [1, -1]}}, {"kind": "values", "items": {"a": [1, 0]}}, {"kind": "values", "items": [1]},
    {"kind": "values", "items": {"a": [10**400, 1]}}, {"kind": "events", "hours": 0, "times": {}},
    {"kind": "events", "hours": 1, "times": {"a": ["b"]}}, {"kind": "events", "hours": 1, "times": {"a": 5}},
    {**outcome_dict(heights([1], [2])), "said": {}}, {**outcome_dict(heights([1], [2])), "said": {"stop": {}}},
    {**outcome_dict(heights([1], [2])), "peaks": {"stop": [1.5]}}, {**outcome_dict(heights([1], [2])), "thresholds": []},
    {**outcome_dict(heights([1], [2])), "least": None},
]  # fmt: skip


@pytest.mark.parametrize("values", WRONG, ids=repr)
def test_a_damaged_outcome_is_refused(values: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever it says: the reader says where
        read_outcome(values)


def test_items_of_one_name_are_told_apart() -> None:
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]


def test_nothing_is_loaded_for_what_did_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """SciPy takes a second: a check of a rerun does without it."""
    monkeypatch.setitem(__import__("sys").modules, "scipy.stats", None)
    same = Marks({"a": 5, "b": 5}, {"a": {"x": "y"}})
    assert compare(same, same, +1)["a"].chance == 1.0
    assert compare(events(1.0), events(1.0), -1)[""].chance == 1.0
    assert paired.bootstrap(np.zeros(5), np.ones(5)) == 1.0
