import csv
import io
import json

import pytest
from helpers.client import KEY, NOW

from analytics_api import Context
from analytics_api.endpoints import leads


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_columns_of_the_list_and_empty_nulls(insert, client):
    insert("leads", lead_id=7, enquiry_datetime="2026-02-23 11:15:00", contact_name="Zoë", engagement_score=74)

    response = client.get("/analytics/leads/export")

    assert response.content_type == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="leads.csv"'
    assert response.text == (
        '"lead_id","enquiry_datetime","contact_name","contact_email","contact_phone","project_name",'
        '"project_location","project_source","contact_country_name","contact_city","visitor_id","session_id",'
        '"engagement_score","engagement_label","form_submit_count","suspicion_score","follow_ups_count",'
        '"last_follow_up_at","status"\r\n'
        '"7","2026-02-23 11:15:00","Zoë",,,,,,,,,,"74",,"1","0","0",,"new"\r\n'
    )


def test_ndjson_has_one_lead_a_line(insert, client, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", contact_name='Line one\nline "two"')
    insert("leads", lead_id=2, enquiry_datetime="2026-02-24 11:15:00")

    response = client.get("/analytics/leads/export?format=ndjson")

    assert response.content_type == "application/x-ndjson"
    assert [json.loads(line) for line in response.text.splitlines()] == get("/analytics/leads")["leads"]


def test_export_without_leads_is_a_header_or_empty(client):
    table, lines = client.get("/analytics/leads/export"), client.get("/analytics/leads/export?format=ndjson")

    assert len(table.text.splitlines()) == 1
    assert (lines.status_code, lines.text) == (200, "")


def test_export_has_the_same_leads_and_order_as_the_list(insert, client, get):
    insert(
        "leads",
        *(
            {
                "lead_id": number,
                "enquiry_datetime": f"2026-02-{1 + number % 20:02} 10:00:00",
                "contact_name": f"Name {number % 7}" if number % 5 else None,
                "engagement_score": number % 11 if number % 3 else None,
                "suspicion_score": number % 4,
                "status": "won" if number % 2 else "new",
            }
            for number in range(1, 131)
        ),
    )
    for sort in leads.LIST_ORDERS:
        page = get(f"/analytics/leads?q=name&status=won&sort={sort}&limit=100")

        rows = rows_of(client.get(f"/analytics/leads/export?q=NAME&status=won&sort={sort}").text)

        assert [int(row["lead_id"]) for row in rows] == [lead["lead_id"] for lead in page["leads"]], sort
        assert len(rows) == page["total"] == 52


def test_csv_escapes_formulas_and_quotes_every_text(insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", contact_name="x;=cmd|' /C calc'!A0;\"y\"")

    (line,) = client.get("/analytics/leads/export").text.splitlines()[1:]

    assert line.startswith('"1","2026-02-23 11:15:00","x;\'=cmd|\' /C calc\'!A0;""y""",,')


def test_csv_does_not_escape_negative_numbers(insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", engagement_score=-3)

    (row,) = rows_of(client.get("/analytics/leads/export").text)

    assert row["engagement_score"] == "-3"


def test_export_is_one_snapshot_while_others_write(database, insert):
    insert("leads", *({"lead_id": number, "enquiry_datetime": "2026-02-23 11:15:00"} for number in range(1, 1501)))
    ctx = Context(database, None, NOW)

    stream = leads.export_leads(ctx, format="ndjson", q=None, status=None, sort="oldest")
    pieces = [next(stream.chunks)]
    insert("leads", lead_id=9000, enquiry_datetime="2026-02-23 11:15:00")
    database.write(lambda at: at.execute("delete from leads where lead_id > 1200"))
    database.write(lambda at: at.execute("update leads set enquiry_datetime = '2027-01-01' where lead_id < 100"))
    pieces += stream.chunks

    assert [json.loads(line)["lead_id"] for piece in pieces for line in piece.splitlines()] == list(range(1, 1501))


def test_abandoned_export_releases_its_connection(database, insert):
    insert("leads", *({"lead_id": number, "enquiry_datetime": "2026-02-23 11:15:00"} for number in range(1, 1501)))
    ctx = Context(database, None, NOW)

    for _ in range(50):
        stream = leads.export_leads(ctx, format="csv", q=None, status=None, sort="newest")
        next(stream.chunks)
        stream.chunks.close()

    assert database.rows("select count(*) as leads from leads") == [{"leads": 1500}]


@pytest.mark.any_engine
def test_unknown_export_format_is_400(client):
    response = client.get("/analytics/leads/export?format=xml")

    assert response.status_code == 400
    assert response.json == {"error": "format must be one of csv, ndjson"}


def test_export_head_sends_no_body(client):
    response = client.head("/analytics/leads/export")

    assert (response.status_code, response.content_type, response.data) == (200, "text/csv; charset=utf-8", b"")


@pytest.mark.any_engine
def test_export_needs_a_key(client):
    assert client.get("/analytics/leads/export", key=None).status_code == 401
    assert client.get("/analytics/leads/export", key=KEY).status_code == 200
