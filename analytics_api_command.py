"""The entry point of the command `analytics-api`.

This module is outside the package, because importing the package takes most of the time until a command starts. An
interrupt (Ctrl-C) during this time prints one line, not a traceback.
"""

import atexit
import gc
import os
import signal
import sys
from types import FrameType


def main() -> None:
    # Without gc.freeze, the garbage collection at exit takes a tenth of the CPU time of a short command. It takes a
    # sixth of that of a server that starts and stops, because it copies the memory that is shared with the workers.
    atexit.register(gc.freeze)
    open_closed_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
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


def interrupt(number: int, frame: FrameType | None) -> None:
    """Delete temporary files as after Ctrl-C, then end the process by the signal. A second signal ends it at once."""
    signal.signal(number, signal.SIG_DFL)
    atexit.register(signal.raise_signal, number)
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)
