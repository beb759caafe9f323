"""Fetching one large file: resumed where it stopped, retried, and accepted only with the right checksum."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from edgernn.data.corpus import Progress, quiet
from edgernn.errors import EdgernnError

_CHUNK = 1 << 18
_TIMEOUT_S = 30.0


def download(
    url: str,
    path: str | Path,
    sha256: str,
    size: int = 0,
    progress: Progress = quiet,
    retries: int = 4,
    wait_s: float = 1.0,
) -> Path:
    """Fetch `url` into `path` and return it; a present file is checked and kept.

    Bytes go to `path`.part, which a later call continues with an HTTP Range request. `size` in bytes, 0 = not
    known. `wait_s` doubles after every failed try. Failing `retries` + 1 times, wrong checksum: EdgernnError.
    """
    target = Path(path)
    if target.is_file() and _sha256(target) == sha256:
        return target
    part = target.with_name(target.name + ".part")
    for attempt in range(retries + 1):
        try:
            _continue(url, part, size, progress)
            break
        except (OSError, http.client.HTTPException) as error:
            if attempt == retries or _is_final(error):
                raise EdgernnError(
                    f"cannot download {url}: {error}; run it again to continue, or put the file at {target}"
                ) from error
            time.sleep(wait_s * 2**attempt)
    found = _sha256(part)
    if found != sha256:
        part.unlink()
        raise EdgernnError(f"{url} has sha256 {found}, expected {sha256}; it was deleted, try again")
    os.replace(part, target)
    return target


def _continue(url: str, part: Path, size: int, progress: Progress) -> None:
    """Append the bytes that `part` still lacks; raises OSError when the connection ends early."""
    part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    if size and have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with _open(request) as reply:
        if reply.status != 206:  # the server ignored the range, or its file is no longer than ours
            have = 0
        total = have + int(reply.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as file:
            while chunk := reply.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress("downloading", have, total)
    if have < max(total, size):
        raise ConnectionError(f"the connection ended after {have} of {max(total, size)} bytes")


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    try:
        reply: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # The file is no longer than what is here: start over, the checksum decides.
        reply = urllib.request.urlopen(request.full_url, timeout=_TIMEOUT_S)
    return reply


def _is_final(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (400, 401, 403, 404, 410)
    return isinstance(error, (PermissionError, FileExistsError, NotADirectoryError))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
