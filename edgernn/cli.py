"""The command line: the library's verbs with words around them.

Every verb takes --json, exits 0 when it did its work, 1 when a check failed and 2 when the input or the machine was
unusable. Imports are inside the verbs: `edgernn --help` loads neither NumPy nor torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from edgernn import show
from edgernn.errors import EdgernnError

app = typer.Typer(
    name="edgernn", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Train a small recurrent net, quantize it to int8, and run the same bits on a PC and on a microcontroller.",
)  # fmt: skip

RunDir = Annotated[Path, typer.Argument(help="Run folder, as `edgernn data` or `edgernn kws` made it.")]
Where = Annotated[Path, typer.Argument(help="Run folder or graph file (.ern).")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Scheme = Annotated[str | None, typer.Option(help="int8x16 (int16 operands) or int8; default: the recipe's.")]
BoardName = Annotated[str, typer.Option("--board", help="Board name or TOML file; `edgernn boards` lists them.")]
Compiler = Annotated[str, typer.Option("--toolchain", help="gcc, zig, or auto: the first that is installed.")]
Optimize = Annotated[str, typer.Option("--optimize", help="Compiler optimization, such as -O2 or -Os.")]
_RUNTIMES = "numpy, c, litert, tflm, tflite-runtime, tensorflow, tflite, onnx; auto: c where it compiles, else numpy."
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Start = Annotated[Path | None, typer.Option(help="A denoiser's trained run folder of the same layers, to go on from.")]


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars on standard error, one a stage; plain lines where that is no terminal."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("ETA"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report


def _plain_progress() -> Callable[[str, int, int], None]:
    """One line a stage and a tenth of it, for logs."""
    said: set[tuple[str, int]] = set()

    def report(stage: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if (stage, tenth) not in said:
            said.add((stage, tenth))
            typer.echo(f"{stage} {10 * tenth} %" if total else stage, err=True)

    return report


def _print(result: Any, as_json: bool, shown: Callable[[Any], show.Shown]) -> None:
    """The result as JSON, or as tables and lines."""
    if as_json:
        typer.echo(json.dumps(result, indent=2, sort_keys=True))
        return
    for item in shown(result):
        if isinstance(item, str):
            typer.echo(item)
        else:
            _print_table(item)


def _print_table(t: show.Table) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=t.title, title_justify="left")
    for i, column in enumerate(t.columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in t.rows:
        table.add_row(*(str(x) for x in row))
    # a pipe has no width of its own: give it room, so that no figure is cut
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(table)


@app.command()
def data(
    run: RunDir,
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe file or name of one that comes along; default: the run's own, or demo."),
    ] = None,
    keywords: Annotated[
        str | None, typer.Option(help='Comma-separated words instead of the recipe\'s: "hey robin,stop".')
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows it; default: the run's own, or 0.")] = None,
    as_json: Json = False,
) -> None:
    """Collect recordings, or speak them, into a dataset."""
    from edgernn import pipeline

    with _progress() as progress:
        chosen = pipeline.data_recipe(run, recipe, _words(keywords), seed)
        dataset = pipeline.prepare_data(chosen, run, progress)
    result = {"dataset": dataset.id, "folder": str(dataset.path), "labels": dataset.summary()}
    _print(result, as_json, show.dataset)


def _words(keywords: str | None) -> list[str] | None:
    return [w.strip() for w in keywords.split(",") if w.strip()] if keywords else None


@app.command()
def train(
    run: RunDir,
    teacher: Annotated[list[Path] | None, typer.Option(help="Run folder of a trained net that teaches; repeatable.")] = None,
    start: Start = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train the float model; run it again to resume."""
    from edgernn import pipeline

    with _progress() as progress:
        result = pipeline.train_model(run, progress, device, teacher or [], start)
    _print(result, as_json, show.trained)


@app.command()
def quantize(run: RunDir, scheme: Scheme = None, as_json: Json = False) -> None:
    """Turn the float model into an integer graph.

    Calibrated on streams of training audio; reports range, scale, SNR and saturation of each tensor.
    """
    from edgernn import pipeline

    result = pipeline.quantize_model(run, scheme)
    _print(result, as_json, show.quantized)


@app.command()
def simulate(
    run: RunDir,
    scheme: Scheme = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    seconds: Annotated[float, typer.Option(help="Length of the stream without a reset.")] = 600.0,
    runtime: Annotated[str, typer.Option(help=_RUNTIMES)] = "auto",
    compare: Annotated[str | None, typer.Option(help="Runtimes to run side by side: numpy,c,litert or all.")] = None,
    wav: Annotated[Path | None, typer.Option(help="With --compare: a recording to run instead of the stream.")] = None,
    mixtures: Annotated[
        Path | None,
        typer.Option(help="Denoiser: CSV of mixtures (id, snr_db, clean, noise, noise_label); default: 50 of the split."),
    ] = None,
    mos: Annotated[bool, typer.Option("--mos", help="Denoiser: DNSMOS too (needs speechmos); slow.")] = False,
    as_json: Json = False,
) -> None:
    """Check int8 against float, or runtimes side by side.

    Accuracy, agreement, drift over a long stream, false accepts, latency; of a denoiser PESQ, STOI, SI-SDR, and DNSMOS with
    --mos. With --compare the integer model runs in several runtimes; exits 1 when a bit differs.
    """
    from edgernn import pipeline

    if compare and (mos or mixtures or runtime != "auto"):
        raise EdgernnError("--compare runs the net alone in the runtimes it names; leave --mos, --mixtures and --runtime out")
    if wav and not compare:
        raise EdgernnError("--wav goes with --compare; `edgernn run --wav` and `edgernn detect` take recordings too")
    if compare:
        with _progress() as progress:
            compared = pipeline.compare_model(run, compare, progress, scheme, split, seconds, wav)
        _print(compared, as_json, show.compared)
        raise typer.Exit(int(any(row["differing"] for row in compared["rows"])))
    with _progress() as progress:
        result = pipeline.simulate_model(run, progress, scheme, split, seconds, runtime, mixtures, mos)
    _print(result, as_json, show.simulated)


@app.command()
def export(
    where: Where,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: c/ beside the graph.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="c: model.h (denoise.h), runtime, examples. tflite: model, C array, TFLM example. onnx: integer, float.",
        ),
    ] = "c",
    scheme: Scheme = None,
    prefix: Annotated[str, typer.Option(help="Prefix of every public C name; default: kws, a denoiser's dn.")] = "",
    stateful: Annotated[bool, typer.Option("--stateful", help="tflite: keep the state in resource variables.")] = False,
    clip: Annotated[bool, typer.Option("--clip", help="tflite: a whole clip in one call, for hosts; large.")] = False,
    qdq: Annotated[bool, typer.Option("--qdq", help="onnx: also a QDQ model, close but not exact, for NPU compilers.")] = False,
    as_json: Json = False,
) -> None:
    """Write the graph as C, TFLite or ONNX.

    C, .tflite and the integer .onnx compute the same bits. Of a denoiser, C and the TFLM example are sound to sound, the models
    are its net.
    """
    from edgernn import pipeline

    options = pipeline.ExportOptions(prefix, stateful, clip, qdq)
    result = pipeline.export_graph(where, out or _beside(where) / form, form, scheme, options)
    _print(result, as_json, show.exported)


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(help=".ern, .tflite or .onnx files; several must come from one graph.")],
    as_json: Json = False,
) -> None:
    """Show what is in a .ern, .tflite or .onnx file.

    Operators, tensors, scales, sizes, state, graph id. Several files must come from one graph.
    """
    from edgernn.inspect import inspect_together

    result = inspect_together(files)
    _print(result, as_json, show.inspected)


@app.command("import")
def import_model(
    model: Annotated[Path, typer.Argument(help=".pt or .safetensors state dict, .keras, .h5 or .onnx.")],
    run: RunDir,
    labels: Annotated[str, typer.Option(help="Comma-separated meanings of the model's outputs, in its order.")],
    recipe: Annotated[str, typer.Option(help="Recipe whose front end and recordings belong to the model.")] = "demo",
    normalization: Annotated[
        Path | None, typer.Option(help='JSON {"mean": [...], "deviation": [...]} a band, log2 units.')
    ] = None,
    layers: Annotated[str, typer.Option(help="PyTorch: what a state dict cannot tell, such as rnn:tanh,fc1:relu,fc2.")] = "",
    check: Annotated[Path | None, typer.Option(help=".npz with inputs x and the model's own outputs y, to compare.")] = None,
    as_json: Json = False,
) -> None:
    """Bring a trained GRU, LSTM or RNN from elsewhere.

    From PyTorch, Keras or ONNX into a run folder, ready for `edgernn quantize`. See docs/importing.md.
    """
    from edgernn.imports.run import import_model as bring

    with _progress() as progress:
        result = bring(model, recipe, _words(labels) or [], run, progress, normalization, layers, check)
    _print(result, as_json, show.imported)


def _beside(where: Path) -> Path:
    return where if where.is_dir() else where.parent


@app.command()
def boards(as_json: Json = False) -> None:
    """List the boards, and what builds and runs them here."""
    from targets import available_toolchains, list_boards, load_board, usable_emulators

    found = [load_board(name) for name in list_boards()]
    rows = [
        {"name": b.name, "cpu": b.cpu, "flash": b.flash.size, "ram": b.ram.size, "description": b.description,
         "toolchains": available_toolchains(b), "emulators": usable_emulators(b)}
        for b in found
    ]  # fmt: skip
    _print(rows, as_json, show.boards)


@app.command()
def build(
    where: Where,
    board: BoardName = "mps2-an386",
    toolchain: Compiler = "auto",
    optimize: Optimize = "-O2",
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Compile for a board: flash and RAM, before flashing."""
    from edgernn import pipeline

    r = pipeline.build_board(where, board, _beside(where), toolchain, optimize, scheme)
    _print(r, as_json, show.built)


@app.command()
def run(
    where: Where,
    board: BoardName = "mps2-an386",
    wav: Annotated[Path | None, typer.Option(help="Sound to run; default: ten test clips.")] = None,
    toolchain: Compiler = "auto",
    emulator: Annotated[str, typer.Option(help="qemu, unicorn, or auto: the first that is installed.")] = "auto",
    optimize: Optimize = "-O2",
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Run on an emulated core: bits, instructions, stack.

    Bits are compared with the simulator's; exits 1 when they differ.
    """
    from edgernn import pipeline

    r = pipeline.run_board(where, board, _beside(where), wav, toolchain, emulator, optimize, scheme)
    _print(r, as_json, show.emulated)
    if r["bits_differing"]:
        raise typer.Exit(1)


@app.command()
def kws(
    keywords: Annotated[str | None, typer.Option(help='Comma-separated words to spot: "hey robin,lights on".')] = None,
    out: Annotated[Path, typer.Option(help="Run folder to write.")] = Path("run/kws"),
    recipe: Annotated[str | None, typer.Option(help="Recipe file or name; default: the embedded synthetic corpus.")] = None,
    board: Annotated[list[str] | None, typer.Option(help="Board to emulate; may be given more than once.")] = None,
    seed: Annotated[int, typer.Option(help="Everything random follows it.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="Train so many epochs instead of the recipe's.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """All of it in one command: words in, firmware out.

    data, train, quantize, simulate, export, build and run, on the embedded synthetic corpus or a recipe of your own.
    """
    from edgernn import pipeline

    chosen = pipeline.demo_recipe(_words(keywords), recipe, seed, epochs)
    with _progress() as progress:
        result = pipeline.whole(chosen, out, board or ["mps2-an386"], progress, device)
    _print(result, as_json, show.spotter)


@app.command("denoise-train")
def denoise_train(
    recipe: Annotated[str, typer.Option(help="Recipe file or name: dn-demo, dn-standard, dn-small, ...")] = "dn-demo",
    out: Annotated[Path, typer.Option(help="Run folder to write.")] = Path("run/denoise"),
    board: Annotated[list[str] | None, typer.Option(help="Board to emulate; may be given more than once.")] = None,
    seed: Annotated[int, typer.Option(help="Everything random follows it.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="Train so many epochs instead of the recipe's.")] = None,
    start: Start = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """A speech denoiser in one command: recipe in, firmware out.

    data, train, quantize, simulate, export, build and run; by default on synthetic voices and generated noise.
    """
    from edgernn import pipeline
    from edgernn.denoise.pipeline import whole_denoiser
    from edgernn.denoise.recipe import DenoiseRecipe

    chosen = pipeline.demo_recipe(None, recipe, seed, epochs)
    if not isinstance(chosen, DenoiseRecipe):
        raise EdgernnError(f"the recipe {recipe} trains a keyword spotter; use `edgernn kws --recipe {recipe}`")
    with _progress() as progress:
        result = whole_denoiser(chosen, out, board or ["mps2-an386"], progress, device, start)
    _print(result, as_json, show.denoiser)


@app.command()
def denoise(
    audio: Annotated[str, typer.Argument(help="Sound file of any length, rate and channels, or - for raw 16-bit PCM.")] = "",
    out: Annotated[str, typer.Argument(help="WAV file to write, mono at the model's rate, or - for raw 16-bit PCM.")] = "",
    graph: Annotated[Path | None, typer.Option(help="Graph file or run folder; default: the newest denoiser in ./run.")] = None,
    scheme: Scheme = None,
    use_float: Annotated[bool, typer.Option("--float", help="The float model of the run folder (--graph) instead.")] = False,
    report: Annotated[Path | None, typer.Option(help="PNG to draw: spectrograms, gains, numbers.")] = None,
    reference: Annotated[Path | None, typer.Option(help="With --report: the clean speech, for PESQ, STOI, SI-SDR.")] = None,
    rate: Annotated[int, typer.Option(help="Sample rate of raw PCM on standard input, Hz.")] = 16000,
    channels: Annotated[int, typer.Option(help="Channels of raw PCM on standard input.")] = 1,
    live: Annotated[bool, typer.Option("--live", help="Microphone to speaker (needs sounddevice).")] = False,
) -> None:
    """Take the noise out of speech.

    From a file of any length, rate and channels, or a pipe (-), to a WAV file or a pipe, in constant memory; by the int8
    model, the same bits as on the board.
    """
    from edgernn import pipeline
    from edgernn.denoise.run import DenoiseRequest, run_denoise

    if live == bool(audio and out):
        raise EdgernnError("give a sound file (or -) and where to write (or -), or --live; exactly one of them")
    where = graph or pipeline.newest_graph(denoiser=True)
    request = DenoiseRequest(audio, out, scheme, use_float, report, reference, rate, channels, live)
    for line in run_denoise(where, request):
        typer.echo(line, err=True)


@app.command()
def detect(
    audio: Annotated[str, typer.Argument(help="Sound file of any length, rate and channels, or - for raw 16-bit PCM.")] = "",
    graph: Annotated[Path | None, typer.Option(help="Graph file or run folder; default: the newest under ./run.")] = None,
    rate: Annotated[int, typer.Option(help="Sample rate of raw PCM on standard input, Hz.")] = 16000,
    channels: Annotated[int, typer.Option(help="Channels of raw PCM on standard input.")] = 1,
    live: Annotated[bool, typer.Option("--live", help="Listen to the microphone (needs sounddevice).")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Posterior at which a keyword fires, 0 to 1; default: the graph's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print keywords as they are heard: time and score.

    From a file of any length, rate and channels, a pipe of raw samples (-), or a microphone (--live); by the int8 model.
    """
    from edgernn import listening, pipeline

    if bool(audio) == live:
        raise EdgernnError("give a sound file, - for a pipe, or --live for the microphone; exactly one of them")
    path = pipeline.find_graph(graph) if graph else pipeline.newest_graph()
    heard = 0
    try:
        for found in listening.detections(path, audio, rate, channels, live, threshold):
            heard += 1
            line = json.dumps(found) if as_json else f"{found['time_s']:9.2f} s  {found['label']:20} {found['score']:.3f}"
            typer.echo(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        if not live:  # a microphone has no other end
            raise
    if not as_json:
        typer.echo(f"{heard} detection{'' if heard == 1 else 's'}", err=True)


@app.command()
def record(
    label: Annotated[str, typer.Option(help="Word that is said; names the folder.")],
    out: Annotated[Path, typer.Option(help="Folder of recordings; use it as a `folder` data source.")] = Path("recordings"),
    count: Annotated[int, typer.Option(help="Examples to record.")] = 20,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 1.0,
    speaker: Annotated[str, typer.Option(help="Who speaks; splits are disjoint by speaker.")] = "me",
    source: Annotated[str, typer.Option("--from", help="A sound file or - (raw 16 kHz PCM) instead of the microphone.")] = "",
) -> None:
    """Collect your own examples of a word."""
    from edgernn import listening

    for path in listening.record(label, out, count, seconds, speaker, source):
        typer.echo(path)


@app.command()
def check(
    run: RunDir,
    baseline: Annotated[Path, typer.Option(help="Baseline file.")] = Path("baseline.json"),
    update: Annotated[bool, typer.Option("--update", help="Write the run's figures as the new baseline.")] = False,
    as_json: Json = False,
) -> None:
    """Exit 1 when a figure got worse than the baseline.

    int8 accuracy, agreement, flash, RAM, instructions, each with its tolerance; exit 2 when it cannot tell.
    """
    from edgernn import gate

    if update:
        typer.echo(f"wrote {gate.write_baseline(run, baseline)}")
        return
    result = gate.check(run, baseline)
    _print(result, as_json, show.checked)
    if any(not row["ok"] for row in result["rows"]):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: an EdgernnError is one sentence and exit code 2."""
    try:
        app()
    except EdgernnError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted; a training goes on where it was when the same command is run again", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
