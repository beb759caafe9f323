"""A program on another machine: what lies there, put there whole or not at all, and taken away again.

A folder holds the program and a manifest in the form of `sha256sum`: what was written, with its sum, and folders made.
What has another sum is the user's, and is neither overwritten nor removed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgernn.errors import EdgernnError
from targets.linux_board import Seen
from targets.ssh import Ssh

MANIFEST = "manifest"
FOLDER = ".local/share/edgernn"  #: below the user's home, a folder for each name
UNITS = ".config/systemd/user"
UNFIT = r"\x00-\x1f\x7f\\\"'"  #: characters that systemd takes in no program's path

_RUNTIME = 'export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"\n'

#: $1 folder, $2 program's name, $3 unit's name
_LOOK = (
    _RUNTIME
    + r"""
folder=$1 unit=$HOME/.config/systemd/user/$3
case $folder in /*) ;; *) folder=$HOME/$folder ;; esac
echo "system $(uname -s)"
echo "machine $(uname -m)"
echo "model $( { tr -d '\0' </proc/device-tree/model; } 2>/dev/null)"
echo "features $(sed -n -e 's/^Features[[:space:]]*: //p' -e 's/^flags[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
echo "home $HOME"
echo "user $(id -un)"
echo "recorder $(command -v arecord)"
systemctl --user show-environment >/dev/null 2>&1 && echo "systemd yes"
[ -e "/var/lib/systemd/linger/$(id -un)" ] && echo "linger yes"
echo "folder $folder"
[ -e "$folder" ] && [ ! -d "$folder" ] && echo "inside $folder"
ls -A "$folder" 2>/dev/null | sed 's/^/inside /'
[ -f "$folder/manifest" ] && sed 's/^/manifest /' "$folder/manifest"
for file in "$folder/$2" "$unit"; do
    if [ -f "$file" ]; then
        echo "file $(sha256sum <"$file" | cut -c 1-64) $file"
    elif [ -e "$file" ] || [ -L "$file" ]; then
        echo "file - $file"
    fi
done
exit 0
"""
)

#: $1 folder, $2 program's name, $3 its sum, $4 manifest, $5 unit's file or nothing, $6 its text; the program comes in
_INSTALL = (
    _RUNTIME
    + r"""
set -eu
umask 022
folder=$1 new=$1/.new.$$ unit=$5 made=
undo() {
    rm -f "$new" "$new.manifest" ${unit:+"$unit.$$"}
    printf %s "$made" | sort -r | while read -r hash word path; do rmdir "$path" 2>/dev/null || :; done
}
need() {
    [ -d "${1:-/}" ] && return
    need "${1%/*}"
    mkdir "$1"
    made="$made# made $1
"
}
trap undo EXIT
trap 'exit 1' HUP INT TERM
need "$folder"
cat >"$new"
if [ "$(sha256sum <"$new" | cut -c 1-64)" != "$3" ]; then
    echo "edgernn: the program did not arrive whole; nothing was left there, try again" >&2
    exit 1
fi
chmod 755 "$new"
if ! said=$("$new" --self-test 2>&1); then
    echo "edgernn: the program does not work there ($said); nothing was left there" >&2
    exit 1
fi
if [ -n "$unit" ]; then
    need "${unit%/*}"
    printf %s "$6" >"$unit.$$"
fi
printf '%s%s' "$4" "$made" >"$new.manifest"
mv -f "$new" "$folder/$2"
[ -z "$unit" ] || mv -f "$unit.$$" "$unit"
mv -f "$new.manifest" "$folder/manifest"
trap - EXIT
printf '%s\n' "$said"
[ -n "$unit" ] || exit 0
name=${unit##*/}
start() {
    systemctl --user daemon-reload && systemctl --user enable "$name" && systemctl --user restart "$name"
}
if ! said=$(start 2>&1); then
    echo "edgernn: the files are there, but systemd does not start $name ($said); --remove takes them away" >&2
    exit 1
fi
sleep 2
echo "state $(systemctl --user is-active "$name")"
"""
)

#: $1 folder, $2 unit's file or nothing, $3 files to remove, $4 folders to remove if they are empty; one a line
_REMOVE = (
    _RUNTIME
    + r"""
unit=$2 name=${2##*/}
if [ -n "$unit" ]; then
    systemctl --user disable --now "$name" >/dev/null 2>&1
    systemctl --user reset-failed "$name" >/dev/null 2>&1
    link=${unit%/*}/default.target.wants/$name
    [ "$(readlink "$link")" = "$unit" ] && rm -f "$link"
fi
set -e
printf '%s\n' "$3" | while IFS= read -r file; do [ -z "$file" ] || rm -f "$file"; done
rm -f "$1/manifest"
printf '%s\n' "$4" | while IFS= read -r path; do [ -z "$path" ] || rmdir "$path" 2>/dev/null || :; done
[ -z "$unit" ] || systemctl --user daemon-reload >/dev/null 2>&1 || :
"""
)


@dataclass(frozen=True)
class Place:
    """Where a program called `name` lies on a machine: a folder, absolute or below the user's home."""

    name: str
    folder: str = ""

    def __post_init__(self) -> None:
        """Names that no shell, unit or manifest would read otherwise."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):
            raise EdgernnError(f"--name {self.name!r} must be letters, digits, dots, dashes and underscores, at most 64")
        if not re.fullmatch(rf"[^{UNFIT}]*", self.folder) or ".." in Path(self.folder).parts:
            raise EdgernnError(f"--folder {self.folder!r} must be a path without .., quotes and backslashes")

    @property
    def program(self) -> str:
        """The program's file name."""
        return f"edgernn-{self.name}"

    @property
    def unit(self) -> str:
        """The unit's file name."""
        return f"edgernn-{self.name}.service"

    @property
    def wanted(self) -> str:
        """The folder as it is asked for."""
        return self.folder.removeprefix("~/").rstrip("/") or f"{FOLDER}/{self.name}"


@dataclass(frozen=True)
class Found:
    """What a machine says of itself and of a place. sums: file -> sha256 of program and unit, where they exist.

    listed: the same as the manifest has it; made: folders that were made; systemd: whether the user's manager runs; linger:
    whether it runs without a login.
    """

    seen: Seen
    home: str
    user: str
    folder: str
    recorder: bool
    systemd: bool
    linger: bool
    inside: tuple[str, ...]
    sums: dict[str, str]
    listed: dict[str, str] = field(default_factory=dict)
    made: tuple[str, ...] = ()

    def unit(self, place: Place) -> str:
        """The unit's path."""
        return f"{self.home}/{UNITS}/{place.unit}"

    def program(self, place: Place) -> str:
        """The program's path."""
        return f"{self.folder}/{place.program}"

    def foreign(self) -> list[str]:
        """Files there that are not as the manifest has them."""
        return [path for path, digest in self.sums.items() if self.listed.get(path) != digest]


def look(ssh: Ssh, place: Place) -> Found:
    """Ask the machine; nothing is written there."""
    lines = [line.partition(" ")[::2] for line in ssh.run(_LOOK, place.wanted, place.program, place.unit).splitlines()]

    def all_of(key: str) -> list[str]:
        return [text.strip() for word, text in lines if word == key]

    def one(key: str) -> str:
        return (all_of(key) or [""])[0]

    if re.search(f"[{UNFIT}]", one("folder")):
        raise EdgernnError(f"the path {one('folder')} on {ssh.host} holds a quote or a backslash; give another --folder")
    files = [text.partition(" ")[::2] for text in all_of("file")]
    listed = [line.partition("  ")[::2] for line in all_of("manifest") if not line.startswith("#")]
    if not one("folder").startswith("/") or not one("home").startswith("/"):
        raise EdgernnError(f"{ssh.host} answers what is no answer of a POSIX shell; is its login shell one?")
    return Found(
        Seen(one("system"), one("machine"), one("model"), frozenset(one("features").split())), one("home"), one("user"),
        one("folder"), bool(one("recorder")), one("systemd") == "yes", one("linger") == "yes", tuple(all_of("inside")),
        {path: digest for digest, path in files}, {path: digest for digest, path in listed},
        tuple(line.removeprefix("# made ") for line in all_of("manifest") if line.startswith("# made ")),
    )  # fmt: skip


def check_free(found: Found, place: Place, host: str) -> None:
    """Refuse to write over what is not ours."""
    if found.inside and MANIFEST not in found.inside:
        raise EdgernnError(f"{found.folder} on {host} exists and is not of this program; choose another --name or --folder")
    if foreign := found.foreign():
        raise EdgernnError(
            f"{' and '.join(foreign)} on {host} {'is' if len(foreign) == 1 else 'are'} not as written from here; move it away, "
            "or choose another --name"
        )
    if found.listed and found.program(place) not in found.listed:
        raise EdgernnError(f"{found.folder} on {host} belongs to a program of another name; choose another --folder")


def install(ssh: Ssh, place: Place, found: Found, program: Path, unit: str, about: str) -> tuple[list[str], str]:
    """Copy the program, run its self-test there, and only then put it and the unit (its text, "" for none) in their places.

    Returns what the self-test printed, and the unit's state. about: a line for the manifest.
    """
    data, path = program.read_bytes(), found.unit(place) if unit else ""
    kept = {k: v for k, v in found.listed.items() if k != found.program(place) and k != path}
    kept |= {found.program(place): _sum(data), **({path: _sum(unit.encode())} if unit else {})}
    manifest = [f"# {about}", *(f"# made {folder}" for folder in found.made), *(f"{v}  {k}" for k, v in kept.items())]
    text = "\n".join(manifest) + "\n"
    words = (found.folder, place.program, _sum(data), text, path, unit)
    said = ssh.run(_INSTALL, *words, data=data, left="nothing was left there, ").splitlines()
    state = "".join(line.removeprefix("state ") for line in said if line.startswith("state "))
    return [line for line in said if not line.startswith("state ")], state


def remove(ssh: Ssh, place: Place, found: Found) -> tuple[list[str], list[str]]:
    """Take away what the manifest lists; returns the files removed, and those kept because somebody changed them."""
    ours = {found.program(place), found.unit(place)}
    if found.program(place) not in found.listed:
        raise EdgernnError(
            f"there is no program {place.name!r} at {found.folder} on {ssh.host}; if it has another --name or --folder, say so"
        )
    kept = [path for path in found.foreign() if path in found.listed]
    gone = [path for path in found.sums if path in ours & set(found.listed) and path not in kept]
    unit = found.unit(place) if found.unit(place) in found.listed else ""
    ssh.run(_REMOVE, found.folder, unit, "\n".join(gone), "\n".join(_parents(found, [*ours, found.folder])))
    return gone, kept


def _parents(found: Found, ours: Iterable[str]) -> list[str]:
    """Folders that were made for us, the innermost first; a manifest names no others."""
    above = {str(x) for path in ours for x in (Path(path), *Path(path).parents)}
    return sorted((folder for folder in found.made if folder in above), key=len, reverse=True)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
