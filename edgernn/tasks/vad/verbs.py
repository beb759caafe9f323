"""The verb of a voice-activity detector beside the common ones: `vad`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from edgernn.console import GraphOption, Json, Scheme, finished


def vad(
    audio: Annotated[str, typer.Argument(help="Sound file of any length, rate and channels, or - for raw 16-bit PCM.")] = "",
    graph: GraphOption = None,
    scheme: Scheme = None,
    rate: Annotated[int, typer.Option(help="Sample rate of raw PCM on standard input, Hz.")] = 16000,
    channels: Annotated[int, typer.Option(help="Channels of raw PCM on standard input.")] = 1,
    live: Annotated[bool, typer.Option("--live", help="Listen to the microphone (needs sounddevice).")] = False,
    as_json: Json = False,
) -> None:
    """Print the stretches of speech as they end: begin, end, confidence.

    From a file of any length, rate and channels, a pipe of raw samples (-), or a microphone (--live); by the int8 model.
    Reads a graph, writes nothing.
    """
    from edgernn.runs import find_graph_of
    from edgernn.signal.live import check_source, sound_or_microphone
    from edgernn.tasks import find_task, load_graph
    from edgernn.tasks.vad.activity import stretches_of_speech
    from edgernn.tasks.vad.graph import VadGraph

    check_source(audio, live, rate, channels)
    loaded = load_graph(find_graph_of(find_task("vad", "edgernn vad"), graph, scheme))
    assert isinstance(loaded, VadGraph)  # `find_graph_of` has looked
    blocks, seconds = sound_or_microphone(audio, live, loaded.sample_rate, rate, channels), 0.0
    with finished(live):
        for x in stretches_of_speech(loaded, blocks):
            seconds += x["end_s"] - x["begin_s"]
            line = json.dumps(x) if as_json else f"{x['begin_s']:9.2f} to {x['end_s']:9.2f} s  {x['confidence']:.2f}"
            typer.echo(line)
            sys.stdout.flush()
    if not as_json:
        typer.echo(f"{seconds:.1f} s of speech", err=True)
