"""What a test may need from the machine: absent, it skips by name, or fails where CI is "true"."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest


def _absent(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def need_module(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        _absent(f"Python module {name}")


def need_program(name: str) -> None:
    if shutil.which(name) is None:
        _absent(name)


def need_sshd() -> str:
    """OpenSSH's server, which wants to be called by its whole path."""
    need_program("ssh")
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        _absent("sshd (Debian: openssh-server)")
    return str(found)


def need_own_systemd() -> str:
    """systemd as a user's manager, in a namespace of its own: unshare, and the right to mount there."""
    manager = next((p for p in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if Path(p).is_file()), None)
    if manager is None or shutil.which("unshare") is None or shutil.which("systemctl") is None:
        _absent("systemd, or unshare")
    tried = subprocess.run(["unshare", "-m", "-p", "-f", "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True)
    if tried.returncode:
        pytest.skip("systemd of one's own needs the right to mount (root)")
    return str(manager)


def need_older_cpu() -> list[str]:
    """Command words that run an x86-64 program on an emulated CPU with AVX2 and without VNNI."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("emulating an older x86-64 needs an x86-64 program")
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        _absent("qemu-x86_64 (Debian: qemu-user)")
    return [str(emulator), "-cpu", "Haswell"]


def need_portaudio() -> None:
    """sounddevice with a PortAudio that speaks ALSA."""
    need_module("sounddevice")
    if ctypes.util.find_library("portaudio") is None or not Path("/usr/share/alsa/alsa.conf").is_file():
        _absent("PortAudio with ALSA (libportaudio2)")


def need_tflm_headers() -> list[str]:
    """Compiler flags that find TFLM's headers: -isystem for each folder in EDGERNN_TFLM_INCLUDE, as .ci/run fills it.

    A checkout of tflite-micro with its downloads serves as well: its own folder, flatbuffers' include, gemmlowp, ruy.
    """
    folders = [f for f in os.environ.get("EDGERNN_TFLM_INCLUDE", "").split(os.pathsep) if f]
    if not any((Path(f) / "tensorflow" / "lite" / "micro" / "micro_interpreter.h").is_file() for f in folders):
        _absent("EDGERNN_TFLM_INCLUDE (folders of TFLM's headers)")
    return [flag for f in folders for flag in ("-isystem", f)]


def need_recordings() -> Path:
    """The folder of real recordings named by EDGERNN_DATA (kws/manifest.csv, denoise/manifest.csv)."""
    folder = Path(os.environ.get("EDGERNN_DATA", "/nonexistent"))
    if not (folder / "kws" / "manifest.csv").is_file():
        pytest.skip("EDGERNN_DATA (folder of recordings) is not set")
    return folder


def need_packagers() -> str:
    """A Python that has the frameworks' own packagers, as .ci/run makes it: EDGERNN_PACKAGERS, or build/packagers.

    They have pins of their own, and stay out of the environment that the tests run in.
    """
    usual = Path(__file__).resolve().parent.parent / "build" / "packagers" / "bin" / "python"
    python = os.environ.get("EDGERNN_PACKAGERS", str(usual))
    if not Path(python).is_file():
        _absent(
            "EDGERNN_PACKAGERS (a Python with platformio, idf-component-manager, kconfiglib, adafruit-circuitpython-pioasm)"
        )
    return python


def need_chromium() -> str:
    """Chromium as the system has it, and playwright to drive it: its own browsers are a download of their own."""
    need_module("playwright")
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        _absent("chromium")
    return str(found)
