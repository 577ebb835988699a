"""After random statements, the attributions and has_visits of leads equal those of a plain computation."""

import os
from datetime import date, datetime, timezone

import pytest
from helpers.client import instant
from helpers.plain_attributions import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.context import Context
from analytics_api.endpoints.leads import list_leads
from analytics_api.maintenance.site import change_settings

EXAMPLES = int(os.environ.get("ATTRIBUTION_EXAMPLES", "10"))  # `make faults` runs more
START = instant("2026-02-20 00:00:00")
HOUR = 3_600_000

hours = st.integers(0, 71)
session_ids = st.sampled_from(["s1", "s2", "s3", "s4", "s5"])
visitors = st.sampled_from(["ann", "bob", ""])
sessions = st.fixed_dictionaries(
    {
        "session_id": session_ids,
        "visitor_id": visitors,
        "started_at": hours.map(lambda hour: START + hour * HOUR),
        "country": st.sampled_from([None, "IN", "DE"]),
        "referrer_domain": st.sampled_from([None, "", "me@t.co", "x.y"]),
        "entry_page": st.sampled_from([None, "", "/a", "/b?utm_campaign=c#d", "/b?e&utm_campaign=f"]),
    }
)
leads = st.fixed_dictionaries(
    {
        "lead_id": st.integers(1, 3),
        "enquiry_datetime": st.one_of(
            st.just(""), hours.map(lambda hour: datetime.fromtimestamp(START / 1000 + hour * 3600, timezone.utc))
        ).map(lambda moment: moment and moment.strftime("%Y-%m-%d %H:%M:%S")),
        "visitor_id": st.sampled_from([None, "", "ann", "bob"]),
        "session_id": st.sampled_from([None, "", "s1", "s2", "s3", "gone"]),
        "status": st.sampled_from(["new", "won", "lost"]),
    }
)
statements = st.lists(
    st.one_of(
        st.tuples(st.just("session"), sessions),
        st.tuples(st.just("session"), sessions),
        st.tuples(st.just("lead"), leads),
        st.tuples(st.just("replace"), st.one_of(sessions, leads)),
        st.tuples(st.just("delete_session"), session_ids),
        st.tuples(st.just("delete_lead"), st.integers(1, 3)),
        st.tuples(st.just("rename"), st.tuples(session_ids, session_ids)),
        st.tuples(st.just("purge"), st.integers(20, 22).map(lambda day: date(2026, 2, day))),
        st.tuples(st.just("erase"), st.sampled_from(["ann", "bob"])),
        st.tuples(st.just("page_query"), st.sampled_from(["keep", "drop"])),
        st.tuples(st.just("rebuild"), st.none()),
    ),
    max_size=14,
)


ROWS = """
select lead_id, status, visitor_id, first_session_id, first_visitor_id, first_started_at, first_country, first_source,
  first_entry_page, first_campaign, last_session_id, last_visitor_id, last_started_at, last_country, last_source,
  last_entry_page, last_campaign, archived
from lead_attributions
order by lead_id
"""


LEADS_WITH_VISITS = """
select lead_id
from leads
where session_id in (select session_id from sessions)
  or visitor_id <> '' and visitor_id in (select visitor_id from sessions)
"""


def attributions(model):
    return [
        (
            key,
            model.leads[key]["status"],
            one.visitor,
            *(one.first.values if one.first else (None,) * 7),
            *(one.last.values if one.last else (None,) * 7),
            bool(one.first and one.first.purged) + 2 * bool(one.last and one.last.purged),
        )
        for key, one in sorted(model.attributed.items())
    ]


def leads_with_visits(database):
    page = list_leads(Context(database, None, START), limit=100, filters={"has_visits": ["true"]})
    return {lead["lead_id"] for lead in page["leads"]}


@pytest.mark.slow
@pytest.mark.writes
def test_attributions_equal_a_plain_calculation(database):
    @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
    @given(statements)
    def check(drawn):
        for table in ("leads", "sessions"):
            database.write(lambda at, table=table: at.execute(f"delete from {table}"))
        for table in ("archived_session_counts", "visitor_days"):
            database.write(lambda at, table=table: at.execute(f"delete from {table}"))
        change_settings(database, page_query="keep")
        database.write(lambda at: at.execute("update site set raw_since = null"))
        model = Model(timezone.utc)
        for kind, value in drawn:
            model.run(database, kind, value)
            assert database.tuples(ROWS) == attributions(model), (kind, value)
            assert leads_with_visits(database) == {lead for (lead,) in database.tuples(LEADS_WITH_VISITS)}
        assert [one for one in database.verify() if one.counter in ("lead_attributions", "leads")] == []

    check()
