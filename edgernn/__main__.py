"""The program `edgernn`, and `python -m edgernn`: an EdgernnError is one sentence and exit code 2."""

from __future__ import annotations

import sys

from edgernn.errors import EdgernnError


def main() -> None:
    """Entry point."""
    try:
        from edgernn.cli import app  # here, since an extension that cannot be loaded is an error like any other

        app()
    except EdgernnError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; a training goes on where it was when the same command is run again", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
