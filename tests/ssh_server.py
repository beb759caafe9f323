"""A real sshd on the loopback interface with a home folder of its own; on demand with a real systemd for the user behind it."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from needs import need_own_systemd, need_sshd

MOUNTED = ("full", "fixed")  #: disks in the home of a server with systemd
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv HOME={home} PATH={path} XDG_RUNTIME_DIR={runtime}
"""
_WITH_SYSTEMD = """\
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/user/0 /run/sshd && chmod 700 /run/user/0
mkdir -p {home}/full {home}/fixed && mount -t tmpfs -o size=400k tmpfs {home}/full && mount -t tmpfs -o ro tmpfs {home}/fixed
HOME={home} XDG_RUNTIME_DIR=/run/user/0 {manager} --user &
exec {sshd} -D -e -f {folder}/sshd_config
"""


@dataclass(frozen=True)
class Server:
    """The machine behind an sshd: where it listens, the home of who logs in, the ssh command that reaches it."""

    folder: Path
    port: int

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def login(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"

    @property
    def options(self) -> list[str]:
        return ["--host", self.login, "--port", str(self.port), "--optimize", "-O0"]  # compiles soonest

    @property
    def ssh(self) -> str:
        """For $EDGERNN_SSH."""
        return f"ssh -F {shlex.quote(str(self.folder / 'ssh_config'))}"

    def run(self, command: str, sound: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        words = [*shlex.split(self.ssh), "-p", str(self.port), self.login, command]
        return subprocess.run(words, input=sound, capture_output=True, timeout=60)

    def files(self) -> dict[str, bytes]:
        """Everything below the home, links by where they lead."""
        found = {}
        for path in sorted(self.home.rglob("*")):
            name = str(path.relative_to(self.home))
            if path.is_symlink():
                found[name] = os.readlink(path).encode()
            elif path.name not in MOUNTED:
                found[name] = path.read_bytes() if path.is_file() else b"folder"
        return found

    def clear(self) -> None:
        """An empty home; what is mounted there stays."""
        for path in self.home.iterdir():
            if path.is_file() or path.is_symlink():
                path.unlink()
            elif path.name not in MOUNTED:
                shutil.rmtree(path)


@contextmanager
def server(folder: Path, systemd: bool = False, path: str = "/usr/local/bin:/usr/bin:/bin") -> Iterator[Server]:
    """path: that of who logs in."""
    sshd = need_sshd()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        machine = Server(folder, free.getsockname()[1])
    machine.home.mkdir(parents=True)
    for name in ("host", "key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    runtime = "/run/user/0" if systemd else folder / "nothing"
    texts = {"folder": folder, "port": machine.port, "home": machine.home, "path": path, "runtime": runtime, "sshd": sshd}
    (folder / "sshd_config").write_text(_CONFIG.format(**texts))
    (folder / "known").write_text(f"[127.0.0.1]:{machine.port} {(folder / 'host.pub').read_text()}")
    (folder / "ssh_config").write_text(_client(folder))
    command = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
    if systemd:
        (folder / "start.sh").write_text(_WITH_SYSTEMD.format(**texts, manager=need_own_systemd()))
        command = ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", "sh", str(folder / "start.sh")]
    elif os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # as the package's own service does
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait(machine, process, systemd)
        yield machine
    finally:
        process.kill()
        process.wait()


def _client(folder: Path, known: str = "known", key: str = "key") -> str:
    options = {"IdentityFile": folder / key, "IdentitiesOnly": "yes", "UserKnownHostsFile": folder / known,
               "GlobalKnownHostsFile": "/dev/null"}  # fmt: skip
    return "".join(f"{name} {value}\n" for name, value in options.items())


def other_client(machine: Server, known: str = "known", key: str = "key") -> str:
    """The ssh command of somebody with other known hosts or another key."""
    path = machine.folder / f"ssh_config-{known}-{key}"
    path.write_text(_client(machine.folder, known, key))
    return f"ssh -F {path}"


def _wait(machine: Server, process: subprocess.Popen[bytes], systemd: bool) -> None:
    """Until it answers, and systemd behind it."""
    question = "systemctl --user show-environment >/dev/null" if systemd else "true"
    until = time.monotonic() + 20
    while machine.run(question).returncode:
        assert process.poll() is None and time.monotonic() < until, (machine.folder / "log").read_text()
        time.sleep(0.1)
