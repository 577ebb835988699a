import hashlib
import json
from collections import Counter, defaultdict
from datetime import datetime, timezone
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

from analytics_api.maintenance import demo
from analytics_api.maintenance.demo import Plan
from analytics_api.values.calendar import DAY_MS, HOUR_MS

NOW = 1_771_945_200_123  # 2026-02-24 15:00:00.123, a Tuesday
MIDNIGHT = NOW - NOW % DAY_MS
STREAMS = {
    "sessions": demo.sessions,
    "events": demo.events,
    "leads": demo.leads,
    "lead_submissions": demo.submissions,
    "lead_status_changes": demo.moves,
}


def rows(plan, table):
    return [dict(zip(demo.COLUMNS[table], row, strict=True)) for row in STREAMS[table](plan)]


def without_query(url):
    return url.partition("?")[0]


def text(instant):
    return datetime.fromtimestamp(instant // 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def test_plan_generates_the_same_rows_on_every_machine():
    plan = Plan(NOW, sessions=300)

    digests = {}
    for table, stream in STREAMS.items():
        digests[table] = hashlib.sha256(json.dumps(list(stream(plan))).encode()).hexdigest()[:16]

    assert digests == {
        "sessions": "2e6d9f2eeb14f77b",
        "events": "45cf7292c8a58f63",
        "leads": "0672146527761581",
        "lead_submissions": "bd6562a038330bc8",
        "lead_status_changes": "537b6616abfce197",
    }


def test_plan_of_another_seed_differs_in_rows_not_number():
    one, two = (rows(Plan(NOW, sessions=50, seed=seed), "sessions") for seed in (1, 2))

    shared = {row["session_id"] for row in one} & {row["session_id"] for row in two}

    assert len(one) == len(two) == 50
    assert not shared
    assert {row["fingerprint"] for row in one} & {row["fingerprint"] for row in two} <= {None}


@pytest.mark.parametrize("table", STREAMS)
def test_plan_has_plain_values_and_distinct_ids(table):
    rows_of_stream = list(STREAMS[table](Plan(NOW, sessions=400)))

    types = {type(value) for row in rows_of_stream for value in row}

    assert types == ({int, str} if table == "lead_status_changes" else {int, str, type(None)})
    assert {len(row) for row in rows_of_stream} == {len(demo.COLUMNS[table])}
    assert len({row[0] for row in rows_of_stream}) == len(rows_of_stream)
    if table != "sessions":
        assert [row[0] for row in rows_of_stream] == list(range(1, len(rows_of_stream) + 1))


def test_session_matches_its_events():
    plan = Plan(NOW, sessions=500)
    events = defaultdict(list)
    for event in rows(plan, "events"):
        events[event["session_id"]].append(event)

    for session in rows(plan, "sessions"):
        its = events.pop(session["session_id"])
        views = [event["page_url"] for event in its if event["event_type"] == "page_view"]
        times = [event["occurred_at"] for event in its]

        assert len(its) == session["event_count"]
        assert (views[0], views[-1]) == (session["entry_page"], session["exit_page"])
        assert times == sorted(times)
        assert times[0] == session["started_at"]
        assert times[-1] <= (session["ended_at"] or NOW)
    assert not events


def test_session_is_closed_with_duration_or_open():
    sessions = rows(Plan(NOW, sessions=500), "sessions")

    closed = [row for row in sessions if row["ended_at"] is not None]

    assert all(row["duration"] == row["ended_at"] - row["started_at"] > 0 for row in closed)
    assert all(row["duration"] is None for row in sessions if row not in closed)
    assert 450 < len(closed) < 500


@pytest.mark.parametrize("late", [0, 1, 5_000, 40 * 60_000, 15 * HOUR_MS + 123, DAY_MS - 1])
@pytest.mark.parametrize("days", [1, 90])
def test_dates_are_within_the_requested_days(late, days):
    now = MIDNIGHT + late
    plan = Plan(now, sessions=300, leads=300, days=days)
    first = min(MIDNIGHT - (days - 1) * DAY_MS, now - HOUR_MS)

    sessions = rows(plan, "sessions")
    instants = [row[name] for row in sessions for name in ("started_at", "ended_at") if row[name] is not None]
    instants += [row["occurred_at"] for row in rows(plan, "events")]
    texts = [row["enquiry_datetime"] for row in rows(plan, "leads")]
    texts += [row["submitted_at"] for row in rows(plan, "lead_submissions")]

    assert first <= min(instants) <= max(instants) <= now
    assert text(first) <= min(texts) <= max(texts) <= text(now)


@pytest.mark.parametrize("late", [0, 5_000, 40 * 60_000, 15 * HOUR_MS + 123, DAY_MS - 1])
@pytest.mark.parametrize("count", [200, 201, 999, 2_000])
def test_today_and_last_hour_have_data_at_any_size(late, count):
    now = MIDNIGHT + late
    plan = Plan(now, sessions=count)

    sessions = rows(plan, "sessions")
    active = [row for row in sessions if now - HOUR_MS < row["started_at"] <= now and row["ended_at"] is None]
    today = [row for row in sessions if row["started_at"] >= MIDNIGHT]
    events = [row for row in rows(plan, "events") if now - HOUR_MS < row["occurred_at"] <= now]

    assert active
    assert today
    assert len(events) >= len(active)


def test_sessions_grow_by_week_and_dip_at_weekends():
    starts = [row["started_at"] for row in rows(Plan(NOW, sessions=9_000), "sessions")]

    days = Counter(start // DAY_MS for start in starts)
    weekend = [count for day, count in days.items() if (day + 3) % 7 >= 5]
    week = [count for day, count in days.items() if (day + 3) % 7 < 5]

    assert starts == sorted(starts)
    assert len(days) == 90
    assert sum(weekend) / len(weekend) < 0.8 * sum(week) / len(week)
    assert sum(start < NOW - 45 * DAY_MS for start in starts) < 0.45 * len(starts)


def test_seven_sessions_in_ten_are_new_visitors():
    visits = Counter(row["visitor_id"] for row in rows(Plan(NOW, sessions=5_000), "sessions"))

    often = visits.most_common(1)[0][1]

    assert len(visits) == 3_500
    assert 10 < often < 100


def test_visitor_keeps_fingerprint_and_country():
    known = defaultdict(set)
    for row in rows(Plan(NOW, sessions=2_000), "sessions"):
        known[row["visitor_id"]].add((row["fingerprint"], row["country"], row["vpn_suspected"]))

    fingerprints = Counter(fingerprint for pairs in known.values() for fingerprint, _, _ in pairs)

    assert all(len(pairs) == 1 for pairs in known.values())
    assert fingerprints.pop(None) > 50
    assert 2 in fingerprints.values()


def test_countries_are_skewed_and_all_sixty_appear():
    countries = Counter(row["country"] for row in rows(Plan(NOW, sessions=5_000), "sessions"))

    ranked = [country for country, _ in countries.most_common(3)]

    assert ranked[:2] == ["IN", "US"]
    assert len(countries) == 62
    assert countries[None] > countries[""] > 0


def test_referrer_matches_its_domain():
    sessions = rows(Plan(NOW, sessions=5_000), "sessions")

    domains = Counter(row["referrer_domain"] for row in sessions)
    pairs = {(row["referrer"], row["referrer_domain"]) for row in sessions}

    assert all(domain == (urlsplit(url).hostname if url else url) for url, domain in pairs)
    assert [domain for domain, _ in domains.most_common(3)] == ["google.com", None, "facebook.com"]
    assert 180 < len(domains) <= 207


def test_scores_follow_the_events():
    sessions = rows(Plan(NOW, sessions=3_000), "sessions")

    scores = [row["engagement_score"] for row in sessions if row["engagement_score"] is not None]
    short = [row["engagement_score"] or 0 for row in sessions if row["event_count"] < 3]
    long = [row["engagement_score"] or 0 for row in sessions if row["event_count"] > 20]

    assert 0 <= min(scores) < 20
    assert 80 <= max(scores) <= 100
    assert 0 < len(sessions) - len(scores) < 200
    assert sum(short) / len(short) + 15 < sum(long) / len(long)


def test_sessions_have_ten_events_half_of_them_page_views():
    events = rows(Plan(NOW, sessions=2_000), "events")

    kinds = Counter(row["event_type"] for row in events)
    data = [json.loads(row["data"]) for row in events if row["data"] is not None]

    assert 9 * 2_000 < len(events) < 11 * 2_000
    assert 0.45 < kinds["page_view"] / len(events) < 0.6
    assert {"click", "scroll", "heartbeat", "form_submit"} < set(kinds)
    assert data
    assert all(isinstance(value, dict) for value in data)


@pytest.mark.parametrize(("sessions", "pages"), [(400, 400), (999, 100), (1_000, 3), (600, 1)])
def test_every_page_is_viewed(sessions, pages):
    plan = Plan(NOW, sessions=sessions, pages=pages)

    views = Counter(without_query(row["page_url"]) for row in rows(plan, "events") if row["event_type"] == "page_view")

    assert set(views) == set(plan.page_urls)
    assert len(views) == pages
    assert views.most_common(1)[0][0] == "https://example.com/"


def test_leads_show_all_six_stages():
    small = Counter(row["status"] for row in rows(Plan(NOW, sessions=200), "leads"))
    large = Counter(row["status"] for row in rows(Plan(NOW, sessions=4_000), "leads"))

    shares = [large[stage] for stage in ("new", "contacted", "qualified", "proposal", "won")]

    assert set(small) == set(large) == {"new", "contacted", "qualified", "proposal", "won", "lost"}
    assert sum(small.values()) == 10
    assert shares == sorted(shares, reverse=True)


def test_moves_lead_to_the_status_of_each_lead():
    plan = Plan(NOW, sessions=2_000)

    last = {lead["lead_id"]: ("new", lead["enquiry_datetime"]) for lead in rows(plan, "leads")}
    for move in rows(plan, "lead_status_changes"):
        status, since = last[move["lead_id"]]
        assert (move["old_status"], since) <= (status, text(move["changed_at"]))
        assert move["changed_at"] <= NOW
        last[move["lead_id"]] = move["new_status"], text(move["changed_at"])

    assert {lead_id: status for lead_id, (status, _) in last.items()} == {
        lead["lead_id"]: lead["status"] for lead in rows(plan, "leads")
    }


def test_advertisements_lead_to_frequent_pages():
    sessions = rows(Plan(NOW, sessions=5_000), "sessions")

    campaigns = Counter(row["entry_page"].partition("?utm_campaign=")[2] for row in sessions)
    domains = defaultdict(set)
    for row in sessions:
        if "?" in row["entry_page"]:
            domains[row["entry_page"].partition("=")[2]].add(row["referrer_domain"] or "")

    assert set(campaigns) == {
        "", "brand-search", "pune-homes", "Sky-Towers-Video", "Festive-Offer", "NRI-Investors", "newsletter"
    }  # fmt: skip
    assert 0.85 < campaigns[""] / len(sessions) < 0.95
    assert domains["NRI-Investors"] == {"linkedin.com"}
    assert domains["newsletter"] == {""}


def test_win_rate_depends_on_the_source():
    plan = Plan(NOW, sessions=5_000, leads=2_500)
    domains = {row["session_id"]: row["referrer_domain"] for row in rows(plan, "sessions")}

    closed = defaultdict(Counter)
    for lead in rows(plan, "leads"):
        if lead["status"] in ("won", "lost"):
            closed[domains.get(lead["session_id"])][lead["status"]] += 1
    rates = {domain: counts["won"] / sum(counts.values()) for domain, counts in closed.items()}

    assert 0.05 < rates["facebook.com"] < 0.25
    assert 0.35 < rates["google.com"] < 0.55


def test_some_people_send_another_phone():
    forms = defaultdict(set)
    for form in rows(Plan(NOW, leads=500), "lead_submissions"):
        forms[form["lead_id"]].add(form["contact_phone"])
        assert json.loads(form["payload_json"])["PHONE"] == form["contact_phone"]

    assert 20 < sum(len(phones) > 1 for phones in forms.values()) < 250


def test_lead_names_a_session_of_its_visitor():
    plan = Plan(NOW, sessions=1_000)
    sessions = {row["session_id"]: row for row in rows(plan, "sessions")}
    forms = {
        row["session_id"]: row["occurred_at"] for row in rows(plan, "events") if row["event_type"] == "form_submit"
    }

    leads = rows(plan, "leads")
    tracked = [row for row in leads if row["session_id"]]

    assert 0 < len(tracked) < len(leads) == 50
    for lead in tracked:
        session = sessions[lead["session_id"]]
        assert lead["visitor_id"] == session["visitor_id"]
        assert lead["engagement_score"] == session["engagement_score"]
        if session["event_count"] > 1:
            assert lead["enquiry_datetime"] == text(forms[lead["session_id"]])


def test_score_label_matches_the_score():
    leads = rows(Plan(NOW, sessions=2_000, leads=1_000), "leads")

    bands = defaultdict(list)
    for lead in leads:
        bands[lead["engagement_label"]].append(lead["engagement_score"])

    assert set(bands.pop(None)) == {None}
    ordered = [bands.pop(label) for label in ("Cold", "Warm", "Hot", "Very Hot")]
    assert all(max(lower) < min(higher) for lower, higher in pairwise(ordered))
    assert not bands


def test_lead_counts_its_submissions():
    plan = Plan(NOW, sessions=2_000, leads=500)
    forms = defaultdict(list)
    for form in rows(plan, "lead_submissions"):
        forms[form["lead_id"]].append(form)

    for lead in rows(plan, "leads"):
        its = forms.pop(lead["lead_id"])
        times = [form["submitted_at"] for form in its]

        assert len(its) == lead["form_submit_count"]
        assert times[0] == lead["enquiry_datetime"]
        assert all(earlier < later for earlier, later in pairwise(times))
        assert [form["is_primary_lead"] for form in its] == [1] + [0] * (len(its) - 1)
        assert its[0]["is_duplicate_window"] == 0
        assert its[0]["session_id"] == lead["session_id"]
    assert not forms


def test_follow_ups_are_duplicates_or_new():
    follow_ups = [row for row in rows(Plan(NOW, leads=500), "lead_submissions") if not row["is_primary_lead"]]

    payloads = [json.loads(row["payload_json"]) for row in follow_ups]
    projects = [payload["PROJECT"] for payload in payloads]

    assert {row["is_duplicate_window"] for row in follow_ups} == {0, 1}
    assert projects == [row["project_name"] for row in follow_ups]
    assert {tuple(payload) for payload in payloads} == {("FIRSTNAME", "EMAIL", "PHONE", "PROJECT")}


def test_people_are_fictitious():
    plan = Plan(NOW, leads=500)

    leads = rows(plan, "leads")
    emails = {row["contact_email"] for row in leads} - {None}
    phones = {row["contact_phone"] for row in leads} - {None}
    networks = {row["contact_ip"].rpartition(".")[0] for row in rows(plan, "lead_submissions")}

    assert {email.split("@")[1] for email in emails} == {"example.com", "example.org", "example.net"}
    assert all(email.isascii() and email == email.lower() and " " not in email for email in emails)
    assert all(phone.startswith("5550") and len(phone) == 10 for phone in phones)
    assert networks == {"192.0.2", "198.51.100", "203.0.113"}
    assert any(not row["contact_name"].isascii() for row in leads)


def test_suspicion_is_mostly_low():
    scores = sorted(row["suspicion_score"] for row in rows(Plan(NOW, leads=500), "leads"))

    middle = scores[len(scores) // 2]

    assert scores[0] == 0 <= middle < 10
    assert 50 < scores[-1] <= 100


def test_leads_may_outnumber_sessions():
    leads = rows(Plan(NOW, sessions=30, leads=100), "leads")

    named = {row["session_id"] for row in leads}

    assert [row["lead_id"] for row in leads] == list(range(1, 101))
    assert 20 < len(named) <= 31


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_batches_have_sessions_before_events(size):
    plan = Plan(NOW, sessions=100)

    carried, known = defaultdict(list), set()
    for table, chunk in demo.batches(plan, size):
        assert 0 < len(chunk) <= size
        carried[table] += chunk
        if table == "sessions":
            known |= {row[0] for row in chunk}
        elif table == "events":
            assert {row[1] for row in chunk} <= known

    assert carried == {table: list(stream(plan)) for table, stream in STREAMS.items()}


def test_recordings_stop_at_the_limit(tmp_path):
    plan = Plan(NOW, sessions=40)

    written = demo.recordings(plan, tmp_path, limit=25)
    again = demo.recordings(plan, str(tmp_path), limit=25)

    files = list(tmp_path.glob("sessions/*/*.json"))
    assert written == again == len(files) == 25
    assert {file.parent.name for file in files} <= {row["session_id"] for row in rows(plan, "sessions")}
    assert {json.loads(file.read_text(encoding="utf-8"))["session_id"] for file in files} == {
        file.parent.name for file in files
    }


def test_few_sessions_have_few_recordings(tmp_path):
    written = demo.recordings(Plan(NOW, sessions=4), tmp_path)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert written == len(files) == 1 + 2 + 3 + 4


def test_plan_without_sessions_is_empty(tmp_path):
    plan = Plan(NOW, sessions=0)

    streams = [list(stream(plan)) for stream in STREAMS.values()]

    assert streams == [[], [], [], [], []]
    assert list(demo.batches(plan)) == []
    assert demo.recordings(plan, tmp_path) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 19])
def test_smallest_plans_work(count):
    plan = Plan(NOW, sessions=count, leads=1, pages=1, days=1)

    tables = {table: rows(plan, table) for table in STREAMS}

    assert len(tables["sessions"]) == count
    assert len(tables["leads"]) == 1
    assert {without_query(row["page_url"]) for row in tables["events"]} == {"https://example.com/"}


@pytest.mark.parametrize(
    "wrong", [{"sessions": -1}, {"leads": -1}, {"pages": 0}, {"days": 0}, {"sessions": 0, "leads": 1}]
)
def test_impossible_plan_is_rejected(wrong):
    with pytest.raises(ValueError, match=r"[a-z]"):
        Plan(NOW, **wrong)
