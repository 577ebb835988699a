import pytest
from helpers.client import NOW, instant

DAY = 86_400_000

# Strings for an integer parameter, each with the resulting value: the default, a bound, or the number.
WHOLE_NUMBERS = {
    "": "default",
    "0": "minimum",
    "-0": "minimum",
    "-1": "minimum",
    "-" + "9" * 5000: "minimum",
    "1": 1,
    "2": 2,
    "%2B2": 2,
    "+2": 2,  # + is a space in a query string
    "%202%20": 2,
    "02": 2,
    "0" * 5000 + "2": 2,
    "-" + "0" * 5000: "minimum",
    "9" * 5000: "maximum",
    "9223372036854775807": "maximum",
    "9223372036854775808": "maximum",
    "100000000000000000000": "maximum",
}

NO_NUMBERS = [
    "abc",
    "1.0",
    "2.5",
    "1e2",
    "0x10",
    "1_0",
    "1,000",
    "2 3",
    "--1",
    "%2B-1",
    "-",
    "+",
    "%2B",
    "%20",
    "1%00",
    "1%0A2",
    "NaN",
    "Infinity",
    "null",
    "true",
    "[1]",
    "%D9%A1",  # an Arabic digit 1
    "%C2%B2",  # a superscript 2
    "%C2%A02",  # a 2 after a no-break space
    "%EF%BC%91",  # a full-width digit 1
    "0" * 5000 + "x",
    "2;drop table leads",
]

# Integer parameters: the path, and the parameter's name, default, minimum and maximum.
TAKING = {
    "days": ("/analytics/sessions/daily", "days", 30, 1, 90),
    "pages": ("/analytics/pages/top", "limit", 20, 1, 100),
    "sources": ("/analytics/sources", "limit", 100, 1, 1000),
    "leads": ("/analytics/leads", "limit", 25, 1, 100),
    "offset": ("/analytics/leads?limit=100", "offset", 0, 0, 9_223_372_036_854_775_807),
}


def query(path, text):
    return f"{path}{'&' if '?' in path else '?'}{text}"


@pytest.fixture
def plenty(database):
    """Insert more rows than any response returns: 1001 sources on 100 days, 101 pages and 101 leads."""

    def write(at):
        at.insert(
            "sessions",
            ("session_id", "visitor_id", "started_at", "referrer_domain"),
            [(f"s{number}", "ann", NOW - number % 100 * DAY, f"{number}.example") for number in range(1001)],
        )
        at.insert(
            "events",
            ("event_id", "session_id", "event_type", "page_url", "occurred_at"),
            [(number, "s1", "page_view", f"/{number}", NOW) for number in range(101)],
        )
        at.insert(
            "leads", ("lead_id", "enquiry_datetime"), [(number, "2026-02-23 11:00:00") for number in range(1, 102)]
        )

    database.write(write)


@pytest.fixture
def rows(get):
    """Return a function that counts the rows of a response."""

    def rows(path):
        reply = get(path)
        return len(reply["leads"] if isinstance(reply, dict) else reply)

    return rows


@pytest.mark.any_engine
def test_limit_is_clamped(plenty, rows):
    for taking in ("days", "pages", "sources", "leads"):
        path, name, default, minimum, maximum = TAKING[taking]
        meant = {"default": default, "minimum": minimum, "maximum": maximum}
        expected = {
            **{f"{name}={text}": meant.get(number, number) for text, number in WHOLE_NUMBERS.items()},
            "": default,
            name: default,
            f"{name}={maximum - 1}": maximum - 1,
            f"{name}={maximum}": maximum,
            f"{name}={maximum + 1}": maximum,
            f"%{ord(name[0]):x}{name[1:]}=5": 5,
            f"_=1&{name}=5&_=2&_x": 5,
            f"{name}=5&": 5,
            f"&{name}=5": 5,
        }

        results = {text: rows(query(path, text)) for text in expected}

        assert results == expected, path


def test_offset_is_clamped(plenty, get):
    path, name, default, minimum, maximum = TAKING["offset"]
    meant = {"default": default, "minimum": minimum, "maximum": maximum}
    expected = {
        **{f"{name}={text}": min(meant.get(number, number), 101) for text, number in WHOLE_NUMBERS.items()},
        "": 0,
        "offset": 0,
        "offset=100": 100,
        "offset=101": 101,
        "offset=102": 101,
    }

    results = {}
    for text in expected:
        page = get(query(path, text))
        assert page["total"] == 101
        results[text] = 101 - page["leads"][0]["lead_id"] if page["leads"] else 101

    assert results == expected


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize("taking", TAKING)
def test_non_integer_is_400_with_the_name(client, taking):
    path, name, *_ = TAKING[taking]

    replies = {}
    for text in [f"{name}={text}" for text in NO_NUMBERS]:
        response = client.get(query(path, text))
        replies[text] = (response.status_code, response.json)

    assert replies == dict.fromkeys(replies, (400, {"error": f"{name} must be an integer"}))


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "status",
            ["closed", "new,won", "%00", "new%00", "%20", "n%C3%ABw", "1", "null", "new%20won", "w" * 5000],
            "status must be one of new, contacted, qualified, proposal, won, lost",
        ),
        (
            "sort",
            ["newest_first", "lead_id", "%20", "newest%00", "newest;drop table leads", "-1", "score", "n" * 5000],
            "sort must be one of newest, oldest, last_follow_up, score_desc, score_asc, risk_desc, risk_asc, name_asc",
        ),
    ],
)
def test_unknown_choice_is_400_with_the_name(client, name, values, message):
    replies = {}
    for text in [f"{name}={value}" for value in values]:
        response = client.get(f"/analytics/leads?{text}")
        replies[text] = (response.status_code, response.json)

    assert replies == dict.fromkeys(replies, (400, {"error": message}))


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("leads?from=2026-02-01&from=2026-02-02", "from must have one value, not several"),
        ("leads?q=&q=ann", "q must have one value, not several"),
        ("sessions/daily?days=7&days=7", "days must have one value, not several"),
        ("sessions/daily?DAYS=7", "DAYS is not a parameter of this endpoint; did you mean days?"),
        ("leads?limits=7", "limits is not a parameter of this endpoint; did you mean limit?"),
        ("realtime?tz=Asia/Kolkata", "tz is not a parameter: this endpoint has no parameters"),
        ("realtime?=1", "'' is not a parameter: this endpoint has no parameters"),
        ("leads/1?fields=all", "fields is not a parameter: this endpoint has no parameters"),
        ("realtime?a%0Ab", "'a\\nb' is not a parameter: this endpoint has no parameters"),
    ],
    ids=["second", "second_empty", "second_equal", "case", "near", "none", "empty", "with_path", "control"],
)
def test_unknown_or_repeated_parameter_is_400(insert, client, path, message):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00")

    response = client.get(f"/analytics/{path}")

    assert (response.status_code, response.json) == (400, {"error": message})


@pytest.mark.any_engine
def test_unknown_parameter_of_patch_changes_nothing(insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00")

    response = client.patch("/analytics/leads/1?dry_run=1", json={"status": "won"})

    assert response.status_code == 400
    assert client.get("/analytics/leads/1").json["lead"]["status"] == "new"


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("needle", "message"),
    [
        ("x" * 1001, "q must have at most 1000 characters"),
        ("é" * 1001, "q must have at most 1000 characters"),
        ("x" * 100_000, "q must have at most 1000 characters"),
        ("a\0b", "q must not contain NUL"),
        ("\0", "q must not contain NUL"),
    ],
)
def test_unusable_search_text_is_400_with_the_name(client, needle, message):
    response = client.get("/analytics/leads", query_string={"q": needle})

    assert response.status_code == 400
    assert response.json == {"error": message}


@pytest.mark.shared_database
@pytest.mark.parametrize("needle", ["x" * 1000, "é" * 1000, "\N{WAVING HAND SIGN}" * 1000, "\x01\x7f\u2028\ufeff"])
def test_search_text_of_1000_characters_is_accepted(get, needle):
    page = get("/analytics/leads", query_string={"q": needle})

    assert page == {"leads": [], "total": 0}


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize("path", ["/sessions/daily", "/pages/top", "/sources", "/leads"])
@pytest.mark.parametrize("text", ["q=%FF", "q=%C3", "limit=%ED%A0%80", "%FF=1", "x=%C0%AF", "status=%80"])
def test_query_that_is_not_utf8_is_400(client, path, text):
    response = client.get(f"/analytics{path}?{text}")

    assert response.status_code == 400
    assert response.json == {"error": "The query string must be UTF-8"}


@pytest.mark.any_engine
def test_raw_bytes_in_the_query_are_read_as_utf8(insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:00:00", contact_name="Zoë")

    def ask(query_string):
        return client.get("/analytics/leads", environ_overrides={"QUERY_STRING": query_string})

    assert ask("q=ZO\xc3\x8b").json["total"] == 1
    assert (ask("q=zo\xeb").status_code, ask("q=zo\xeb").json) == (400, {"error": "The query string must be UTF-8"})


@pytest.mark.any_engine
def test_too_many_query_fields_are_400(client):
    taken = client.get("/analytics/leads?" + "&".join(["_=1"] * 300))
    refused = client.get("/analytics/leads?" + "&".join(["_=1"] * 301))

    assert taken.status_code == 200
    assert refused.status_code == 400
    assert refused.json == {"error": "The query string must have at most 300 parameters"}


@pytest.mark.any_engine
@pytest.mark.parametrize("text", ["", "&&&", "_", "_=1", "_=1&_=2", "_fields=all"])
def test_names_that_begin_with_an_underscore_are_ignored(insert, get, text):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=instant("2020-02-24 14:00:00"))

    assert get(f"/analytics/geo?{text}") == [{"country": "XX", "sessions": 1, "unique_visitors": 1}]


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize("text", ["=", "%", "%zz", "=5", "unknown=1", "limit=1;offset=1", "?limit=1", "x" * 5000])
def test_malformed_query_strings_are_400(client, text):
    response = client.get(f"/analytics/leads?{text}")

    assert response.status_code == 400
    assert response.json["error"].isprintable()
