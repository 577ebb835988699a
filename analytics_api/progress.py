"""How far a long piece of work is: a bar on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts up to `total` of `unit`, on standard error."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what = what
        self.unit = unit
        self.total = total
        self.done = 0
        self.begun = self.told = time.monotonic()
        self.bar = (
            tqdm(desc=what, total=total, unit=f" {unit}", unit_scale=True, dynamic_ncols=True)
            if sys.stderr.isatty()
            else None
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif kind is None and self.told > self.begun:
            self._tell()

    def add(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif time.monotonic() - self.told >= SECONDS_BETWEEN_LINES:
            self._tell()

    def step(self, name: str) -> None:
        """One more, of that name, is begun."""
        if self.bar is not None:
            self.bar.set_postfix_str(name, refresh=False)
        self.add(1)

    def _tell(self) -> None:
        self.told = time.monotonic()
        rate = self.done / max(self.told - self.begun, 1e-9)
        line = f"{self.what}: {self.done:,} {self.unit}"
        if self.total:
            line += f" of {self.total:,} ({self.done / self.total:.0%})"
        line += f", {rate:,.0f} a second"
        if self.total and rate and self.done < self.total:
            line += f", {(self.total - self.done) / rate:,.0f} s left"
        print(line, file=sys.stderr, flush=True)
