"""What `edgernn denoise` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgernn.errors import EdgernnError
from edgernn.runs import find_graph_of, run_checkpoint
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal.audio import Int16, read_audio
from edgernn.signal.live import check_raw
from edgernn.tasks import find_task, load_graph
from edgernn.tasks.denoise.graph import DenoiseGraph
from edgernn.tasks.denoise.stream import FloatDenoiser, Process, denoise_file, denoiser, live


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


def _check(r: DenoiseRequest) -> None:
    """Refuse what contradicts itself."""
    if r.live == bool(r.audio or r.out) or bool(r.audio) != bool(r.out):
        raise EdgernnError("give a sound file (or -) and where to write (or -), or --live; exactly one of them")
    check_raw(r.audio, r.rate, r.channels)
    if r.out not in ("", "-") and Path(r.out).suffix.lower() not in (".wav", ".wave", ""):
        raise EdgernnError(
            f"{r.out}: denoised sound is written as WAV; name it {Path(r.out).with_suffix('.wav')}, or pipe - on"
        )
    for path in (x for x in (r.out, r.report) if x not in ("", "-", None)):
        if Path(path).is_dir():
            raise EdgernnError(f"{path} is a folder; name a file to write")
    if r.report and (r.live or "-" in (r.audio, r.out)):
        raise EdgernnError("a report needs files; leave --report out, or give a file to read and one to write")
    if r.reference and not r.report:
        raise EdgernnError("--reference goes with --report")
    sounds = [Path(p).resolve() for p in (r.audio, r.out, r.reference) if p]
    if r.report and (Path(r.report).resolve() in sounds or sounds[0] == sounds[1]):
        raise EdgernnError("with a report, recording, output, reference and picture must be different files; name others")
    if r.report and r.use_float:
        raise EdgernnError("the report shows the int8 model's gains; leave --float or --report out")


def run_denoise(where: Path | None, request: DenoiseRequest) -> Iterator[str]:
    """Denoise a file, a pipe or live sound with the graph at `where` (None: the newest); yields what to tell the user."""
    r = request
    _check(r)
    path = find_graph_of(find_task("denoise", "edgernn denoise"), where, r.scheme)
    graph = load_graph(path)
    assert isinstance(graph, DenoiseGraph)  # `find_graph_of` has looked
    process = _float_process(path) if r.use_float else denoiser(make_runtime(fast_runtime(), graph))
    if r.live:
        yield f"denoising live sound with {graph.latency_ms:g} ms of algorithmic latency; stop with Ctrl-C"
        lost = live(process, graph)
        yield f"stopped; sound was lost {lost} times" if lost else "stopped"
        return
    reported = _sounds_of_report(graph, r) if r.report else None
    written = denoise_file(process, graph.sample_rate, graph.step_samples, r.audio, r.out, r.rate, r.channels)
    yield f"{written / graph.sample_rate:.2f} s denoised{' by the float model' if r.use_float else ''} -> {r.out}"
    if reported:
        yield from _report(graph, r, *reported)


def _float_process(graph: Path) -> Process:
    return FloatDenoiser(run_checkpoint(graph.parent)).denoise


def _sounds_of_report(graph: DenoiseGraph, r: DenoiseRequest) -> tuple[Int16, Int16 | None]:
    """The recording and the reference of a report, read before any sound is written; what it needs must be at hand."""
    from edgernn.tasks.denoise.report import check_reference, plot_library

    plot_library()
    noisy = read_audio(r.audio, graph.sample_rate)
    reference = read_audio(r.reference, graph.sample_rate) if r.reference else None
    if reference is not None:
        check_reference(noisy, reference)
    return noisy, reference


def _report(graph: DenoiseGraph, r: DenoiseRequest, noisy: Int16, reference: Int16 | None) -> Iterator[str]:
    from edgernn.tasks.denoise.report import draw_report

    assert r.report is not None
    numbers = draw_report(graph, noisy, read_audio(r.out, graph.sample_rate), r.report, reference)
    yield "\n".join([f"wrote {r.report}", *(f"{k}: {v}" for k, v in numbers.items())])
