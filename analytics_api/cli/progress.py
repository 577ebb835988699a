"""Show progress on standard error: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

SECONDS_BEFORE_BAR = 0.5
SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Show how many of `total` units are done. Nothing is shown for work that ends quickly.

    An interrupt (SIGINT) ends the work at once, or at the latest when the next unit is done. Without this class, an
    interrupt could be lost: if KeyboardInterrupt is raised in a function that SQLite calls, SQLite reports a different
    error, or no error.

    :param what: description of the work, such as `copying`.
    :param total: number of units, or None if it is unknown.
    :param unit: name of the units, such as `rows`.
    """

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what = what
        self.unit = unit
        self.total = total
        self.done = self.first = self.last = 0
        self.started = self.printed = 0.0
        self.bar: tqdm[NoReturn] | None = None
        self.is_interrupted = False
        self.former = signal.getsignal(signal.SIGINT)
        self.is_watching = callable(self.former) and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Progress:
        if self.is_watching:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_watching:
            signal.signal(signal.SIGINT, self.former)
        if self.bar is not None:
            self.bar.close()
        elif kind is None and self.printed > self.started and self.last < self.done:
            self._print_line()
        if self.is_interrupted and error is not None and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error

    def add(self, count: int, total: int | None = None) -> None:
        """Add `count` to the number of finished units. If `total` is set, it replaces the previous total."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.total = total or self.total
        self.done += count
        if not self.started:
            self._start(count)
        elif self.bar is not None:
            self.bar.update(count)
            if self.done == self.total:
                self.bar.close()
        elif time.monotonic() - self.printed >= SECONDS_BETWEEN_LINES or (
            self.printed > self.started and self.done == self.total
        ):
            self._print_line()

    def step(self, name: str) -> None:
        """Add one finished unit, and show its name."""
        self.add(1)
        if self.bar is not None:
            self.bar.set_postfix_str(name)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.is_interrupted = True
        if callable(self.former):
            self.former(number, frame)

    def _start(self, count: int) -> None:
        self.started = self.printed = time.monotonic()
        self.first = count
        if sys.stderr.isatty():
            # Imported here, because only a terminal needs tqdm, and the import takes a tenth of a command's start time.
            from tqdm import tqdm

            self.bar = tqdm(
                desc=self.what,
                total=self.total,
                initial=count,
                unit=f" {self.unit}",
                unit_scale=self.total is not None,
                dynamic_ncols=True,
                delay=SECONDS_BEFORE_BAR,
            )

    def _print_line(self) -> None:
        self.printed = time.monotonic()
        self.last = self.done
        rate = (self.done - self.first) / max(self.printed - self.started, 1e-9)
        line = f"{self.what}: {self.done:,} {self.unit}"
        if self.total:
            line += f" of {self.total:,} ({self.done / self.total:.0%})"
        line += f", {rate:,.0f} a second"
        if self.total and rate and self.done < self.total:
            line += f", {(self.total - self.done) / rate:,.0f} s left"
        print(line, file=sys.stderr, flush=True)
