"""Forms that become leads and submissions."""

import json

import pytest
from helpers.client import NOW, instant
from helpers.collecting import HOME, MINUTE

from analytics_api.collector.leads import SELECT_BY_EMAIL, SELECT_BY_PHONE, cut_fields, lead_columns
from analytics_api.database.sqlite import SQLite

HOUR = 60 * MINUTE


FIELDS = {"Full Name": " Ann Lee ", "E-Mail": "ann@shop.example", "tel": "+49 (30) 1234-56", "City": "Berlin"}


def test_form_is_a_lead_with_its_session(site, select):
    site.view()
    assert site.lead(FIELDS, form="hero-form").status_code == 204

    [(visitor, session, score)] = select("visitor_id, session_id, engagement_score", "sessions")
    assert select(
        "enquiry_datetime, contact_name, contact_email, contact_phone, contact_city, project_source, visitor_id,"
        " session_id, engagement_score, form_submit_count, status",
        "leads",
    ) == [
        (
            *("2026-02-24 15:00:00", "Ann Lee", "ann@shop.example", "+49 (30) 1234-56", "Berlin", "WebSite", visitor),
            *(session, score, 1, "new"),
        )
    ]
    assert select(
        "submitted_at, visitor_id, session_id, contact_email, contact_phone, contact_ip, source, referer, cta_name,"
        " is_primary_lead, is_duplicate_window, payload_json",
        "lead_submissions",
    ) == [
        (
            *("2026-02-24 15:00:00", visitor, session, "ann@shop.example", "+49 (30) 1234-56", "192.0.2.1"),
            *("WebSite", HOME, "hero-form", 1, 0, json.dumps(FIELDS, separators=(",", ":"))),
        )
    ]
    assert select("event_type, data", "events", "event_id") == [("page_view", None), ("lead", '{"form":"hero-form"}')]


def test_address_is_stored_only_if_wanted(new_site, select):
    new_site(contact_ip=False).lead(FIELDS)

    assert select("contact_ip", "lead_submissions") == [(None,)]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"email": "Ann@Shop.example"}, {"mail": " ann@shop.EXAMPLE "}, True),
        ({"email": "ann@shop.example"}, {"email": "bob@shop.example"}, False),
        ({"phone": "+49 30 123456"}, {"mobile": "(49) 30-12.34/56"}, True),
        ({"phone": "12345"}, {"phone": "12345"}, False),
        ({"phone": "123 456 (office)"}, {"phone": "123456 office"}, True),
        ({"phone": "123456"}, {"phone": "tel. 123 456"}, True),
        ({"email": "a@b.example", "tel": "123456"}, {"email": "c@b.example", "tel": "123456"}, True),
        ({}, {}, False),
        ({"name": "Ann"}, {"name": "Ann"}, False),
    ],
    ids=[
        "mail",
        "other-mail",
        "phone",
        "short-phone",
        "phone-with-text",
        "phone-after-text",
        "phone-after-mail",
        "empty",
        "name",
    ],
)
def test_same_mail_or_phone_is_the_same_lead(site, select, first, second, is_same):
    site.lead(first)
    before = select("contact_name, contact_email, contact_phone, engagement_score", "leads", "lead_id")
    site.lead(second)

    leads = select("contact_name, contact_email, contact_phone, engagement_score", "leads", "lead_id")
    assert len(leads) == (1 if is_same else 2)
    assert leads[:1] == before
    assert select("is_primary_lead", "lead_submissions", "submission_id") == [(1,), (int(not is_same),)]
    assert select("form_submit_count", "leads", "lead_id")[0] == (2 if is_same else 1,)


def test_email_takes_precedence_over_the_phone(site, select):
    site.lead({"phone": "123456"})
    site.lead({"email": "ann@shop.example"})
    site.lead({"email": "ann@shop.example", "phone": "123456"})

    assert select("form_submit_count", "leads", "lead_id") == [(1,), (2,)]


def test_oldest_lead_gets_the_submission(insert, site, select):
    for lead_id, day in ((1, "2026-02-02"), (2, "2026-02-01")):
        insert("leads", lead_id=lead_id, enquiry_datetime=f"{day} 00:00:00", contact_email="ann@shop.example")
    site.lead({"email": "ann@shop.example"})

    assert select("lead_id, is_primary_lead, is_duplicate_window", "lead_submissions") == [(2, 0, 0)]


@pytest.mark.parametrize(("pause", "is_duplicate"), [(HOUR, 1), (HOUR + 1_000, 0)], ids=["hour", "later"])
def test_submission_within_an_hour_is_a_duplicate(site, select, pause, is_duplicate):
    site.lead({"email": "ann@shop.example"})
    site.pass_time(pause)
    site.lead({"email": "ann@shop.example"})

    assert select("is_duplicate_window", "lead_submissions", "submission_id") == [(0,), (is_duplicate,)]


def test_form_that_is_sent_again_counts_once(site, select):
    event = site.event("lead", form="contact", fields={"email": "ann@shop.example"})
    site.send(event)
    site.send(event)

    assert select("form_submit_count", "leads") == [(1,)]


def test_anonymous_form_has_neither_visitor_nor_session(site, select):
    site.view()
    site.lead(FIELDS, anonymous=True)
    event = site.event("lead", form="", fields=FIELDS, anonymous=True)
    site.send(event)
    site.send(event)

    assert select("visitor_id, session_id, engagement_score, form_submit_count", "leads") == [(None, None, None, 2)]
    assert select("event_count", "sessions") == [(1,)]


def test_anonymous_page_view_is_dropped(site, select):
    site.send(site.event("page_view", anonymous=True))

    assert select("count(*)", "sessions") == [(0,)]


def test_honeypot_drops_the_form(site, select):
    assert site.lead({**FIELDS, "_gotcha": "x"}).status_code == 204
    assert site.lead({"email": "ann@shop.example", "_gotcha": ""}).status_code == 204

    assert select("contact_name", "leads") == [(None,)]
    assert select("count(*)", "events") == [(1,)]


def test_address_sends_10_forms_an_hour(site, select):
    for _ in range(10):
        assert site.lead({}).status_code == 204
        site.pass_time(MINUTE)
    response = site.lead({})
    other = site.lead({}, address="192.0.2.2")
    site.pass_time(50 * MINUTE)
    later = site.lead({})

    assert (response.status_code, response.headers["Retry-After"]) == (429, "3000")
    assert (other.status_code, later.status_code) == (204, 204)
    assert select("count(*)", "leads") == [(12,)]


def test_limit_holds_over_midnight_and_for_a_network_of_ipv6(new_site):
    site = new_site(now=instant("2026-02-24 23:55:00"))
    for number in range(10):
        assert site.lead({}, address=f"2001:db8::{number + 1}").status_code == 204
        site.pass_time(MINUTE)

    assert site.lead({}, address="2001:db8::ffff").status_code == 429
    assert site.lead({}, address="2001:db8:0:1::1").status_code == 204


def test_ipv4_clients_of_an_ipv6_server_have_separate_limits(site, select):
    for number in range(11):
        assert site.lead({}, address=f"::ffff:192.0.2.{number}").status_code == 204
    for _ in range(9):
        assert site.lead({}, address="::ffff:192.0.2.1").status_code == 204

    assert site.lead({}, address="::ffff:192.0.2.1").status_code == 429
    assert select("distinct contact_ip", "lead_submissions where contact_ip like '%.1'") == [("192.0.2.1",)]


def test_rejected_form_rejects_its_whole_request(site, select):
    for _ in range(10):
        site.lead({})
    response = site.post([site.event("page_view"), site.event("lead", form="", fields={})])

    assert response.status_code == 429
    assert select("count(*)", "events where event_type = 'page_view'") == [(0,)]


def test_odd_texts_are_stored(site, select):
    fields = {"name": "a\0b\ud800", "e\0mail": "<script>alert(1)</script>", "n": 5, "project": ["a", None]}
    assert site.lead(fields, form="\0").status_code == 204

    assert select("contact_name, contact_email, project_name", "leads") == [
        ("ab?", "<script>alert(1)</script>", '["a", null]')
    ]
    [(payload, form)] = select("payload_json, cta_name", "lead_submissions")
    assert json.loads(payload) == {
        "name": "a\0b\ud800",
        "e\0mail": fields["e\0mail"],
        "n": "5",
        "project": '["a", null]',
    }
    assert form is None


@pytest.mark.any_engine
def test_null_fields_are_empty(site, select):
    for name in ("Ann", "Ben"):
        site.send(site.event("lead", form="", fields={"name": name, "email": None, "phone": None}))

    assert select("contact_name, contact_email, contact_phone", "leads") == [("Ann", None, None), ("Ben", None, None)]


@pytest.mark.any_engine
def test_fields_of_a_form_are_truncated():
    fields = cut_fields({f"field {number}": "x" * 3_000 for number in range(60)})

    assert list(fields) == [f"field {number}" for number in range(50)]
    assert {len(text) for text in fields.values()} == {2_000}


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"first-name": "Ann", "last_name": "Lee"}, "Ann Lee"),
        ({"Firstname": "Ann"}, "Ann"),
        ({"your_name": "Ann Lee", "firstname": "Bob"}, "Ann Lee"),
        ({"name": ""}, None),
        ({"name2": "Ann"}, "Ann"),
        ({"surname": "Lee"}, None),
    ],
    ids=["two", "first", "whole", "empty", "digits", "unknown"],
)
def test_name_is_found_in_the_fields_of_a_form(fields, name):
    assert lead_columns(fields)["contact_name"] == name


def test_match_uses_an_index(database):
    leads = [("2026-02-24 10:00:00", f"ann{number}@shop.example", f"+49 {number:06}") for number in range(1_000)]
    database.bulk(lambda at: at.insert("leads", ["enquiry_datetime", "contact_email", "contact_phone"], leads))
    database.write(lambda at: at.execute("analyze leads"))
    explain = "explain query plan" if isinstance(database, SQLite) else "explain"

    plans = [
        str(database.rows(f"{explain} {sql}", email="ann7@shop.example", digits="49000007", phone="49000007"))
        for sql in (SELECT_BY_EMAIL, SELECT_BY_PHONE)
    ]

    assert "leads_by_email" in plans[0]
    assert "leads_by_phone" in plans[1]


def test_leads_of_two_processes_are_one(new_site, select):
    one, other = new_site(), new_site()
    other.ids = one.ids
    one.lead({"email": "ann@shop.example"})
    other.lead({"email": "ann@shop.example"})

    assert select("form_submit_count", "leads") == [(2,)]
    assert select("received_at", "collector_leads") == [(NOW,), (NOW,)]
