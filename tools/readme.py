"""Write the figures of README.md and docs/ from docs/results/*.

python tools/readme.py          fill the blocks between <!-- name --> and <!-- /name -->
python tools/readme.py --check  exit 1 if a page differs from what it should be
python tools/readme.py --demo   run the demos first and keep what they print
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from edgernn.tasks.spot.scoring import paired_interval
from edgernn.zoo import all_cards

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MISSED = ("missed at 1 an hour a word, clean / 10 dB, %", "at 10", "at the net's thresholds", "in running speech",
          "false accepts an hour then, all words (95 %)")  # fmt: skip
COMPARED = ("wake (GRU-80)", "wake-taught (")  #: the looks that stand beside other engines
NETS = {"sc12-40k": "GRU-72", "sc12-20k": "GRU-47", "sc12-20k-lstm": "LSTM-39", "sc12-20k-rnn": "RNN-92 (tanh)"}


#: of the demos, as the Makefile has them
RECIPES = {"demo": "demo", "demo-denoise": "dn-demo", "demo-vad": "vad-demo"}


def keep_demo() -> None:
    """Run the commands of `make demo`, `make demo-denoise` and `make demo-vad` and keep their tables."""
    for verb, name in (("kws", "demo"), ("denoise-train", "demo-denoise"), ("vad-train", "demo-vad")):
        command = [sys.executable, "-m", "edgernn", verb, "--recipe", RECIPES[name], "--out", f"run/{name}"]
        text = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
        (RESULTS / f"{name}.txt").write_text(text, encoding="utf-8")


# Tables ---------------------------------------------------------------------------


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def percent(x: float) -> str:
    return f"{100 * x:.2f} %"


def thousands(x: float) -> str:
    return f"{x:,.0f}"


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def results(name: str = "kws") -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def runs_of(recipe: str) -> list[dict[str, Any]]:
    return [run for run in results()["runs"] if run["recipe"] == recipe]


def column(recipe: str, scheme: str, pick: Callable[[dict[str, Any]], float]) -> list[float]:
    return [pick(run["schemes"][scheme]) for run in runs_of(recipe)]


def interval(recipe: str, scheme: str, a: str, b: str) -> str:
    """Mean of a - b over the seeds in points, with its 95 % interval."""
    differences = [100 * (x - y) for x, y in zip(
        column(recipe, scheme, lambda s: s[a]), column(recipe, scheme, lambda s: s[b]), strict=True)]  # fmt: skip
    middle, low, high = paired_interval(differences)
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"


# Blocks ---------------------------------------------------------------------------


def wake() -> str:
    """Every look at the wake-word test, the means of the words; then the means of what was trained with several seeds."""
    rows, seeds = [], dict[str, list[Any]]()
    for x in results("wake")["looks"]:
        per_hour = "{} ({} to {})".format(*x["per_hour_all_words"])
        rows.append([x["date"], x["name"], x["trained_on"], thousands(x["weight_bytes"]), *_missed([x]), per_hour])
        seeds.setdefault(x["name"].partition(", seed")[0], []).append(x)
    for name, looks in seeds.items():
        if len(looks) > 1:
            per_hour = f"{mean([x['per_hour_all_words'][0] for x in looks]):.2f}"
            rows.append(["", f"{name}, mean of {len(looks)} seeds", "", "", *_missed(looks), per_hour])
    return table(["date", "net", "trained on", "bytes of weights", *MISSED], rows)


def wake_trials() -> str:
    """What was judged without a look at the test."""
    rows = [
        [x["date"], x["name"], x["trained_on"], *_missed([x]), "{} ({} to {})".format(*x["per_hour_all_words"])]
        for x in results("wake")["trials"]
    ]
    return table(["date", "recipe", "trained on", *MISSED], rows)


def embedded() -> str:
    """Two sentences about recipes that need no recordings."""
    last = {x["name"].partition(",")[0]: x for x in results("wake")["trials"]}
    chosen = [last[name] for name in ("embedded", "demo")]
    *words, word = last["embedded"]["thresholds"]
    said = last["embedded"]["clean"][word]["said"]
    missed, missed_by_demo = (f"{100 * x['clean']['mean']['at 1 an hour']:.0f} %" for x in chosen)
    rate, rate_of_demo = (f"{x['per_hour_all_words'][0]:.0f}" for x in chosen)
    text = (
        f"Of {said} recordings each of real people's *{'*, *'.join(words)}* and *{word}* it missed {missed} at one false "
        f"accept an hour a word, the demo's recipe {missed_by_demo}; at their thresholds all words woke {rate} and "
        f"{rate_of_demo} times an hour. With recorded speech and noise less "
        "([docs/keyword-spotting.md](docs/keyword-spotting.md))."
    )
    return textwrap.fill(text, 128)


def wake_model() -> str:
    """What the wake-word model that comes along does on the test: the look at its very graph."""
    card = next(card for card in all_cards() if card.name == "wake")
    look = next(x for x in results("wake")["looks"] if x["graph"] == card.graph["id"])
    streams = ("clean", "noise 10 dB", "in speech")
    rows = [
        [word, *(f"{100 * look[name][word]['at the threshold']:.0f} %" for name in streams),
         f"{look['false_accepts'][word]} in {look['hours']:g} h"]
        for word in look["thresholds"]
    ]  # fmt: skip
    per_hour = "{:g} an hour ({:g} to {:g})".format(*look["per_hour_all_words"])
    text = table(["missed", "clean", "noise at 10 dB", "inside running speech", "false accepts"], rows)
    return f"{look['date']}, at the thresholds that it comes with, which let {per_hour} pass, all words:\n\n{text}"


def _missed(looks: Sequence[Any]) -> list[str]:
    """Percent, clean / at 10 dB for two rates and at the thresholds, then in running speech; means of the looks."""

    def of(stream: str, at: str) -> float:
        return 100 * mean([x[stream]["mean"][at] for x in looks])

    rates = ("at 1 an hour", "at 10 an hour", "at the threshold")
    pairs = [f"{of('clean', at):.1f} / {of('noise 10 dB', at):.1f}" for at in rates]
    return [*pairs, f"{of('in speech', 'at the threshold'):.1f}"]


def wake_peers() -> str:
    """Other engines and what this was compared with, for the one word that both know."""
    rows, streams, rates = [], ("clean", "noise 10 dB", "in speech"), ("at 1 an hour", "at 10 an hour", "at the threshold")
    found = results("wake")
    for p in found["peers"]:
        figures = [" / ".join(f"{100 * p[name][at]:.1f}" for name in streams) for at in rates]
        rows.append([p["name"], *figures, "{} ({} to {})".format(*p["per_hour"])])
    word = found["peers"][0]["word"]
    for x in found["looks"]:
        if word not in x["clean"] or not x["name"].startswith(COMPARED):
            continue
        figures = [" / ".join(f"{100 * x[name][word][at]:.1f}" for name in streams) for at in rates]
        rows.append([x["name"], *figures, f"{x['false_accepts'][word] / x['hours']:.2f}"])
    heads = ["engine, alexa alone", "missed at 1 an hour, clean / 10 dB / in speech, %", "at 10", "at its threshold",
             "false accepts an hour then (95 %)"]  # fmt: skip
    return table(heads, rows)


def front() -> str:
    """Wake words alone and behind a denoiser, mean of the spotters."""
    found, rows = results("front"), []
    streams = {"clean": "clean", "noise 10 dB": "10 dB", "noise 0 dB": "0 dB"}
    for how in found["spotters"][0]:
        figures = [" / ".join(f"{100 * mean([x[how][name][at] for x in found['spotters']]):.1f}" for name in streams)
                   for at in ("at 1 an hour", "at 10 an hour", "at the threshold")]  # fmt: skip
        rows.append([f"the {len(found['spotters'])} seeds of `wake`, {how}", *figures])
    heads = ["", f"missed at 1 an hour a word, {' / '.join(streams.values())}, %", "at 10", "at the nets' thresholds"]
    return f"{found['date']}:\n\n{table(heads, rows)}"


def demo() -> str:
    return f"```\n{(RESULTS / 'demo.txt').read_text(encoding='utf-8').rstrip()}\n```"


def kws() -> str:
    """The README's table: accuracy and size, mean of the seeds."""
    rows = []
    for recipe, net in NETS.items():
        first = runs_of(recipe)[0]["schemes"]["int8x16"]
        rows.append([
            net, thousands(first["weight_bytes"]), percent(mean(column(recipe, "int8x16", lambda s: s["float"]))),
            *(percent(mean(column(recipe, scheme, lambda s: s["integer"]))) for scheme in ("int8x16", "int8")),
            percent(mean(column(recipe, "int8x16", lambda s: s["embedded"]))),
        ])  # fmt: skip
    r, spoken = results(), results()["voices"]
    alone, helped = (percent(spoken[name]["keyword_accuracy"]) for name in ("sc10-voices", "sc10-voices-and-20"))
    text = table(["net", "weights, bytes", "float", "int8x16", "int8", "int8x16, one stream without reset"], rows)
    missed = mean(column("sc12-20k", "int8x16", lambda s: s["spotting"]["480"]["chosen"]["frr"]))
    return (
        f"Twelve classes (ten words, unknown, silence), {r['clips']:,} real test clips, mean of three trainings, "
        f"{r['date']}:\n\n{text}\n\n"
        f"The same ten words learnt from espeak-ng's voices alone are recognised in {alone} of "
        f"{spoken['sc10-voices']['keyword_clips']} real recordings; with twenty recordings of each word added to the "
        f"training, in {helped}. Synthetic voices are a start; record your own.\n\n"
        f"In noise of 5 to 25 dB SNR, with thresholds set for at most two false accepts an hour, GRU-47 still "
        f"misses {percent(missed)} of the keywords: one-second words from a few hundred speakers do not make a robust "
        f"spotter. [The whole report](docs/keyword-spotting.md)."
    )


def clips() -> str:
    """Every run, every figure over clips."""
    rows = []
    for run in results()["runs"]:
        for scheme, s in run["schemes"].items():
            silence, rare = s["silence"]["taken_for_keyword"], results()["rare"][f"{run['recipe']}-s{run['seed']}"]
            rows.append([
                run["recipe"], run["seed"], scheme, percent(s["float"]), percent(s["integer"]), percent(s["agreement"]),
                percent(s["embedded"]), f"{silence['float']}, {silence['integer']} of {s['silence']['cuts']}",
                f"{rare['rejected']} of {rare['clips']}" if scheme == "int8x16" else "",
            ])  # fmt: skip
    return table(["recipe", "seed", "scheme", "float", "int8", "agreement", "one stream", "silence as keyword: float, int8",
                  "rare words rejected"], rows)  # fmt: skip


def intervals() -> str:
    """Differences between float and integer, and between stream and clips, paired by seed."""
    rows = [
        [NETS[recipe], scheme, interval(recipe, scheme, "integer", "float"), interval(recipe, scheme, "embedded", "integer")]
        for recipe in NETS
        for scheme in ("int8x16", "int8")
    ]
    return table(["net", "scheme", "int8 - float, points", "one stream - reset for each clip, points"], rows)


def sizes() -> str:
    """Constant bytes and work."""
    rows = []
    for recipe, net in NETS.items():
        s = runs_of(recipe)[0]["schemes"]["int8x16"]
        rows.append([net, thousands(s["weight_bytes"]), thousands(s["table_bytes"]), thousands(s["macs_per_step"]),
                     s["steps_per_second"]])  # fmt: skip
    return table(["net", "weights, bytes", "front end's tables, bytes", "MACs a step", "steps a second"], rows)


def spotting() -> str:
    """False rejects at no more than two false accepts an hour."""
    rows = [
        _spotted(run, scheme, smoothing, curve["chosen"])
        for run in results()["runs"]
        for scheme, s in run["schemes"].items()
        for smoothing, curve in s["spotting"].items()
    ]
    columns = ["recipe", "seed", "scheme", "smoothing, ms", "threshold", "false rejects", "false accepts", "an hour (95 %)"]
    return table(columns, rows)


def streams() -> str:
    """Nets that listen without end: misses and false accepts at thresholds of the validation split, and at the test's own."""
    rows, found = [], results("streams")
    for run in found["runs"]:
        for scheme, x in run["schemes"].items():
            judged = [_heard(x[key]) for key in ("validation", "test", "by_the_test_itself")]
            rows.append([run["name"], scheme, thousands(x["weight_bytes"]), x["smoothing_ms"], *itertools.chain(*judged)])
    heads = ["training", "scheme", "weights, bytes", "smoothing, ms", "missed on validation", "false accepts an hour there",
             "missed on test", "false accepts an hour there (95 %)", "missed, thresholds of test", "then an hour"]  # fmt: skip
    return f"{found['date']}:\n\n{table(heads, rows)}"


def _heard(x: dict[str, Any]) -> tuple[str, str]:
    middle, low, high = x["per_hour"]
    return f"{percent(x['missed'])} of {x['keywords']}", f"{middle} ({low} to {high})"


def _spotted(run: dict[str, Any], scheme: str, smoothing: str, c: dict[str, Any]) -> list[Any]:
    low, high = c["fa_per_hour_95"]
    return [run["recipe"], run["seed"], scheme, smoothing, c["threshold"], f"{percent(c['frr'])} of {c['keywords']}",
            f"{c['false_accepts']} in {c['hours']} h", f"{c['fa_per_hour']} ({low} to {high})"]  # fmt: skip


def boards() -> str:
    """Cost on emulated cores."""
    rows = []
    for recipe, figures in results()["boards"].items():
        for board, b in figures.items():
            if board != "host":
                rows.append([NETS[recipe], board, b["cpu"], thousands(b["flash_bytes"]), thousands(b["ram_bytes"]),
                             thousands(b["stack_bytes"]), f"{b['instructions_per_second'] / 1e6:.2f} M",
                             f"{b['bits_differing']} in {b['steps']} steps"])  # fmt: skip
    text = table(["net", "board", "core", "flash", "RAM", "stack", "instructions a second of audio", "bits differing"], rows)
    speeds = ", ".join(f"{NETS[r]} {f['host']['real_time_factor_c']:,.0f} times" for r, f in results()["boards"].items())
    return f"{text}\n\nOn the PC that made these figures, one thread, from samples to posteriors in C: {speeds} real time."


def emulated_bits() -> str:
    """Every task and scheme on every emulated board."""
    found = results("boards")
    rows = [
        [r["board"], r["cpu"], r["task"], r["scheme"], r["emulator"].split()[0], f"{r['bits_differing']} of {r['entries']:,}",
         thousands(r["flash_bytes"]), thousands(r["ram_bytes"]), thousands(r["state_bytes"]), thousands(r["stack_bytes"]),
         thousands(r["instructions_per_step"])]
        for r in found["rows"]
    ]  # fmt: skip
    first = found["rows"][0]
    columns = ["board", "core", "task", "scheme", "by", "entries differing", "flash", "RAM", "state", "stack",
               "instructions a step"]  # fmt: skip
    return f"{found['date']}, {first['steps']} steps each, {first['optimize']}; bytes:\n\n{table(columns, rows)}"


def harder() -> str:
    """Teachers, a word left out, synthetic voices."""
    r = results()
    bed = r["nobed"]
    rows = [
        *([f"teacher, GRU-128, seed {i}", f"{percent(t['float'])} float, {percent(t['integer'])} int8x16"]
          for i, t in enumerate(r["teachers"])),
        ["no clip of *bed* trained (GRU-47, no teacher)",
         f"{bed['rejected']} of {bed['clips']} clips of *bed* rejected; {percent(bed['accuracy'])} of all clips right"],
        *([f"{name} ({v['train_clips']:,} training clips)",
           f"{percent(v['keyword_accuracy'])} of {v['keyword_clips']} real keyword clips, "
           f"{percent(v['integer'])} of all {v['clips']:,} (float {percent(v['float'])})"]
          for name, v in r["voices"].items()),
    ]  # fmt: skip
    return table(["trained on", "test clips"], rows)


def runtimes() -> str:
    """Every runtime on the keyword net."""
    rows = [
        [name, scheme, percent(r["accuracy"]), f"{r['differing']} of {r['entries']:,}", r["events_differing"], r["us_per_step"],
         thousands(r["file_bytes"]) if r["file_bytes"] else "", thousands(r["arena_bytes"]) if r["arena_bytes"] else ""]
        for scheme, found in results("runtimes")["schemes"].items() for name, r in found.items()
    ]  # fmt: skip
    columns = ["runtime", "scheme", "accuracy", "entries differing", "events differing", "µs a step", "file", "arena"]
    return table(columns, rows)


def converter() -> str:
    """TensorFlow's own converter."""
    rows = []
    for r in results("tf")["rows"]:
        if "error" in r:
            rows.append([r["model"], r["error"].replace("|", "/"), "", "", "", ""])
            continue
        total, kinds = sum(r["operators"].values()), len(r["operators"])
        failed = dict.fromkeys(r.get("failed", {}), "fails")
        accuracy = {name: percent(x) for name, x in r["accuracy"].items()} | failed
        differing = {name: percent(x) for name, x in r["differing_from_first"].items()}
        rows.append(
            [r["model"], thousands(r["bytes"]), f"{total} ({kinds} kinds)", _listed(accuracy), _listed(differing), r["tflm"]]
        )
    return table(["model", "bytes", "operators", "accuracy", "differing", "TFLM"], rows)


def _listed(values: dict[str, str]) -> str:
    return "<br>".join(f"{name} {value}" for name, value in values.items())


# Denoising ---------------------------------------------------------------------------

SCORES = {"pesq": "PESQ", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR, dB", "dnsmos": "DNSMOS", "p808": "P.808"}
AGAINST_FLOAT = ("pesq", "stoi", "estoi", "si_sdr")


def scored(scores: dict[str, float]) -> list[str]:
    mos = [f"{scores[m]:.2f}" if m in scores else "" for m in ("dnsmos", "p808")]
    return [f"{scores['pesq']:.3f}", f"{scores['stoi']:.3f}", f"{scores['estoi']:.3f}", f"{scores['si_sdr']:.2f}", *mos]


def judged_on(dates: dict[str, str]) -> str:
    """ "2026-11-25, dn-small 2026-11-28": when; the recipes whose date is another."""
    most = max(sorted(dates.values()), key=list(dates.values()).count)
    return ", ".join([most, *(f"{name} {date}" for name, date in sorted(dates.items()) if date != most)])


def denoisers() -> list[tuple[str, str, dict[str, Any]]]:
    """(recipe, scheme, what it costs) of every denoiser measured."""
    return [(r, s, c) for r, cost in results("denoise")["cost"].items() for s, c in cost["schemes"].items()]


def denoised() -> str:
    """Every system over all mixtures."""
    q = results("denoise")["quality"]
    weights = {f"{r}, {s}": thousands(c["weight_bytes"]) for r, s, c in denoisers()}
    work = {f"{r}, {s}": f"{c['mmacs_per_second']:.1f}" for r, s, c in denoisers()}
    rows = [[name, weights.get(name, ""), work.get(name, ""), *scored(s)] for name, s in q["mean"].items()]
    text = table(["system", "weights, bytes", "million MACs a second", *SCORES.values()], rows)
    return f"{q['mixtures']} mixtures, {judged_on(results('denoise')['dates'])}:\n\n{text}"


def denoised_validation() -> str:
    """Float nets and peers on mixtures of the validation split, which choices are made by."""
    found = results("denoise-validation")
    rows = [[name, *scored(s), s["pauses_db"]] for name, s in found["mean"].items()]
    text = table(["float", *SCORES.values(), "in pauses, dB"], rows)
    return f"{found['mixtures']} mixtures of the validation split, {judged_on(found['dates'])}:\n\n{text}"


def denoised_snr() -> str:
    """PESQ, STOI and SI-SDR at each SNR."""
    q = results("denoise")["quality"]["by_snr"]
    snrs = sorted(q, key=float)
    rows = [[name, *(f"{s['pesq']:.2f}, {s['stoi']:.3f}, {s['si_sdr']:.1f}" for s in (q[snr][name] for snr in snrs))]
            for name in q[snrs[0]]]  # fmt: skip
    return table(["PESQ, STOI, SI-SDR", *(f"{snr} dB" for snr in snrs)], rows)


def denoised_int8() -> str:
    """Integer minus float, file by file."""
    gaps = results("denoise")["quality"]["integer_minus_float"]
    rows = [
        [name, *(f"{g[m]['mean']:+.4f} (largest {g[m]['largest']:.3f})" for m in AGAINST_FLOAT)] for name, g in gaps.items()
    ]
    return table(["int8 - float", *(SCORES[m] for m in AGAINST_FLOAT)], rows)


def denoised_cost() -> str:
    """Flash, RAM and instructions on each emulated core."""
    rows = [
        [recipe, scheme, board, b["cpu"], thousands(b["flash_bytes"]), thousands(b["ram_bytes"]), thousands(b["stack_bytes"]),
         f"{b['instructions_per_second'] / 1e6:.1f} M", f"{b['bits_differing']} of {b['entries']:,}", b["files"] or ""]
        for recipe, scheme, c in denoisers() for board, b in c["boards"].items()
    ]  # fmt: skip
    columns = ["recipe", "scheme", "board", "core", "flash", "RAM", "stack", "instructions a second", "entries differing",
               "in whole files"]  # fmt: skip
    text = table(columns, rows)
    speeds = ", ".join(f"{r} ({s}) {c['real_time_factor']:.0f} times" for r, s, c in denoisers())
    nets = [_bits(recipe, scheme, c["bits"]) for recipe, scheme, c in denoisers()]
    sizes = (".tflite", ".onnx", "TFLM arena")
    bits = table(["recipe", "scheme", "samples differing, NumPy and C", "entries of the net differing from C", *sizes], nets)
    return f"{text}\n\nOn the PC that made these figures, one core, sound in memory to sound, C: {speeds} real time.\n\n{bits}"


def _bits(recipe: str, scheme: str, b: dict[str, Any]) -> list[Any]:
    wrong = ", ".join(f"{name} {n}" for name, n in b["net_differing"].items())
    samples = f"{b['samples_differing']} of {b['samples']:,}"
    sizes = [thousands(x) for x in (b["file_bytes"]["tflm"], b["file_bytes"]["onnx"], b["arena_bytes"])]
    return [recipe, scheme, samples, f"{wrong} in {b['steps']:,} steps", *sizes]


def denoised_drift() -> str:
    """Half an hour without a reset."""
    rows = []
    for recipe, scheme, c in denoisers():
        d = c["drift"]
        figures = [f"{d['seconds']:.0f}", f"{d['repeat_snr_db']:.1f}", f"{d['growth_db']:.4f}", d["change"], f"{d['jump']:.2f}"]
        rows.append([recipe, scheme, *figures, d["silence"]])
    columns = ["recipe", "scheme", "seconds", "a minute repeated: SNR against its second time, dB", "its level differs by, dB",
               "a sample differs by, of 32768", "largest step between samples, of the input's",
               "largest sample in the silence after it"]  # fmt: skip
    return table(columns, rows)


def denoised_pauses() -> str:
    """What is left where nobody speaks, band by band."""
    r = results("pauses")
    edges = [f"{f / 1000:g}" for f in r["bands_hz"]]
    columns = ["dB below the speech", "in all", *(f"{a} to {b} kHz" for a, b in itertools.pairwise(edges))]
    rows = [[name, *(f"{x:.1f}" for x in levels)] for name, levels in sorted(r["level_db"].items())]
    return f"{r['mixtures']} mixtures with at least 0.1 s of pauses, {judged_on(r['dates'])}:\n\n{table(columns, rows)}"


def dn() -> str:
    """The README's table."""
    q = results("denoise")["quality"]
    chosen = [name for name in q["mean"] if ", " not in name or name.endswith("int8x16")]
    weights = {f"{r}, {s}": thousands(c["weight_bytes"]) for r, s, c in denoisers()}
    rows = [[name, weights.get(name, ""), *scored(q["mean"][name])] for name in chosen]
    text = table(["system", "weights, bytes", *SCORES.values()], rows)
    heard = "speakers and kinds of noise unheard in training"
    return f"{q['mixtures']} mixtures at -5 to 15 dB, {heard}, {judged_on(results('denoise')['dates'])}:\n\n{text}"


def demo_denoise() -> str:
    return f"```\n{(RESULTS / 'demo-denoise.txt').read_text(encoding='utf-8').rstrip()}\n```"


def demo_vad() -> str:
    return f"```\n{(RESULTS / 'demo-vad.txt').read_text(encoding='utf-8').rstrip()}\n```"


def vad() -> str:
    """Every detector on the same mixtures: AUC, misses and noise alone at 5 % false alarms."""
    r = results("vad")
    rows = [
        [
            name, thousands(s["weight_bytes"]) if "weight_bytes" in s else "", f"{s['auc']:.4f}",
            *(percent(s["at_5_percent_false_alarms"][k]) for k in ("misses", "noise_alone")),
        ]
        for name, s in sorted(r["systems"].items())
    ]  # fmt: skip
    columns = ["detector", "weights, bytes", "AUC", "speech missed at 5 % false alarms", "noise alone taken for speech there"]
    about = f"{r['mixtures']} mixtures at -5 to 15 dB, speakers and kinds of noise unheard in training, {r['date']}:"
    return f"{about}\n\n{table(columns, rows)}"


def vad_snr() -> str:
    """AUC by SNR."""
    systems = results("vad")["systems"]
    snrs = sorted(next(iter(systems.values()))["auc_by_snr"], key=float)
    rows = [[name, *(f"{s['auc_by_snr'][snr]:.4f}" for snr in snrs)] for name, s in sorted(systems.items())]
    return table(["AUC", *(f"{snr} dB" for snr in snrs)], rows)


def vad_decision() -> str:
    """What each detector's own decision does."""
    rows = []
    for name, s in sorted(results("vad")["systems"].items()):
        onset, fast = s["onset_ms"], s.get("real_time_factor")
        rows.append([
            name, percent(s["misses"]), percent(s["false_alarms"]), percent(s["noise_alone"]), f"{s['triggers_a_minute']:.1f}",
            f"{onset['median']:.0f}, {onset['mean']:.0f}", thousands(fast) if fast else "",
        ])  # fmt: skip
    return table(["detector", "speech missed", "false alarms", "noise alone taken for speech", "triggers a minute there",
                  "first onset, ms: median, mean", "x real time on this PC"], rows)  # fmt: skip


def steps() -> str:
    """A streaming step from Python."""
    r = results("steps")
    rows = [[f"`{name}`" if name[0] != "C" else name, us] for name, us in r["microseconds"].items()]
    return f"{r['date']}:\n\n{table(['a step by', 'microseconds'], rows)}"


def voices() -> str:
    """How fast engines speak and what a net of people's voices hears."""
    r = results("voices")
    rows = [
        [f"`{name}`", e["voices"], e["words"]["clips_a_second"], e["sentences"]["times_real_time"], percent(e["heard_right"])]
        for name, e in r["engines"].items()
    ]
    columns = ["engine", "voices for English", "words a second", "sentences, times real time", "heard right"]
    people = f"Of people's own test clips of those words the net hears {percent(r['people_heard_right'])} right."
    return f"{r['date']}, by one core:\n\n{table(columns, rows)}\n\n{people}"


def models() -> str:
    """What the cards of the models that come along say."""
    rows = []
    for card in all_cards():
        work = {w["cpu"]: f"{w['instructions_per_second'] / 1e6:.1f}" for w in card.work}
        name = f"`{card.name}`" + (" *" if card.default else "")
        size = sum(path.stat().st_size for path in card.folder.iterdir())
        weights, latency = thousands(card.graph["weight_bytes"]), f"{card.graph['latency_ms']:g}"
        cores = [work[core] for core in ("cortex-m0", "cortex-m4", "cortex-m55+mve", "rv32imc")]
        rows.append([name, card.summary, weights, latency, *cores, thousands(size)])
    work_of = ("M instructions a second: M0", "M4", "M55 (Helium)", "rv32imc")
    columns = ["model", "what it does", "weights, bytes", "latency, ms", *work_of, "bytes of its folder"]
    return table(columns, rows)


BLOCKS: dict[str, Callable[[], str]] = {
    f.__name__: f
    for f in (
        demo,
        kws,
        clips,
        intervals,
        sizes,
        spotting,
        streams,
        wake,
        wake_model,
        wake_trials,
        embedded,
        wake_peers,
        front,
        boards,
        emulated_bits,
        harder,
        runtimes,
        converter,
        dn,
        demo_denoise,
        denoised,
        denoised_snr,
        denoised_validation,
        denoised_pauses,
        denoised_int8,
        denoised_cost,
        denoised_drift,
        models,
        vad,
        vad_snr,
        vad_decision,
        demo_vad,
        steps,
        voices,
    )
}


def filled(text: str) -> str:
    """The page with every block written anew; an unknown block is an error."""

    def write(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{BLOCKS[name]()}\n<!-- /{name} -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", write, text, flags=re.DOTALL)


def main() -> int:
    if "--demo" in sys.argv:
        keep_demo()
    stale = [page for page in PAGES if filled(page.read_text(encoding="utf-8")) != page.read_text(encoding="utf-8")]
    for page in stale:
        if "--check" not in sys.argv:
            page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{'stale' if '--check' in sys.argv else 'wrote'} {page.relative_to(ROOT)}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
