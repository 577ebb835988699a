"""Compute conversions and the pipeline in Python from the rows of a Model, to compare them with the endpoints."""

from collections import Counter
from types import SimpleNamespace

from helpers.plain_attributions import enquired_at
from helpers.plain_comparison import list_labels
from helpers.plain_statistics import KEYS_OF, date_of, rounded

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
STATUSES = ("new", "contacted", "qualified", "proposal", "won", "lost")
# The index of each property in `values` of the session to which a lead is attributed.
PLACES = {"country": 3, "source": 4, "entry_page": 5, "campaign": 6}
INTERVALS = ("day", "week", "month")


def percentile(numbers, tenths, unit):
    """Return a percentile with linear interpolation, divided by `unit` and rounded to two decimals."""
    if not numbers:
        return None
    numbers = sorted(numbers)
    place, rest = divmod((len(numbers) - 1) * tenths, 10)
    following = numbers[min(place + 1, len(numbers) - 1)]
    return rounded(numbers[place] * (10 - rest) + following * rest, 10, per=unit, parts=100)


class PlainConversions:
    """The sessions and leads of a model.

    :param matching: a function that returns whether a session matches the filters, or None if there are no filters.
    """

    def __init__(self, model, labels, matching=None):
        self.model, self.labels, self.matching = model, labels, matching
        self.sessions = [*model.archived, *model.sessions.values()]
        for session in self.sessions:
            session["date"] = date_of(session["started_at"], model.clock)
        self.leads = [self._lead(key, lead) for key, lead in model.leads.items()]

    def _lead(self, key, row):
        moment = enquired_at(row)
        wins = [move[3] for move in self.model.moves if move[0] == key and move[2] == "won"]
        attributed = self.model.attributed[key]
        return SimpleNamespace(
            row=row,
            status=row["status"],
            moment=moment,
            date=None if moment is None else date_of(moment, self.model.clock),
            sessions={"first": attributed.first, "last": attributed.last},
            to_lead=[moment - attributed.first.values[2]] if attributed.first and moment is not None else [],
            to_won=[max(wins) - moment] if wins and row["status"] == "won" and moment is not None else [],
        )

    def rows(self, by, attribution, first=None, last=None, until=None):
        """Return the rows in the order of the endpoint. Each row has its key in the field `by`."""
        counted = [] if by == "project" else self._sessions(first, last, until)
        sessions = Counter(self._key_of_session(by, session) for session in counted)
        groups = {}
        for lead in self._leads(attribution, first, last, until):
            groups.setdefault(self._key_of_lead(by, attribution, lead), []).append(lead)
        keys = (sessions.keys() | groups.keys()) - {None}
        keys |= {"(all)"} if by == "total" else set()
        if by in INTERVALS:
            ordered = sorted(keys)
        else:
            ordered = sorted(keys, key=lambda key: (-len(groups.get(key, [])), -sessions[key], key))
        return [self.row(by, key, None if by == "project" else sessions[key], groups.get(key, [])) for key in ordered]

    def row(self, by, key, sessions, leads):
        won, lost = (sum(lead.status == status for lead in leads) for status in ("won", "lost"))
        return {
            **({} if key is None else {by: key}),
            "sessions": sessions,
            "leads": len(leads),
            "won": won,
            "lost": lost,
            "open": len(leads) - won - lost,
            "lead_rate": rounded(len(leads), sessions, parts=10_000) if sessions else None,
            "win_rate": rounded(won, won + lost, parts=10_000) if won + lost else None,
            "median_days_to_lead": percentile([ms for lead in leads for ms in lead.to_lead if ms >= 0], 5, DAY_MS),
            "median_days_to_won": percentile([ms for lead in leads for ms in lead.to_won], 5, DAY_MS),
        }

    def compared(self, by, attribution, first, last, earlier):
        """Return the rows of a range. Each row has the numbers of an earlier range in `previous`."""
        rows = self.rows(by, attribution, first, last)
        previous = {
            row[by]: row for row in self.rows(by, attribution, earlier.first, earlier.last_counted, earlier.until)
        }
        zeros = self.row(by, None, None if by == "project" else 0, [])
        if by not in INTERVALS:
            nameless = {
                key: {name: value for name, value in row.items() if name != by} for key, row in previous.items()
            }
            return [{**row, "previous": nameless.get(row[by], zeros)} for row in rows]
        shown = list_labels(first, last, None, by, self.model.clock, self.labels[by])
        partners = list_labels(
            earlier.first, earlier.last_counted, earlier.until, by, self.model.clock, self.labels[by]
        )
        pairs = dict(zip(shown, partners))
        return [
            {
                **row,
                "previous": previous.get(pairs[row[by]], {by: pairs[row[by]], **zeros}) if row[by] in pairs else zeros,
            }
            for row in rows
        ]

    def _sessions(self, first, last, until):
        return [
            session
            for session in self.sessions
            if (first is None or session["date"] >= first)
            and (last is None or session["date"] <= last)
            and (until is None or session["started_at"] < until)
            and (self.matching is None or self.matching(session))
        ]

    def _leads(self, attribution, first, last, until):
        return [
            lead
            for lead in self.leads
            if (first is None or (lead.date is not None and lead.date >= first))
            and (last is None or (lead.date is not None and lead.date <= last))
            and (until is None or lead.moment < until)
            and (self.matching is None or self._matches(lead.sessions[attribution]))
        ]

    def _matches(self, attributed):
        session = attributed and self.model.sessions.get(attributed.values[0])
        return bool(session) and self.matching(session)

    def _key_of_session(self, by, session):
        if by == "total":
            return "(all)"
        if by in INTERVALS:
            return self.labels[by](session)[1]
        return KEYS_OF[by](session, self.model.page_query) or "(none)"

    def _key_of_lead(self, by, attribution, lead):
        """Return the key of a lead, or None if the key is a date and the lead has none."""
        if by == "total":
            return "(all)"
        if by in INTERVALS:
            return None if lead.date is None else self.labels[by]({"date": lead.date})[1]
        if by == "project":
            return lead.row["project_name"] or "(none)"
        session = lead.sessions[attribution]
        return (session.values[PLACES[by]] or "(none)") if session else "(unknown)"


def plain_pipeline(model, first=None, last=None):
    """Return the pipeline of the leads whose enquiry is in a range of dates."""
    stages = {status: {"leads": 0, "entered": 0, "hours": [], "known": []} for status in STATUSES}
    counts = Counter()
    for key, lead in model.leads.items():
        moment = enquired_at(lead)
        day = None if moment is None else date_of(moment, model.clock)
        if (first and (day is None or day < first)) or (last and (day is None or day > last)):
            continue
        indexed = [(move[3], place, move[1], move[2]) for place, move in enumerate(model.moves) if move[0] == key]
        moves = [(changed_at, old, new) for changed_at, _, old, new in sorted(indexed)]
        stays = list_stays(moves, lead["status"], moment)
        stages[lead["status"]]["leads"] += 1
        for status, began_at, ended_at in stays:
            stages[status]["entered"] += 1
            if ended_at is not None:
                stages[status]["hours"].append(ended_at - began_at)
        if stays and stays[-1][0] == lead["status"] and is_current(stays[-1], moves):
            stages[lead["status"]]["known"].append(stays[-1][1])
        counts.update((old, new) for _, old, new in moves if old in STATUSES and new in STATUSES)
    return {
        "stages": [describe_stage(status, stages[status], counts) for status in STATUSES],
        "moves": [
            {"from": old, "to": new, "count": count}
            for (old, new), count in sorted(
                counts.items(), key=lambda item: (-item[1], *(STATUSES.index(status) for status in item[0]))
            )
        ],
    }


def list_stays(moves, status, moment):
    """Return the (status, beginning, end) of each stay. The end is None unless the next move is from this status."""
    begun = []
    starts_new = moves[0][1] == "new" if moves else status == "new"
    if starts_new and moment is not None:
        begun.append((-1, "new", moment))
    begun += [(place, new, changed_at) for place, (changed_at, _, new) in enumerate(moves) if new in STATUSES]
    stays = []
    for place, stage, began_at in begun:
        following = moves[place + 1] if place + 1 < len(moves) else None
        stays.append((stage, began_at, following[0] if following and following[1] == stage else None))
    return stays


def is_current(stay, moves):
    """Return whether a stay began with the last move, or with the enquiry if there is no move."""
    return stay[1] == moves[-1][0] and stay[0] == moves[-1][2] if moves else True


def describe_stage(status, stage, counts):
    later = STATUSES[STATUSES.index(status) + 1 :]
    return {
        "status": status,
        "leads": stage["leads"],
        "entered": stage["entered"],
        "median_hours": percentile(stage["hours"], 5, HOUR_MS),
        "p90_hours": percentile(stage["hours"], 9, HOUR_MS),
        "advanced": sum(counts[status, new] for new in later if new != "lost"),
        "lost": counts[status, "lost"],
        "oldest": min(stage["known"], default=None),
        "without_history": stage["leads"] - len(stage["known"]),
    }
