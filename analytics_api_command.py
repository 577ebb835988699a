"""The entry point of the command `analytics-api`.

This module is outside the package, because importing the package takes most of the time until a command starts. An
interrupt (Ctrl-C) during this time prints one line, not a traceback.
"""

import os
import sys


def main() -> None:
    open_closed_streams()
    try:
        from analytics_api.cli import main as command

        command()
    except KeyboardInterrupt:
        print("Aborted!", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT, as in a shell
    except ModuleNotFoundError as error:
        sys.exit(
            f"analytics-api needs the package {error.name}; "
            "install it with: pip install '.[server]' in the source folder"
        )


def open_closed_streams() -> None:
    """Open the null device in place of the standard streams that are closed, which are None in Python."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 stays open until the end
