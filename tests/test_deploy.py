"""`edgernn deploy` against a real sshd on the loopback interface and a real systemd of the user's; no hardware."""

from __future__ import annotations

import functools
import json
import logging
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from fixture_runs import ROOT
from needs import need_program
from ssh_server import Server, other_client, server
from test_linux import apart, microphone_of, said
from test_vad import random_graph, sound

from edgernn.deploy import unit_text
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks.vad.activity import stretches_of_speech
from targets import remote
from targets.remote import Place
from targets.ssh import Ssh

PROGRAM = ".local/share/edgernn/ear/edgernn-ear"
UNIT = ".config/systemd/user/edgernn-ear.service"
ear = functools.cache(random_graph)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ear.ern listens, other.ern too, filter.ern gives sound."""
    need_program("x86_64-linux-gnu-gcc")
    folder = tmp_path_factory.mktemp("graphs")
    filtering = quantized_denoiser(random_denoiser(), "int8x16")
    for name, graph in (("ear", ear()), ("other", random_graph("int8")), ("filter", filtering)):
        replace(graph, name=name).save(folder / f"{name}.ern")
    return folder


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Nobody's systemd behind it, and no arecord on its path."""
    folder = tmp_path_factory.mktemp("pi")
    (folder / "bin").mkdir()
    tools = "sh cat uname tr sed head cut sha256sum id ls mv rm rmdir mkdir chmod sort readlink sleep"
    for name in tools.split():
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    with server(folder / "it", path=str(folder / "bin")) as machine:
        yield machine


@pytest.fixture(scope="module")
def systemd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A systemd for the user, a small disk (full) and a read-only one (fixed) in the home."""
    with server(tmp_path_factory.mktemp("pi") / "it", systemd=True) as machine:
        yield machine


@pytest.fixture
def pi(plain_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    return fresh(plain_server, monkeypatch)


@pytest.fixture
def pi_with_systemd(systemd_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    return fresh(systemd_server, monkeypatch)


def fresh(machine: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    machine.clear()
    monkeypatch.setenv("EDGERNN_SSH", machine.ssh)
    return machine


def deployed(where: Path, machine: Server, *more: object) -> dict[str, Any]:
    result = json.loads(said("deploy", where, *machine.options, *more, "--json"))
    assert isinstance(result, dict)
    return result


# There and back ---------------------------------------------------------------------------


def test_there_and_back_without_systemd(graphs: Path, pi: Server, caplog: pytest.LogCaptureFixture) -> None:
    (pi.home / ".local").mkdir()
    (pi.home / ".local" / "mine").write_text("mine")
    before = pi.files()
    with caplog.at_level(logging.WARNING, logger="edgernn"):
        result = deployed(graphs / "ear.ern", pi)
    assert "no systemd runs for" in caplog.text and "has no arecord" in caplog.text and "enable-linger" not in caplog.text
    assert (result["board"], result["machine"], result["unit"], result["state"]) == ("linux-x86_64", "x86_64", "", "")
    assert result["program"] == str(pi.home / PROGRAM) and result["bytes"] == len(pi.files()[PROGRAM])
    assert set(pi.files()) - set(before) == {
        ".local/share", ".local/share/edgernn", ".local/share/edgernn/ear", PROGRAM, f"{Path(PROGRAM).parent}/manifest",
    }  # fmt: skip
    checked = pi.run(f"cd / && sha256sum -c {pi.home}/{Path(PROGRAM).parent}/manifest")
    assert (checked.returncode, checked.stdout.decode()) == (0, f"{pi.home / PROGRAM}: OK\n")
    pcm = sound(10)
    done = pi.run(result["program"], pcm.tobytes())
    ends = apart([json.loads(line) for line in done.stdout.splitlines()])["end"]
    assert len(ends) > 5 and ends == list(stretches_of_speech(ear(), iter([pcm])))
    assert f"removed {pi.home / PROGRAM}" in said("deploy", graphs / "ear.ern", *pi.options, "--remove")
    assert pi.files() == before


def test_a_program_of_ours_is_replaced(graphs: Path, pi: Server) -> None:
    first = deployed(graphs / "ear.ern", pi)
    text = said("deploy", graphs / "other.ern", *pi.options, "--name", "ear", "--optimize", "-Os")
    assert "self-test ok" in text and f"start it there: {first['program']} --device default" in text
    answer = pi.run(f"{first['program']} --self-test").stdout.decode().splitlines()
    assert answer[1] == "self-test ok" and answer[0] not in first["self_test"]
    said("deploy", *pi.options, "--remove", "--name", "ear")
    assert pi.files() == {}


def test_a_run_folder_gives_its_name(graphs: Path, pi: Server, tmp_path: Path) -> None:
    run = tmp_path / "my ears!"
    run.mkdir()
    shutil.copy(graphs / "ear.ern", run / "graph-int8x16.ern")
    where = [run, *pi.options, "--scheme", "int8x16"]
    assert f"{pi.home}/.local/share/edgernn/my-ears/edgernn-my-ears --device hw:7" in said("deploy", *where, "--device", "hw:7")
    assert "edgernn-my-ears from" in said("deploy", *where, "--remove") and pi.files() == {}


def test_a_folder_of_the_users_choice(graphs: Path, pi: Server) -> None:
    (pi.home / "my tools").mkdir()
    odd = pi.folder / "a $(touch x) `b` %h"
    for given, at in (("~/my tools/it", pi.home / "my tools" / "it"), (str(odd / "in"), odd / "in")):
        assert deployed(graphs / "ear.ern", pi, "--folder", given)["program"] == str(at / "edgernn-ear")
        assert pi.run(shlex.join([str(at / "edgernn-ear"), "--self-test"])).returncode == 0
        assert "if it has another --name or --folder" in said("deploy", *pi.options, "--name", "ear", "--remove", code=2)
        said("deploy", *pi.options, "--name", "ear", "--folder", given, "--remove")
        assert not at.exists()
    assert not odd.exists() and pi.files() == {"my tools": b"folder"}


def test_a_dry_run_asks_and_writes_nothing(graphs: Path, pi_with_systemd: Server) -> None:
    text = said("deploy", graphs / "ear.ern", *pi_with_systemd.options, "--dry-run", "--device", "plughw:1,0")
    assert f"would write {pi_with_systemd.home / PROGRAM}, after its self-test" in text
    assert (
        f"would write {pi_with_systemd.home / UNIT}" in text
        and f'"{pi_with_systemd.home / PROGRAM}" --device plughw:1,0' in text
    )
    assert pi_with_systemd.files() == {}


def test_a_filter_has_no_unit_and_runs_in_a_pipe(graphs: Path, pi_with_systemd: Server) -> None:
    pi, pcm = pi_with_systemd, noisy_sound(16000)
    text = said("deploy", graphs / "filter.ern", *pi.options, "--name", "ear")
    assert f"arecord -q -f S16_LE -r 16000 -c 1 -t raw | {pi.home / PROGRAM} | aplay" in text
    assert UNIT not in pi.files()
    graph = quantized_denoiser(random_denoiser(), "int8x16")
    whole = pcm[: len(pcm) // graph.step_samples * graph.step_samples]
    wanted = make_runtime("numpy", graph).run(whole).output
    assert wanted is not None
    assert np.array_equal(np.frombuffer(pi.run(str(pi.home / PROGRAM), pcm.tobytes()).stdout, "<i2"), wanted.ravel())
    assert "is a filter in a pipe" in said("deploy", graphs / "filter.ern", *pi.options, "--device", "x", code=2)
    assert "would write no systemd unit" in said("deploy", graphs / "filter.ern", *pi.options, "--dry-run")


# systemd ---------------------------------------------------------------------------


def test_a_unit_listens_until_it_is_removed(graphs: Path, pi_with_systemd: Server, caplog: pytest.LogCaptureFixture) -> None:
    need_program("arecord")
    pi = pi_with_systemd
    sound(10).tofile(pi.folder / "sound.raw")
    (pi.home / ".asoundrc").write_text(microphone_of(pi.folder / "sound.raw"))
    before = pi.files()
    with caplog.at_level(logging.WARNING, logger="edgernn"):
        result = deployed(graphs / "ear.ern", pi, "--device", "sound")
    assert result["state"] == "active" and "arecord" not in caplog.text and "enable-linger" in caplog.text
    status = pi.run("systemctl --user show -p MainPID -p UnitFileState edgernn-ear").stdout.decode()
    main = status.split("MainPID=")[1].split()[0]
    assert "UnitFileState=enabled" in status and int(main) > 0
    again = deployed(graphs / "other.ern", pi, "--name", "ear", "--device", "sound")
    assert again["state"] == "active" and again["self_test"] != result["self_test"]
    assert main not in pi.run("systemctl --user show -p MainPID edgernn-ear").stdout.decode().split("=")[1].split()
    text = said("deploy", graphs / "filter.ern", *pi.options, "--name", "ear", code=2)
    assert "is of a model that listens, this one gives sound; --remove it first" in text
    said("deploy", graphs / "ear.ern", *pi.options, "--remove")
    assert pi.files() == before
    assert "LoadState=not-found" in pi.run("systemctl --user show -p LoadState edgernn-ear").stdout.decode()


def test_a_unit_that_does_not_hear_is_told(graphs: Path, pi_with_systemd: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="edgernn"):
        text = said("deploy", graphs / "ear.ern", *pi_with_systemd.options, "--device", "nowhere")
    assert "activating" in text and "is activating; `journalctl --user -u edgernn-ear.service` there says why" in caplog.text
    said("deploy", graphs / "ear.ern", *pi_with_systemd.options, "--remove")
    assert pi_with_systemd.files() == {}


def test_a_unit_of_the_users_is_not_touched(graphs: Path, pi_with_systemd: Server) -> None:
    pi = pi_with_systemd
    (pi.home / UNIT).parent.mkdir(parents=True)
    (pi.home / UNIT).write_text("mine")
    before = pi.files()
    assert f"{pi.home / UNIT} on" in said("deploy", graphs / "ear.ern", *pi.options, code=2)
    assert pi.files() == before


def test_what_was_changed_since_is_kept(graphs: Path, pi_with_systemd: Server, caplog: pytest.LogCaptureFixture) -> None:
    pi = pi_with_systemd
    deployed(graphs / "ear.ern", pi)
    text = (pi.home / UNIT).read_text() + "# mine\n"
    (pi.home / UNIT).write_text(text)
    assert "edgernn-ear.service on" in said("deploy", graphs / "ear.ern", *pi.options, code=2)
    result = json.loads(said("deploy", graphs / "ear.ern", *pi.options, "--remove", "--json"))
    assert (result["removed"], result["kept"]) == ([str(pi.home / PROGRAM)], [str(pi.home / UNIT)])
    assert "was changed since it was written, and is kept" in caplog.text
    assert {k: v for k, v in pi.files().items() if v != b"folder"} == {UNIT: text.encode()}


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    need_program("systemd-analyze")
    folder = tmp_path / "a b%i$HOME"
    folder.mkdir()
    program = folder / "edgernn-ear"
    program.symlink_to("/bin/true")
    unit = tmp_path / "edgernn-ear.service"
    unit.write_text(unit_text(str(program), "ear", "pi@raspberrypi", "plughw:1,0"))

    def verified() -> str:
        done = subprocess.run(["systemd-analyze", "--user", "verify", unit], capture_output=True, encoding="utf-8",
                              env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})  # fmt: skip
        return done.stderr if done.returncode or "edgernn-ear" in done.stderr else ""

    assert verified() == ""
    unit.write_text(unit.read_text().replace("%%", "%"))
    assert "not executable" in verified(), "a path that is not the program's is noticed"


# What is refused ---------------------------------------------------------------------------


def test_what_is_there_and_not_ours_stays(graphs: Path, pi: Server) -> None:
    at = (pi.home / PROGRAM).parent
    at.mkdir(parents=True)
    (at / "notes").write_text("mine")
    before = pi.files()
    assert f"{at} on {pi.login} exists and is not of this program" in said("deploy", graphs / "ear.ern", *pi.options, code=2)
    assert "there is no program 'ear'" in said("deploy", graphs / "ear.ern", *pi.options, "--remove", code=2)
    assert pi.files() == before
    pi.clear()
    (pi.home / "file").write_text("mine")
    text = said("deploy", graphs / "ear.ern", *pi.options, "--folder", "file", code=2)
    assert "exists and is not of this program" in text and pi.files() == {"file": b"mine"}
    pi.clear()
    deployed(graphs / "ear.ern", pi)
    (pi.home / PROGRAM).write_bytes(b"mine")
    before = pi.files()
    assert f"{pi.home / PROGRAM} on {pi.login} is not as written" in said("deploy", graphs / "ear.ern", *pi.options, code=2)
    place = Path(PROGRAM).parent.as_posix()
    text = said("deploy", graphs / "ear.ern", *pi.options, "--name", "other", "--folder", place, code=2)
    assert "belongs to a program of another name" in text and pi.files() == before


def test_a_program_that_does_not_work_there_leaves_nothing(graphs: Path, pi: Server, tmp_path: Path) -> None:
    place, ssh = Place("ear"), Ssh(pi.login, pi.port)
    for name, text, message in (
        (
            "wrong",
            "#!/bin/sh\necho self-test 3 failed\nexit 1\n",
            r"does not work there \(self-test 3 failed\); nothing was left",
        ),
        ("noise", "\x7fELF no program", r"does not work there \(.*\); nothing was left"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(EdgernnError, match=message):
            remote.install(ssh, place, remote.look(ssh, place), tmp_path / name, "", "x")
        assert pi.files() == {}
    with pytest.raises(EdgernnError, match="did not arrive whole; nothing was left there"):
        ssh.run(remote._INSTALL, f"{pi.home}/a/b", "edgernn-ear", "0" * 64, "", "", "", data=b"half")
    assert pi.files() == {}


def test_a_machine_that_answers_with_another_model_is_told(graphs: Path, pi: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "install", lambda *a: (["edgernn other", "self-test ok"], ""))
    assert "instead of graph" in said("deploy", graphs / "ear.ern", *pi.options, code=2)


def test_a_full_disk_and_a_fixed_one(graphs: Path, pi_with_systemd: Server) -> None:
    pi = pi_with_systemd
    text = said("deploy", graphs / "ear.ern", *pi.options, "--folder", "full/it", code=2)
    assert f"the disk of {pi.login} is full" in text and "nothing was left there" in text
    text = said("deploy", graphs / "ear.ern", *pi.options, "--folder", "fixed/it", code=2)
    assert f"{pi.login} does not let you write there" in text and "Read-only" in text
    left = pi.run(f"find {pi.home}/full {pi.home}/fixed -mindepth 1")
    assert (left.returncode, left.stdout) == (0, b"")
    assert pi.files() == {}


def test_why_there_is_no_connection(graphs: Path, pi: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(ssh: str = pi.ssh, host: str = pi.login, port: int = pi.port, *more: object) -> str:
        monkeypatch.setenv("EDGERNN_SSH", ssh)
        return said("deploy", graphs / "ear.ern", "--host", host, "--port", port, *more, code=2)

    text = refused(other_client(pi, "nobody"))
    assert f"the host key of 127.0.0.1 is unknown: connect once with `ssh -p {pi.port} {pi.login}`" in text
    assert not (pi.folder / "nobody").exists(), "no key was accepted in silence"
    (pi.folder / "before").write_text(f"[127.0.0.1]:{pi.port} {(pi.folder / 'stranger.pub').read_text()}")
    text = refused(other_client(pi, "before"))
    assert "is another one than you accepted before" in text and f"ssh-keygen -R [127.0.0.1]:{pi.port}" in text
    assert f"does not take your key: `ssh-copy-id -p {pi.port}" in refused(other_client(pi, key="stranger"))
    loose = tmp_path / "loose"
    shutil.copy(pi.folder / "key", loose)
    loose.chmod(0o644)
    bare = tmp_path / "config"
    bare.write_text(f"IdentitiesOnly yes\nUserKnownHostsFile {pi.folder / 'known'}\n")
    assert "which others may read" in refused(f"ssh -F {bare}", pi.login, pi.port, "--identity", loose)
    loose.chmod(0o600)
    monkeypatch.setenv("EDGERNN_SSH", f"ssh -F {bare}")
    assert "would write" in said("deploy", graphs / "ear.ern", *pi.options, "--identity", loose, "--dry-run")
    assert "refuses SSH at port 1: enable it there" in refused(port=1)
    assert "there is no host 'nowhere.invalid'" in refused(host="pi@nowhere.invalid")
    assert "no-such-ssh is not installed" in refused("no-such-ssh")
    assert "is no command" in refused("ssh 'x")
    assert "ssh to" in refused("ssh -o NoSuchOption=1") and pi.files() == {}


@pytest.mark.parametrize(
    ("said_by_ssh", "message"),
    [
        ("ssh: connect to host pi port 22: Connection timed out", "pi cannot be reached"),
        ("ssh: connect to host pi port 22: No route to host", "pi cannot be reached"),
        ("kex_exchange_identification: read: reset", "ssh to me@pi failed: kex_exchange_identification"),
        ("", "ssh to me@pi failed: no message"),
    ],
)
def test_other_words_of_ssh(said_by_ssh: str, message: str) -> None:
    assert message in Ssh("me@pi")._refused(said_by_ssh)


def test_a_machine_that_does_not_answer_is_given_up(pi: Server) -> None:
    begin = time.monotonic()
    with pytest.raises(EdgernnError, match=r"did not answer within 1 s; it may be half done"):
        Ssh(pi.login, pi.port).run("sleep 20", timeout_s=1)
    assert time.monotonic() - begin < 10
    with pytest.raises(EdgernnError, match=r"@127\.0\.0\.1: it broke"):
        Ssh(pi.login, pi.port).run("echo first >&2; echo it broke >&2; exit 3")
    with pytest.raises(EdgernnError, match="no answer of a POSIX shell"):
        remote.look(_Silent(pi.login), Place("x"))


class _Silent(Ssh):
    """A machine whose shell prints nothing."""

    def run(self, *_: object, **__: object) -> str:
        return "hello\n"


def test_another_kind_of_machine_and_a_missing_compiler(graphs: Path, pi: Server, tmp_path: Path) -> None:
    text = said("deploy", graphs / "ear.ern", *pi.options, "--board", "raspberry-pi-4", code=2)
    assert "raspberry-pi-4 with a kernel for 'x86_64' is unknown; known are aarch64, armv7l" in text
    mine = tmp_path / "mine.toml"
    text = (ROOT / "targets" / "linux" / "linux-x86_64.toml").read_text()
    mine.write_text(text.replace('"sse2"', '"sse2", "quantum"'))
    text = said("deploy", graphs / "ear.ern", *pi.options, "--board", mine, code=2)
    assert f"the processor of {pi.login} lacks quantum" in text
    mine.write_text((ROOT / "targets" / "linux" / "linux-x86_64.toml").read_text().replace("x86_64-linux-gnu-gcc", "none-gcc"))
    text = said("deploy", graphs / "ear.ern", *pi.options, "--board", mine, "--toolchain", "gcc", code=2)
    assert "No gcc compiler for machine 'x86_64' is installed" in text and "pip install ziglang" in text and pi.files() == {}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--host", "-oProxyCommand=x"], "must be a host, or user@host"),
        (["--host", "pi@"], "must be a host, or user@host"),
        (["--host", "a b"], "must be a host, or user@host"),
        (["--host", "pi", "--port", "65536"], "must lie in 1..65535"),
        (["--host", "pi", "--port", "-1"], "must lie in 1..65535"),
        (["--host", "pi", "--identity", "/none"], "there is no key file /none"),
        (["--host", "pi", "--name", "a/b"], "--name 'a/b' must be letters"),
        (["--host", "pi", "--name", "-a"], "--name '-a' must be letters"),
        (["--host", "pi", "--folder", "../x"], "must be a path without .."),
        (["--host", "pi", "--folder", "a\nb"], "must be a path without .."),
        (["--host", "pi", "--folder", "it's"], "must be a path without .."),
        (["--host", "pi", "--device", "x; reboot"], "is no ALSA device"),
        (["--host", "pi", "--device", "-x"], "is no ALSA device"),
        (["--host", "pi", "--remove", "--dry-run"], "leave --dry-run, --device and --board out"),
        (["--host", "pi", "--remove", "--device", "x"], "leave --dry-run, --device and --board out"),
    ],
)
def test_options_are_checked_before_anybody_is_called(args: list[str], message: str, graphs: Path) -> None:
    assert message in said("deploy", graphs / "ear.ern", *args, code=2)


def test_what_must_be_named(graphs: Path) -> None:
    assert "name the run folder or graph file" in said("deploy", "--host", "pi", code=2)
    assert "--remove needs the --name" in said("deploy", "--host", "pi", "--remove", code=2)
