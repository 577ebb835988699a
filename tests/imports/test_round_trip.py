"""`import` restores the same rows from `export`'s output, for random rows of every table."""

import os

import pytest
from helpers.importing import import_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api.database import BASE_TABLES
from analytics_api.endpoints.leads import STATUSES
from analytics_api.maintenance.export import export

EXAMPLES = int(os.environ.get("ROUND_TRIP_EXAMPLES", "5"))  # `make faults` runs more

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        '"',
        '""',
        "NULL",
        "\\N",
        "=1+1",
        "'=1",
        "a,b;c|d\te",
        "a\nb\r\nc\rd",
        "\ufeffx",
        "true",
        "007",
        "1e3",
        "{}",
    ]
)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.integers(100_000_000_000, 253_402_300_799_999)  # the instants that sessions and events may have
ANY_INSTANTS = st.integers(-62_135_596_800_000, 253_402_300_799_999)
DATES = st.just("") | st.datetimes().map(lambda moment: f"{moment:%4Y-%m-%d %H:%M:%S}")
HOSTS = st.sampled_from(
    [
        "",
        "google.com",
        "xn--mnchen-3ya.example",
        "[2001:db8::1]",
        "192.0.2.1",
        "newsletter",
        "ab c",
        "größe",
        "50% off!",
    ]
)
COUNTRIES = TEXTS.filter(lambda text: len(text.strip()) != 2) | st.sampled_from(["DE", "IN"])
DURATIONS = st.integers(-253_402_300_799_999, 253_402_300_799_999)

# For columns whose values `import` normalizes, values that are already normalized, so that it does not change them.
FORMS = {
    "started_at": INSTANTS,
    "occurred_at": INSTANTS,
    "ended_at": ANY_INSTANTS,
    "changed_at": ANY_INSTANTS,
    "enquiry_datetime": DATES,
    "submitted_at": DATES,
    "duration": DURATIONS,
    "country": COUNTRIES,
    "referrer_domain": HOSTS,
    "status": st.sampled_from(STATUSES),
    "old_status": st.sampled_from(STATUSES),
    "new_status": st.sampled_from(STATUSES),
    **{key: INT64 for table, key in BASE_TABLES.items() if table != "sessions"},
    "lead_id": st.integers(1, 2**63 - 1),
}


def rows_of(columns, key):
    """Generate lists of rows of a table with different keys."""
    values = []
    for column in columns:
        strategy = FORMS.get(column.name, TEXTS if column.type == "text" else INT32)
        values.append(strategy if column.required or column.name == key else strategy | st.none())
    place = [column.name for column in columns].index(key)
    return st.lists(st.tuples(*values), max_size=6, unique_by=lambda row: row[place])


def stored(database, table, names):
    sql = f"select {', '.join(names)} from {table} order by {BASE_TABLES[table]}"
    return [tuple(row.values()) for row in database.rows(sql)]


@pytest.mark.parametrize("table", BASE_TABLES)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.slow
def test_export_and_import_preserve_any_rows(database, monkeypatch, table, data):
    columns = database.columns(table)
    names = [column.name for column in columns]
    database.write(lambda at: at.execute(f"delete from {table}"))
    rows = data.draw(rows_of(columns, BASE_TABLES[table]))
    database.write(lambda at: at.insert(table, names, rows))
    before = stored(database, table, names)
    text = "".join(export(database, table, data.draw(st.sampled_from(["csv", "ndjson"]))))
    database.write(lambda at: at.execute(f"delete from {table}"))

    monkeypatch.setattr("analytics_api.imports.write.MAX_TRIGGERED_ROWS", data.draw(st.sampled_from([0, 200])))

    report = import_text(database, text, table=table)

    assert report.rejects == []
    assert stored(database, table, names) == before
    assert len(before) == len(rows)
