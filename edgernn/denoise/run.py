"""What `edgernn denoise` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgernn.audio import read_audio
from edgernn.denoise.floatnet import load_denoise_checkpoint
from edgernn.denoise.graph import DenoiseGraph
from edgernn.denoise.pipeline import load_denoise_graph
from edgernn.denoise.stream import FloatDenoiser, Process, denoise_file, live
from edgernn.errors import EdgernnError
from edgernn.pipeline import fast_runtime, find_graph
from edgernn.runtimes import make_denoiser


@dataclass(frozen=True)
class DenoiseRequest:
    """Sound in and out ("-": raw PCM), and how; see the command line's help for each."""

    audio: str
    out: str
    scheme: str | None = None
    use_float: bool = False
    report: Path | None = None
    reference: Path | None = None
    rate: int = 16000
    channels: int = 1
    live: bool = False


def run_denoise(where: Path, request: DenoiseRequest) -> Iterator[str]:
    """Denoise a file, a pipe or live sound with the graph at `where`; yields what to tell the user."""
    r = request
    if r.report and (r.live or "-" in (r.audio, r.out)):
        raise EdgernnError("a report needs files; leave --report out, or give a file to read and one to write")
    if r.reference and not r.report:
        raise EdgernnError("--reference goes with --report")
    sounds = [Path(p).resolve() for p in (r.audio, r.out, r.reference) if p]
    if r.report and (Path(r.report).resolve() in sounds or sounds[0] == sounds[1]):
        raise EdgernnError("with a report, recording, output, reference and picture must be different files; name others")
    if r.report and r.use_float:
        raise EdgernnError("the report shows the int8 model's gains; leave --float or --report out")
    graph = load_denoise_graph(find_graph(where, r.scheme))
    process = _float_process(where) if r.use_float else make_denoiser(fast_runtime(), graph).denoise
    if r.live:
        yield f"denoising live sound with {graph.latency_ms:g} ms of algorithmic latency; stop with Ctrl-C"
        lost = live(process, graph)
        yield f"stopped; sound was lost {lost} times" if lost else "stopped"
        return
    written = denoise_file(process, graph.sample_rate, graph.step_samples, r.audio, r.out, r.rate, r.channels)
    yield f"{written / graph.sample_rate:.2f} s denoised{' by the float model' if r.use_float else ''} -> {r.out}"
    if r.report:
        yield from _report(graph, r)


def _float_process(where: Path) -> Process:
    folder = where if where.is_dir() else where.parent
    return FloatDenoiser(load_denoise_checkpoint(folder / "model.safetensors")).denoise


def _report(graph: DenoiseGraph, r: DenoiseRequest) -> Iterator[str]:
    from edgernn.denoise.report import draw_report

    assert r.report is not None
    reference = read_audio(r.reference, graph.sample_rate) if r.reference else None
    noisy, denoised = (read_audio(path, graph.sample_rate) for path in (r.audio, r.out))
    numbers = draw_report(graph, noisy, denoised, r.report, reference)
    yield "\n".join([f"wrote {r.report}", *(f"{k}: {v}" for k, v in numbers.items())])
