"""The verb of a denoiser beside the common ones: `denoise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgernn.console import GraphOption, Scheme


def denoise(
    audio: Annotated[str, typer.Argument(help="Sound file of any length, rate and channels, or - for raw 16-bit PCM.")] = "",
    out: Annotated[str, typer.Argument(help="WAV file to write, mono at the model's rate, or - for raw 16-bit PCM.")] = "",
    graph: GraphOption = None,
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
    model, the same bits as on the board. Reads a graph, writes the sound. `edgernn models` lists those that come along.
    """
    from edgernn.tasks.denoise.run import DenoiseRequest, run_denoise

    request = DenoiseRequest(audio, out, scheme, use_float, report, reference, rate, channels, live)
    for line in run_denoise(graph, request):
        typer.echo(line, err=True)
