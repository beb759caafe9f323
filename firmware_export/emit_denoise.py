"""A denoiser's graph to a folder of C: `denoise.h`, the runtime it needs, and an example."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgernn.artifacts import write_text
from edgernn.denoise.graph import DenoiseGraph
from firmware_export.emit import Array, check_prefix, copy_runtime, render, template
from firmware_export.golden import denoised_checksums
from firmware_export.plan import denoiser_state_bytes, make_plan

RUNTIME_SOURCES = ("ern_net.c", "ern_stft.c")


def render_denoiser(g: DenoiseGraph, prefix: str = "dn") -> str:
    """The text of `denoise.h` with every public name starting with `prefix`."""
    check_prefix(prefix)
    golden, plan = denoised_checksums(g), make_plan(g)
    others = [Array("golden", np.array(golden, np.uint32), "other")]
    return render("denoise.h.jinja", g, prefix, plan, others, golden=golden, state_bytes=denoiser_state_bytes(g, plan))


def export_denoiser_c(g: DenoiseGraph, folder: Path, prefix: str = "dn") -> list[Path]:
    """Write `denoise.h`, the runtime and the example into `folder`; returns the files written."""
    header, example = folder / "denoise.h", folder / "examples" / "main.c"
    write_text(header, render_denoiser(g, prefix))
    write_text(example, template("denoise_main.c.jinja").render(g=g, p=prefix, P=prefix.upper()))
    return [header, example, *copy_runtime(folder)]
