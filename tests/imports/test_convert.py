"""Converting values from any source for each kind of column."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_api.database import Column
from analytics_api.imports.convert import KEEP, Converter, to_country, to_host, to_id, to_status, to_text_id
from analytics_api.values.bots import bot_name
from analytics_api.values.hosts import normalize_host, normalize_path
from analytics_api.values.timestamps import parse_date, to_datetime, to_timestamp

FEB_23 = 1771804800000


@pytest.mark.parametrize(
    ("value", "timestamp"),
    [
        ("20260223", FEB_23),
        (20260223, FEB_23),
        ("20260223111500", FEB_23 + 40_500_000),
        ("202602231115", FEB_23 + 40_500_000),
        ("20260223T111500Z", FEB_23 + 40_500_000),
        ("46076.46875", FEB_23 + 40_500_000),
        (46076, FEB_23),
        ("1771804800", FEB_23),
        ("1771804800000", FEB_23),
        ("1771804800000000", FEB_23),
        ("2026-02-23T05:30:00+05:30", FEB_23),
        ("2026-02-22T06:00:00-18:00", FEB_23),
    ],
)
def test_timestamp_accepts_each_format(value, timestamp):
    assert to_timestamp(value) == timestamp


@pytest.mark.parametrize(
    "value",
    ["2026", "0", 0, -1, "-1771804800", "2026022311", "20261323", 86400, "2026-02-01T10:00:00+99:99", "1e3", 10**17],
)
def test_timestamp_rejects_dates_of_1970(value):
    with pytest.raises(ValueError, match=r"is not a date|is ambiguous|has an invalid offset"):
        to_timestamp(value)


@pytest.mark.parametrize("offset", ["+18:01", "-99:00", "+05:75"])
def test_invalid_offset_names_the_valid_ones(offset):
    with pytest.raises(ValueError, match=r"invalid offset: use -18:00 to \+18:00, with minutes up to 59$"):
        to_timestamp(f"2026-02-23T10:00:00{offset}")


@pytest.mark.parametrize(
    "value", [1771833600000, "2026-02-23T13:30:00+05:30", "2026-02-23 08:00:00", "46076.3333333333"]
)
def test_datetime_is_normalized(value):
    assert to_datetime(value) == "2026-02-23 08:00:00"


@pytest.mark.parametrize(("value", "id"), [("7", 7), (" 007 ", 7), ("70.0", 70), (70.0, 70), ("-3", -3), ("", None)])
def test_id_takes_whole_numbers(value, id):
    assert to_id(value) == id


@pytest.mark.parametrize(
    "value", ["69.5", 69.5, True, "true", "7.56704153251123E+18", 9007199254740994.0, "1e2", "x", 2**63, float("inf")]
)
def test_ambiguous_id_is_rejected(value):
    with pytest.raises((ValueError, OverflowError)):
        to_id(value)


def test_number_becomes_a_text_id():
    assert to_text_id(9876543210.0) == "9876543210"


def test_unknown_status_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean contacted"):
        to_status("contactd")


def test_other_status_names_the_option_that_maps_it():
    with pytest.raises(ValueError, match=r"map it to one of them with --map-value 'status:Closed Deal=STATUS'$"):
        to_status(" Closed Deal ")


@pytest.mark.parametrize(
    ("value", "country"), [("in", "IN"), (" de ", "DE"), ("IN", "IN"), ("India", "India"), ("", "")]
)
def test_country_is_in_capitals(value, country):
    assert to_country(value) == country


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("https://münchen.example/", "xn--mnchen-3ya.example"),
        ("https://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example"),
        ("https://m%C3%BCnchen.example/", "xn--mnchen-3ya.example"),
        ("http://user:pw@Shop.Example:8080/x?y", "shop.example"),
        ("WWW.Google.com.", "google.com"),
        ("https://www.com/", "www.com"),
        ("https://[2001:DB8::0:1]:443/", "[2001:db8::1]"),
        ("http://[::1", None),
        ("https://a b/", None),
        ("exa<mple", None),
        (" News Letter ", "news letter"),
        ("Größe", "größe"),
        ("50% off!", "50% off!"),
        ("-", None),
        ("(not set)", None),
        ("/pricing", None),
        ("a\nb", None),
        ("a " * 128, None),
    ],
)
def test_host_is_normalized(value, host):
    assert to_host(value) == host


@given(st.text(max_size=30))
def test_normalizing_a_host_twice_has_no_effect(text):
    host = normalize_host(text)

    assert host is None or normalize_host(host) == host


@pytest.mark.parametrize(
    ("path", "page"),
    [("/café", "/caf%C3%A9"), ("/caf%c3%a9", "/caf%C3%A9"), ("/%7Ea%2Fb", "/~a%2Fb"), ("/100%", "/100%")],
)
def test_percent_encoding_of_a_path_is_normalized(path, page):
    assert normalize_path(path.encode()) == page


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("kube-probe/1.30", "kube-probe"),
        ("Google-InspectionTool/1.0", "Google-InspectionTool"),
        ("Mozilla/5.0 (compatible; Uptime-Kuma/1.23)", "Uptime-Kuma"),
        ("PostmanRuntime/7.39", "PostmanRuntime"),
        ("-", "no user agent"),
        ("node", "node"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:38.0) Gecko/20100101 Firefox/38.0", None),
    ],
)
def test_machines_are_named_by_their_product(agent, name):
    assert bot_name(agent) == name


@pytest.mark.parametrize(
    "agent",
    [
        *("undici", "Let's Encrypt validation server", "facebookcatalog/1.0", "Perplexity-User/1.0"),
        "Expanse, a Palo Alto Networks company, searches across the global IPv4 space",
    ],
)
def test_listed_bots_are_not_visitors(agent):
    assert bot_name(agent)


@pytest.mark.parametrize(
    ("format", "text", "stored"),
    [
        ("%d/%m/%Y", "23/02/2026", "2026-02-23 00:00:00"),
        ("%m/%d/%Y", "02/23/2026", "2026-02-23 00:00:00"),
        ("%m/%d/%Y", " 2/3/2026 ", "2026-02-03 00:00:00"),
        ("%d.%m.%y %H:%M", "23.02.26 11:15", "2026-02-23 11:15:00"),
        ("%d %b %Y %I:%M %p %z", "23 Feb 2026 01:15 PM +0200", "2026-02-23 11:15:00"),
        ("%d%m%Y", "01022026", "2026-02-01 00:00:00"),
    ],
    ids=["day-first", "month-first", "short", "two-digit-year", "offset", "digits"],
)
def test_date_in_another_format_is_parsed(format, text, stored):
    for name, value in ("enquiry_datetime", stored), ("occurred_at", to_timestamp(stored)):
        column = Column(name, "text" if name == "enquiry_datetime" else "integer", True, None)
        converter = Converter("leads", column, date_format=format)

        assert converter.convert(text) == value
        assert list(converter.convert_all([text, text])) == [value, value]


@pytest.mark.parametrize("text", ["2026-02-23", "02/23/2026", "20260223", "1771804800000"])
def test_date_of_a_format_other_than_the_option_is_an_error(text):
    converter = Converter("events", Column("occurred_at", "integer", True, None), date_format="%d/%m/%Y")

    with pytest.raises(ValueError, match="does not have the format %d/%m/%Y of --date-format"):
        converter.convert_all([text])


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("23/02/2026", ["%d/%m/%Y"]),
        ("02/23/2026", ["%m/%d/%Y"]),
        ("3/2/2026", ["%d/%m/%Y", "%m/%d/%Y"]),
        ("23.02.26", ["%d.%m.%y"]),
        ("23-02-2026 18:30", ["'%d-%m-%Y %H:%M'"]),
        ("2/23/2026, 6:30:05 PM", ["'%m/%d/%Y, %I:%M:%S %p'"]),
    ],
)
def test_date_of_unknown_order_names_the_formats_that_fit(text, formats):
    with pytest.raises(ValueError, match=f"is not a date; use --date-format {re.escape(' or '.join(formats))}$"):
        to_timestamp(text)

    assert all(parse_date(text, format.strip("'")).year == 2026 for format in formats)


@pytest.mark.parametrize("text", ["23 Feb 2026", "2026/02/23", "Feb 23, 2026"])
def test_date_of_another_form_names_ours_and_the_option(text):
    with pytest.raises(ValueError, match=r"is not a date; write YYYY-MM-DD HH:MM:SS, or use --date-format$"):
        to_timestamp(text)


@pytest.mark.parametrize(
    ("column", "values", "theirs", "stored"),
    [
        (Column("status", "text", True, "new"), {"Negotiation": "qualified"}, "negotiation ", "qualified"),
        (Column("status", "text", True, "new"), {"Negotiation": "qualified"}, "WON", "won"),
        (Column("status", "text", True, "new"), {"Unknown": ""}, "Unknown", "new"),
        (Column("contact_city", "text", False, None), {"n/a": ""}, "N/A", None),
        (Column("suspicion_score", "integer", True, 0), {"High": "90"}, "high", 90),
        (Column("suspicion_score", "integer", True, 0), {"3": "90"}, 3, 90),
        (Column("enquiry_datetime", "text", True, None), {"never": "2026-02-23"}, "Never", "2026-02-23 00:00:00"),
    ],
    ids=["status", "other-status", "status-to-default", "text-to-null", "text-to-number", "number", "date"],
)
def test_mapped_value_is_converted(column, values, theirs, stored):
    converter = Converter("leads", column, value_map=values)

    assert converter.convert(theirs) == stored
    assert list(converter.convert_all([theirs, theirs])) == [stored, stored]


CELLS = st.one_of(st.none(), st.integers(-(2**65), 2**65), st.floats(), st.booleans(), st.text(max_size=12))
COLUMNS = [
    ("sessions", Column("started_at", "integer", True, None)),
    ("sessions", Column("ended_at", "integer", False, None)),
    ("sessions", Column("country", "text", False, None)),
    ("sessions", Column("event_count", "integer", True, 0)),
    ("events", Column("event_id", "integer", True, None)),
    ("events", Column("data", "text", False, None)),
    ("leads", Column("lead_id", "integer", True, None)),
    ("leads", Column("status", "text", True, "new")),
    ("leads", Column("enquiry_datetime", "text", True, None)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[column.name for _, column in COLUMNS])
@given(values=st.lists(CELLS, min_size=1, max_size=6))
def test_many_values_are_converted_as_each_is(table, column, values):
    converter = Converter(table, column)

    def outcome(convert, value):
        try:
            return convert(value)
        except (ValueError, OverflowError) as error:
            return type(error)

    each = [outcome(converter.convert, value) for value in values]
    together = outcome(converter.convert_all, values)

    if any(isinstance(result, type) for result in each):
        assert isinstance(together, type)
    else:
        assert list(together) == each


def test_update_with_an_empty_value_leaves_the_row():
    status = Column("status", "text", True, "new")

    assert Converter("leads", status, is_update=True).convert(None) is KEEP
