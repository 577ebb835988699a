"""Time several functions in turn, so that the ratio of their medians is valid on a busy machine."""

import time
from statistics import median

from .findings import Figure

ROUNDS = 15
SHARE = 0.01  # seconds per function and round; a fast function is called many times in a round
MOST_CALLS = 100
BUDGET = 4.0  # seconds per function; a slow function skips the remaining rounds


class Timings:
    """The seconds per call of each function, by round."""

    def __init__(self):
        self.rounds = {}

    def add(self, name, number, seconds):
        self.rounds.setdefault(name, {})[number] = seconds

    def figure(self, name):
        return Figure.of([seconds for calls in self.rounds[name].values() for seconds in calls])

    def ratio(self, name, *bases):
        """Return the ratio to the sum of `bases` over the rounds in which all of them ran."""
        numbers = set.intersection(*(set(self.rounds[each]) for each in (name, *bases)))
        return Figure.of([self._median(number, name) / self._median(number, *bases) for number in numbers], "x")

    def _median(self, number, *names):
        return sum(median(self.rounds[name][number]) for name in names)


def side_by_side(subjects, rounds=ROUNDS, clock=time.perf_counter):
    """Return the Timings of functions without arguments, by name. Each is called before it is timed, to warm up.

    :param clock: a function that returns seconds, such as the CPU time.
    """
    timings = Timings()
    calls, spent = {}, dict.fromkeys(subjects, 0.0)
    for name, subject in subjects.items():
        seconds = min(timed(subject, clock) for _ in range(2)) if timed(subject, clock) < SHARE else SHARE
        calls[name] = max(1, min(MOST_CALLS, int(SHARE / seconds)))
    names = list(subjects)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:  # rotate the order of the functions
            if spent[name] < BUDGET or not number:
                taken = [timed(subjects[name], clock) for _ in range(calls[name])]
                spent[name] += sum(taken)
                timings.add(name, number, taken)
    return timings


def timed(work, clock=time.perf_counter):
    begun = clock()
    work()
    return clock() - begun
