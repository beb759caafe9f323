"""A graph as a ready library of a framework: one folder in `packages/` a framework, found by name.

Such a folder holds `package.toml` (`Framework`) and what the library consists of beside its C: files that end in `.jinja` are
skeletons, filled with the macros of the graph's task, the others are copied. `packages/_shared` has what several include.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edgernn import __version__
from edgernn.artifacts import text_bytes, write_all
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.extensions import folders
from edgernn.tasks import task_of
from firmware_export.emit import common_values, plain_capitals, render_header, runtime_files, template
from firmware_export.kernels import Kernel

_HOME = Path(str(files("firmware_export"))) / "packages"
_SHARED = _HOME / "_shared"
_ABOUT = "package.toml"
_SKELETON = ".jinja"
_NAME_LENGTH = 48  #: of a library, less than any framework's own bound


@dataclass(frozen=True)
class Framework:
    """What libraries are made for: `package.toml` and its folder.

    title: as people write it. code: the folder of a library that its C lies in. name: regular expression of the names that the
    framework takes.
    """

    folder: Path
    title: str
    code: str
    name: str


def framework_names() -> list[str]:
    """Every framework that has a folder, sorted."""
    return sorted(_folders())


def _folders() -> dict[str, Path]:
    """Frameworks by their folders' names; one from outside does not take the place of one that comes along."""
    homes = [*(Path(x) for x in folders("packages")), _HOME]
    return {about.parent.name: about.parent for home in homes for about in sorted(home.glob(f"*/{_ABOUT}"))}


def load_framework(name: str) -> Framework:
    """The framework of that name; an unknown one, and a `package.toml` that lacks something, is an EdgernnError."""
    found = _folders()
    if name not in found:
        raise EdgernnError(f"unknown package {name!r}; known: {', '.join(sorted(found))}")
    path = found[name] / _ABOUT
    try:
        return Framework(found[name], **tomllib.loads(path.read_text(encoding="utf-8")))
    except (TypeError, tomllib.TOMLDecodeError) as error:
        raise EdgernnError(f"{path} does not describe a framework: {error}") from None


def release() -> str:
    """edgernn's version as MAJOR.MINOR.PATCH, which every framework takes."""
    return ".".join([*re.findall(r"\d+", __version__.split("+")[0]), "0", "0"][:3])


def package_version(g: NetGraph) -> str:
    """Semantic version of a library: edgernn's, with the graph's id as build metadata."""
    return f"{release()}+{g.id[:12]}"


def package_name(g: NetGraph, prefix: str) -> str:
    """Name of the library: the prefix, which sets models of one project apart, and the model's own name in [a-z0-9_]."""
    plain = re.sub(r"[^a-z0-9]+", "_", plain_capitals(g.name).lower())
    words = prefix.strip("_") if plain.strip("_") in ("", prefix) else f"{prefix.strip('_')}_{plain.strip('_')}"
    return words[:_NAME_LENGTH].rstrip("_")


def export_package(g: NetGraph, framework: str, folder: Path, prefix: str = "", kernel: Kernel | None = None) -> list[Path]:
    """Write the library into a folder of its own name in `folder`, all of it or nothing; returns the files written."""
    chosen, task = load_framework(framework), task_of(g)
    prefix = prefix or task.c.prefix
    header, name = render_header(g, prefix, kernel), package_name(g, prefix)
    if not re.fullmatch(chosen.name, name):
        raise EdgernnError(f"{name!r} cannot name a library for {chosen.title}; give another --prefix than {prefix!r}")
    home = folder / name
    code = home / chosen.code
    runtime = _runtime(kernel)
    values = {
        **common_values(task, g, prefix, kernel), "name": name, "version": package_version(g), "release": release(),
        "title": chosen.title, "code": chosen.code, "framework": framework, "kernel": kernel,
        "runtime_sources": sorted(name for name in runtime if not name.endswith(".h")),
    }  # fmt: skip

    def filled(name: str, *places: Path) -> bytes:
        return text_bytes(template(task, name, *places).render(values))

    contents = {code / values["header"]: text_bytes(header), code / f"{prefix}.c": filled("model.c.jinja", _SHARED)}
    for source in _skeletons(chosen.folder):
        path = home / source.removesuffix(_SKELETON)
        taken = filled(source, chosen.folder, _SHARED) if source.endswith(_SKELETON) else (chosen.folder / source).read_bytes()
        contents[path] = taken
    return write_all({**contents, **{code / name: data for name, data in runtime.items()}})


def _runtime(kernel: Kernel | None) -> dict[str, bytes]:
    """The runtime, and a kernel's C, by name; frameworks compile every .c and .S of a folder.

    So a plain file that a kernel's own includes, and takes the place of, becomes a header.
    """
    found = {path.name: data for path, data in runtime_files(Path()).items()}
    if kernel is None:
        return found
    found |= kernel.files()
    for plain, own in kernel.instead.items():
        header = plain.replace(".c", "_plain.h")
        found[header] = found.pop(plain)
        found[own] = found[own].replace(f'#include "{plain}"'.encode(), f'#include "{header}"'.encode())
    return found


def _skeletons(folder: Path) -> Iterator[str]:
    """The files of a framework's folder by their paths in it, package.toml left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _ABOUT:
            yield path.relative_to(folder).as_posix()
