"""The program `edgernn`, and `python -m edgernn`: an EdgernnError is one sentence and exit code 2."""

from __future__ import annotations

import os
import sys

from edgernn.errors import EdgernnError
from edgernn.output import close_output


def main() -> None:
    """Entry point."""
    _speak_utf8()
    try:
        from edgernn.cli import app  # here, since an extension that cannot be loaded is an error like any other

        app()
    except EdgernnError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        close_output()  # what is left is written here, where a closed pipe or a full disk is no traceback


def one_line(text: str) -> str:
    """A message as a terminal may be given it: a file's or a model's name in it can neither break the line nor steer it."""
    return "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else repr(c)[1:-1] for c in text)


def _speak_utf8() -> None:
    """File names, arguments and files are UTF-8 in every locale; Python decides at its start, so it is started again."""
    if os.name == "posix" and not sys.flags.utf8_mode and sys.getfilesystemencoding().lower().replace("-", "") != "utf8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names that are no UTF-8 keep their bytes where they are copied to a file or a pipe
            stream.reconfigure(errors="backslashreplace" if stream.isatty() else "surrogateescape")


if __name__ == "__main__":
    main()
