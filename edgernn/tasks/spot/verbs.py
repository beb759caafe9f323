"""The verbs of a keyword spotter beside the common ones: `detect`, `record`, `audit`, `import`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgernn import show
from edgernn.console import GraphOption, Json, RunDir, Scheme, Where, finished, printed, progress_bars
from edgernn.errors import EdgernnError


def detect(
    audio: Annotated[str, typer.Argument(help="Sound file of any length, rate and channels, or - for raw 16-bit PCM.")] = "",
    graph: GraphOption = None,
    rate: Annotated[int, typer.Option(help="Sample rate of raw PCM on standard input, Hz.")] = 16000,
    channels: Annotated[int, typer.Option(help="Channels of raw PCM on standard input.")] = 1,
    live: Annotated[bool, typer.Option("--live", help="Listen to the microphone (needs sounddevice).")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Posterior at which a keyword fires, 0 to 1; default: the graph's.")
    ] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Print as a keyword fires, before its highest score is known.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print keywords as they are heard: time and score.

    The time at which it fired, and the highest mean posterior while it lasted. From a file of any length, rate and channels, a
    pipe of raw samples (-), or a microphone (--live); by the int8 model.
    Reads a graph, writes nothing.
    """
    from edgernn.runs import find_graph_of
    from edgernn.signal.live import check_source, sound_or_microphone
    from edgernn.tasks import find_task, load_graph
    from edgernn.tasks.spot.graph import SpotGraph
    from edgernn.tasks.spot.listening import detections, with_threshold

    check_source(audio, live, rate, channels)
    loaded = load_graph(find_graph_of(find_task("spot", "edgernn detect"), graph))
    assert isinstance(loaded, SpotGraph)  # `find_graph_of` has looked
    blocks, heard = sound_or_microphone(audio, live, loaded.sample_rate, rate, channels), 0
    with finished(live):
        for found in detections(with_threshold(loaded, threshold), blocks, at_once):
            heard += 1
            shown = f"{found.time_s:9.2f} s  {found.label:20} {found.score:.3f}"
            typer.echo(json.dumps(found._asdict()) if as_json else shown)
            sys.stdout.flush()
    if not as_json:
        typer.echo(f"{heard} detection{'' if heard == 1 else 's'}", err=True)


def record(
    label: Annotated[str, typer.Option(help="Word that is said; names the folder.")],
    out: Annotated[Path, typer.Option(help="Folder of recordings; use it as a `folder` data source.")] = Path("recordings"),
    count: Annotated[int, typer.Option(help="Examples to record.")] = 20,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 1.0,
    speaker: Annotated[str, typer.Option(help="Who speaks; splits are disjoint by speaker.")] = "me",
    source: Annotated[str, typer.Option("--from", help="A sound file or - (raw 16 kHz PCM) instead of the microphone.")] = "",
) -> None:
    """Collect your own examples of a word.

    Writes WAV files into a folder; no run folder is needed.
    """
    from edgernn.tasks.spot import listening

    for path in listening.record(label, out, count, seconds, speaker, source):
        typer.echo(path)


def audit(
    run: Where,
    recordings: Annotated[list[Path], typer.Argument(help="Sound files, or folders of them, in which no keyword is said.")],
    collect: Annotated[Path | None, typer.Option(help="Folder to cut into what woke the model, or nearly did.")] = None,
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """What wakes the model in hours of your own room.

    Runs recordings without keywords through the exact integers: events an hour and a day of each word, with 95 % intervals, and
    the threshold that would give other rates. Writes nothing but the pieces of --collect, which a `folder` source takes.
    """
    from edgernn.runs import find_graph_of
    from edgernn.tasks import find_task, load_graph
    from edgernn.tasks.spot.audit import audit as listen
    from edgernn.tasks.spot.audit import shown
    from edgernn.tasks.spot.graph import SpotGraph

    graph = load_graph(find_graph_of(find_task("spot", "edgernn audit"), run, scheme))
    assert isinstance(graph, SpotGraph)  # `find_graph_of` has looked
    with progress_bars() as progress:
        result = listen(graph, recordings, collect, progress)
    printed(result, as_json, shown)


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

    From PyTorch, Keras or ONNX: makes a run folder, ready for `edgernn quantize`. See docs/importing.md.
    """
    from edgernn.tasks.spot.importing import import_model as bring

    words = [w.strip() for w in labels.split(",")]
    if not all(words):
        raise EdgernnError(f"--labels {labels!r} has an empty place; name every output of the model, in its order")
    with progress_bars() as progress:
        result = bring(model, recipe, words, run, progress, normalization, layers, check)
    printed(result, as_json, show.imported)
