"""Another machine over SSH, by OpenSSH's client: one script there for each call, and what went wrong as one sentence.

$EDGERNN_SSH is the command instead of `ssh`, such as "ssh -F my-config". Nothing is asked (BatchMode); host keys are checked.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass

from edgernn.errors import EdgernnError

_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=4")
OWN = "edgernn: "  #: how a script begins a sentence of its own
_FAILED = 255  #: ssh's own exit code
_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_DENIED = re.compile(r"Permission denied|Read-only file system")


@dataclass(frozen=True)
class Ssh:
    """host: [user@]host or an alias of ~/.ssh/config; port 0 and identity "": as ssh has them."""

    host: str
    port: int = 0
    identity: str = ""

    def __post_init__(self) -> None:
        """Refuse what ssh would take for something else."""
        if not re.fullmatch(r"[^-\s/][^\s/]*", self.host) or self.host.endswith("@"):
            raise EdgernnError(f"--host {self.host!r} must be a host, or user@host")
        if not 0 <= self.port <= 65535:
            raise EdgernnError(f"--port {self.port} must lie in 1..65535")
        if self.identity and not os.path.isfile(os.path.expanduser(self.identity)):
            raise EdgernnError(f"there is no key file {self.identity}; correct --identity")

    def command(self, script: str, arguments: tuple[str, ...]) -> list[str]:
        """The words that run a script of a POSIX shell there, with $1 and on."""
        try:
            words = shlex.split(os.environ.get("EDGERNN_SSH", "")) or ["ssh"]
        except ValueError as error:
            raise EdgernnError(f"the environment variable EDGERNN_SSH is no command ({error})") from None
        words += [word for option in _OPTIONS for word in ("-o", option)]
        words += ["-p", str(self.port)] if self.port else []
        words += ["-i", os.path.expanduser(self.identity)] if self.identity else []
        return [*words, "-T", "--", self.host, shlex.join(["sh", "-c", script, "edgernn", *arguments])]

    def run(self, script: str, *arguments: str, data: bytes = b"", timeout_s: float = 120.0, left: str = "") -> str:
        """What the script prints; data is its standard input. A script that fails is an EdgernnError with what it said last.

        left: what a failed script leaves there, in words.
        """
        command = self.command(script, arguments)
        if shutil.which(command[0]) is None:
            raise EdgernnError(f"{command[0]} is not installed; OpenSSH's client is needed (Debian: openssh-client)")
        try:
            done = subprocess.run(command, input=data, capture_output=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise EdgernnError(f"{self.host} did not answer within {timeout_s:g} s; it may be half done") from None
        said = done.stderr.decode(errors="replace")
        if done.returncode == _FAILED:
            raise EdgernnError(self._refused(said))
        if done.returncode:
            raise EdgernnError(self._failed(said, done.stdout.decode(errors="replace"), left))
        return done.stdout.decode(errors="replace")

    def _failed(self, said: str, printed: str, left: str) -> str:
        lines = [line for line in said.splitlines() if line.strip()] or printed.splitlines() or ["no message"]
        if lines[-1].startswith(OWN):
            return lines[-1].removeprefix(OWN)
        if _FULL.search(said):
            return f"the disk of {self.host} is full ({lines[-1]}); {left}make room and try again"
        if _DENIED.search(said):
            return f"{self.host} does not let you write there ({lines[-1]}); {left}choose another --folder"
        return f"{self.host}: {lines[-1]}"

    def _refused(self, said: str) -> str:
        """Why there is no connection, and what to do."""
        host, where = self.host.rpartition("@")[2], f" -p {self.port}" if self.port else ""
        forget = f"[{host}]:{self.port}" if self.port else host
        for pattern, sentence in (
            (r"IDENTIFICATION HAS CHANGED", f"the host key of {host} is another one than you accepted before: if you set it up "
             f"anew, `ssh-keygen -R {forget}`, then connect once with `ssh{where} {self.host}`"),
            (r"Host key verification failed|host key is known", f"the host key of {host} is unknown: connect once with "
             f"`ssh{where} {self.host}`, compare the fingerprint it shows, and answer yes"),
            (r"bad permissions|UNPROTECTED PRIVATE KEY", f"ssh ignores the key {self.identity}, which others may read"),
            (r"Permission denied", f"{self.host} does not take your key: `ssh-copy-id{where} {self.host}`, or give --identity; "
             "a key with a passphrase needs `ssh-add` first"),
            (r"Could not resolve hostname", f"there is no host {host!r}; give its name or IP address"),
            (r"Connection refused", f"{host} refuses SSH at port {self.port or 22}: enable it there "
             "(`sudo raspi-config`, Interface Options, SSH), or correct --port"),
            (r"timed out|No route to host|unreachable", f"{host} cannot be reached; is it switched on and in this network?"),
        ):  # fmt: skip
            if re.search(pattern, said):
                return sentence
        lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no message"]
        return f"ssh to {self.host} failed: {lines[-1]}"
