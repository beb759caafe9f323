"""The command line: the library's verbs with words around them.

Every verb takes --json, exits 0 when it did its work, 1 when a check failed and 2 when the input or the machine was
unusable. Imports are inside the verbs: `edgernn --help` loads neither NumPy nor torch. Options and verbs of a task come from
the task (`edgernn/tasks`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edgernn import __version__, show
from edgernn.cli_boards import VERBS as BOARD_VERBS
from edgernn.cli_check import VERBS as CHECK_VERBS
from edgernn.cli_reports import VERBS as REPORT_VERBS
from edgernn.console import Json, RunDir, Scheme, Verbs, Where, beside, printed, progress_bars, with_task_options
from edgernn.errors import EdgernnError
from edgernn.tasks import all_tasks
from edgernn.tasks.base import Task
from edgernn.zoo import find_card, model_at, sound_cards

app = typer.Typer(
    cls=Verbs,
    name="edgernn", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Train a small recurrent net, quantize it to int8, and run the same bits on a PC and on a microcontroller.",
)  # fmt: skip

Boards = Annotated[list[str] | None, typer.Option("--board", help="Board to emulate; may be given more than once.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Seed = Annotated[int, typer.Option(help="Everything random follows it.", min=0)]
Epochs = Annotated[int | None, typer.Option(help="Train so many epochs instead of the recipe's; its teachers keep theirs.")]
_RUNTIMES = "numpy, c, litert, tflm, tflite-runtime, tensorflow, tflite, onnx; auto: c where it compiles, else numpy."


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgernn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command()
@with_task_options("data")
def data(
    run: RunDir,
    options: dict[str, Any],
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe file or name of one that comes along; default: the run's own, or demo."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows it; default: the run's own, or 0.", min=0)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a recording that cannot be used.")] = False,
    as_json: Json = False,
) -> None:
    """Collect recordings, or speak them, into a dataset.

    Makes the run folder where it does not exist.
    """
    from edgernn import pipeline

    with progress_bars() as progress:
        chosen = pipeline.data_recipe(run, recipe, options, seed)
        dataset = pipeline.prepare_data(chosen, run, progress, strict)
    result = {"dataset": dataset.id, "folder": str(dataset.path), "labels": dataset.summary()}
    printed(result, as_json, show.dataset)


@app.command()
@with_task_options("train")
def train(run: RunDir, options: dict[str, Any], device: Device = "auto", as_json: Json = False) -> None:
    """Train the float model; run it again to resume.

    Reads the run folder's data, writes its checkpoint. Batches that are made up as they are needed come from processes of
    their own: one for each core but the first, or $EDGERNN_WORKERS; the weights do not depend on how many.
    """
    from edgernn import pipeline

    with progress_bars() as progress:
        result = pipeline.train_model(run, progress, device, options)
    printed(result, as_json, show.trained)


@app.command()
@with_task_options("quantize")
def quantize(run: RunDir, options: dict[str, Any], scheme: Scheme = None, as_json: Json = False) -> None:
    """Turn the float model into an integer graph.

    Calibrated on streams of training audio; reports range, scale, SNR and saturation of each tensor. Reads the run folder's
    checkpoint and data, writes its graph.
    """
    from edgernn import pipeline

    result = pipeline.quantize_model(run, scheme, options)
    printed(result, as_json, show.quantized)


@app.command()
@with_task_options("simulate")
def simulate(
    run: RunDir,
    options: dict[str, Any],
    scheme: Scheme = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    seconds: Annotated[float, typer.Option(help="Length of the stream without a reset.", min=1.0, max=1e6)] = 600.0,
    runtime: Annotated[str, typer.Option(help=_RUNTIMES)] = "auto",
    compare: Annotated[str | None, typer.Option(help="Runtimes to run side by side: numpy,c,litert or all.")] = None,
    wav: Annotated[Path | None, typer.Option(help="With --compare: a recording to run instead of the stream.")] = None,
    as_json: Json = False,
) -> None:
    """Check int8 against float, or runtimes side by side.

    What the run's task is judged by, drift over a long stream, latency, speed. With --compare the integer model runs in several
    runtimes; exits 1 when a bit differs. Reads the run folder, writes its simulate-*.json or compare-*.json.
    """
    from edgernn import pipeline
    from edgernn.tasks.base import Question

    if compare is not None and not compare.strip():
        raise EdgernnError("--compare names no runtime; give some, such as numpy,c, or all")
    if compare and (options or runtime != "auto"):
        flags = ", ".join(f"--{name}" for name in (*options, "runtime"))
        raise EdgernnError(f"--compare runs the net alone in the runtimes it names; leave {flags} out")
    if wav and not compare:
        raise EdgernnError("--wav goes with --compare; `edgernn run --wav` takes a recording too")
    with progress_bars() as progress:
        if compare:
            compared = pipeline.compare_model(run, compare, progress, scheme, split, seconds, wav)
        else:
            question = Question(split, seconds, runtime, options=options)
            result = pipeline.simulate_model(run, progress, scheme, question)
    if compare:
        printed(compared, as_json, show.compared)
        raise typer.Exit(int(any(row["differing"] for row in compared["rows"])))
    printed(result, as_json, lambda r: all_tasks()[r["task"]].show_simulated(r))


@app.command()
def export(
    where: Where,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: c/, packages/, .. beside the graph.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="c: header, runtime, examples. tflite: model, C array, TFLM example. onnx: integer, float.",
        ),
    ] = "c",
    scheme: Scheme = None,
    prefix: Annotated[str, typer.Option(help="Prefix of every public C name; default: the task's own.")] = "",
    kernel: Annotated[
        str, typer.Option(help="c: faster C for one kind of core, same bits: see docs/kernels.md; default: plain C.")
    ] = "",
    stateful: Annotated[bool, typer.Option("--stateful", help="tflite: keep the state in resource variables.")] = False,
    clip: Annotated[bool, typer.Option("--clip", help="tflite: a whole clip in one call, for hosts; large.")] = False,
    qdq: Annotated[bool, typer.Option("--qdq", help="onnx: also a QDQ model, close but not exact, for NPU compilers.")] = False,
    qdq_bits: Annotated[
        int,
        typer.Option(help="onnx: bits of the QDQ model's weights; 7 for x86 CPUs with AVX2 but without VNNI.", min=7, max=8),
    ] = 8,
    package: Annotated[
        str,
        typer.Option(help="c: a ready library for arduino, cmake, esp-idf, pico-sdk, platformio or zephyr (docs/packages.md)."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Write the graph as C, TFLite or ONNX.

    C, .tflite and the integer .onnx compute the same bits. C and the TFLM example go from sound to what the task gives, the
    models are its net. With --package the C is a library with metadata, microphone example and self-test, in a folder named
    like it. Reads a run folder or graph file, writes into another folder.
    """
    from edgernn import pipeline

    options = pipeline.ExportOptions(prefix, stateful, clip, qdq, qdq_bits, package, kernel)
    usual = beside(where) / (f"packages/{package}" if package else form)
    result = pipeline.export_graph(where, out or usual, form, scheme, options)
    printed(result, as_json, show.exported)


@app.command()
def inspect(
    files: Annotated[
        list[Path], typer.Argument(help=".ern, .tflite or .onnx files, or a model; several must come from one graph.")
    ],
    as_json: Json = False,
) -> None:
    """Show what is in a .ern, .tflite or .onnx file.

    Operators, tensors, scales, sizes, state, graph id. Several files must come from one graph. Reads files, writes nothing.
    """
    from edgernn.inspect import inspect_together
    from edgernn.runs import find_graph

    result = inspect_together([find_graph(f) if model_at(f) else f for f in files])
    printed(result, as_json, show.inspected)


@app.command()
def models(
    name: Annotated[str, typer.Argument(help="One model, with its card; default: all of them.")] = "",
    out: Annotated[Path | None, typer.Option(help="Copy the model into this run folder, to train or quantize it.")] = None,
    as_json: Json = False,
) -> None:
    """List the models that come along, or show one's card.

    Every verb that reads a run folder or a graph file takes a model's name. What is made from it goes to models/NAME.
    """
    from edgernn.runs import copy_model

    if out and not name:
        raise EdgernnError("--out copies one model; name it, `edgernn models` lists them")
    if not name:
        printed([card.to_dict() for card in sound_cards()], as_json, show.models)
        return
    card = find_card(name)
    files = copy_model(card, out) if out else []
    printed({**card.to_dict(), "files": [str(f) for f in files]}, as_json, show.model)


for _verb in (*BOARD_VERBS, *CHECK_VERBS, *REPORT_VERBS):
    app.command(_verb.__name__)(_verb)


def _whole(task: Task) -> Callable[..., None]:
    """The task's verb for everything in turn."""

    @with_task_options("whole", task)
    def whole(
        options: dict[str, Any],
        recipe: Annotated[str, typer.Option(help="Recipe file, or name of one that comes along.")] = task.whole.recipe,
        out: Annotated[Path, typer.Option(help="Run folder to make.")] = Path(task.whole.folder),
        board: Boards = None,
        seed: Seed = 0,
        epochs: Epochs = None,
        device: Device = "auto",
        as_json: Json = False,
    ) -> None:
        from edgernn import pipeline

        chosen = pipeline.chosen_recipe(recipe, "whole", options, seed, epochs, task.whole.verb)
        if chosen.task != task.name:
            other = all_tasks()[chosen.task]
            raise EdgernnError(f"the recipe {recipe} trains {other.noun}; use `edgernn {other.whole.verb} --recipe {recipe}`")
        with progress_bars() as progress:
            result = pipeline.whole(chosen, out, board or ["mps2-an386"], progress, device, options)
        next_steps = task.next_steps(result["folder"], f"{result['folder']}/graph-{result['scheme']}.ern")
        printed(result, as_json, lambda s: show.summary(s, task.show_summary(s), next_steps, task.c.header()))

    whole.__doc__ = (
        f"{task.whole.help}\n\ndata, train, quantize, simulate, export, build and run in turn. Makes the run folder."
    )
    return whole


for _task in all_tasks().values():
    app.command(_task.whole.verb)(_whole(_task))
    for _name, _command in _task.commands().items():
        app.command(_name)(_command)
