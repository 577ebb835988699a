"""How far a long piece of work is: a bar on a terminal, now and then a plain line elsewhere, nothing for quick work."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm

SECONDS_BEFORE_BAR = 0.5
SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts up to `total` of `unit`, on standard error. The clock starts with the first that are done."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what = what
        self.unit = unit
        self.total = total
        self.done = self.first = self.last = 0
        self.begun = self.told = 0.0
        self.bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif kind is None and self.told > self.begun and self.last < self.done:
            self._tell()

    def add(self, count: int, total: int | None = None) -> None:
        """So many more are done, of so many in all when that is known by now."""
        self.total = total or self.total
        self.done += count
        if not self.begun:
            self._begin(count)
        elif self.bar is not None:
            self.bar.update(count)
            if self.done == self.total:
                self.bar.close()
        elif time.monotonic() - self.told >= SECONDS_BETWEEN_LINES or (
            self.told > self.begun and self.done == self.total
        ):
            self._tell()

    def step(self, name: str) -> None:
        """One more, of that name, is begun."""
        self.add(1)
        if self.bar is not None:
            self.bar.set_postfix_str(name)

    def _begin(self, count: int) -> None:
        self.begun = self.told = time.monotonic()
        self.first = count
        if sys.stderr.isatty():
            self.bar = tqdm(
                desc=self.what,
                total=self.total,
                initial=count,
                unit=f" {self.unit}",
                unit_scale=self.total is not None,
                dynamic_ncols=True,
                delay=SECONDS_BEFORE_BAR,
            )

    def _tell(self) -> None:
        self.told = time.monotonic()
        self.last = self.done
        rate = (self.done - self.first) / max(self.told - self.begun, 1e-9)
        line = f"{self.what}: {self.done:,} {self.unit}"
        if self.total:
            line += f" of {self.total:,} ({self.done / self.total:.0%})"
        line += f", {rate:,.0f} a second"
        if self.total and rate and self.done < self.total:
            line += f", {(self.total - self.done) / rate:,.0f} s left"
        print(line, file=sys.stderr, flush=True)
