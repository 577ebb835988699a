"""Going through the list by its `Link` headers, page after page."""

import re
from itertools import chain

import pytest

ORDERS = ("newest", "oldest", "last_follow_up", "score_desc", "score_asc", "risk_desc", "risk_asc", "name_asc")


def next_of(response):
    """What follows the path in the address of the next page; None on the last one."""
    found = re.fullmatch(r'<(\?[^>]+)>; rel="next"', response.headers.get("Link", ""))
    return found and found[1]


@pytest.fixture
def leads(insert):
    """Sixty of them, with ties and gaps in every column that they are ordered by."""
    stages = ("new", "contacted", "qualified", "proposal", "won")
    insert(
        "leads",
        *(
            {
                "lead_id": number,
                "enquiry_datetime": f"2026-02-{10 + number % 7} 11:00:00",
                "contact_name": (None, "Ann", "ÉMILE", "émile", "Zoë")[number % 5],
                "contact_email": f"loud-{number % 3}@example.com",
                "engagement_score": None if number % 4 == 0 else number % 5,
                "suspicion_score": number % 2,
                "status": stages[number % 5],
            }
            for number in range(1, 61)
        ),
    )
    insert(
        "lead_submissions",
        *(
            {"submission_id": number, "lead_id": number, "submitted_at": f"2026-02-2{number % 4} 08:00:00"}
            for number in range(1, 61, 3)
        ),
    )


@pytest.fixture
def follow(client):
    """The ids of the leads page by page, from a first query along the links."""

    def follow(query):
        pages = []
        while query:
            response = client.get(f"/analytics/leads{query}")
            assert response.status_code == 200, response.text
            pages.append([lead["lead_id"] for lead in response.json["leads"]])
            query = next_of(response)
        return pages

    return follow


@pytest.mark.parametrize("sort", ORDERS)
def test_the_links_lead_through_the_whole_list_in_its_order(leads, get, follow, sort):
    for among, limit in (
        ("", 7),
        ("&status=won", 7),
        ("&q=loud", 1),  # found in so many that each page is looked for along the order
        ("&q=loud&status=won", 1),
        ("&q=loud-1", 7),
        ("&q=an", 7),
        ("&q=n", 7),
        ("&q=n&status=contacted", 7),
    ):
        whole = [lead["lead_id"] for lead in get(f"/analytics/leads?limit=100&sort={sort}{among}")["leads"]]

        pages = follow(f"?limit={limit}&sort={sort}{among}")

        assert list(chain.from_iterable(pages)) == whole, among
        assert {len(page) for page in pages[:-1]} == {limit}


def test_a_page_that_is_not_full_has_no_link(leads, client):
    response = client.get("/analytics/leads?limit=100")

    assert len(response.json["leads"]) == 60
    assert "Link" not in response.headers


def test_a_link_asks_for_what_was_asked(leads, client):
    response = client.get("/analytics/leads", query_string={"q": "Loud-1@", "limit": 2, "sort": "oldest"})

    assert next_of(response) == "?limit=2&q=Loud-1%40&sort=oldest&cursor=oldest%3A28%3A2026-02-10+11%3A00%3A00"


def test_the_total_is_that_of_the_whole_list_on_every_page(leads, client):
    first = client.get("/analytics/leads?limit=10&status=won")
    second = client.get(f"/analytics/leads{next_of(first)}")

    assert (first.json["total"], second.json["total"]) == (12, 12)


def test_nothing_is_told_twice_or_left_out_though_the_last_lead_of_a_page_has_moved(leads, database, client):
    first = client.get("/analytics/leads?limit=10&sort=score_desc")
    told = [lead["lead_id"] for lead in first.json["leads"]]
    database.write(
        lambda at: at.execute("update leads set engagement_score = 99 where lead_id = :lead_id", lead_id=told[-1])
    )

    second = client.get(f"/analytics/leads{next_of(first)}")

    everyone = client.get("/analytics/leads?limit=100&sort=score_desc").json["leads"]
    rest = [lead["lead_id"] for lead in everyone if lead["lead_id"] not in told]
    assert [lead["lead_id"] for lead in second.json["leads"]] == rest[:10]


def test_a_page_goes_on_behind_a_lead_that_is_gone(leads, database, client):
    first = client.get("/analytics/leads?limit=10")
    told = [lead["lead_id"] for lead in first.json["leads"]]
    database.write(lambda at: at.execute("delete from leads where lead_id = :lead_id", lead_id=told[-1]))

    second = client.get(f"/analytics/leads{next_of(first)}")

    rest = [lead["lead_id"] for lead in client.get("/analytics/leads?limit=100").json["leads"]]
    assert [lead["lead_id"] for lead in second.json["leads"]] == [lead for lead in rest if lead not in told][:10]


def test_with_a_cursor_the_offset_plays_no_part(leads, client):
    following = next_of(client.get("/analytics/leads?limit=5&offset=5"))

    assert "offset" not in following
    assert client.get(f"/analytics/leads{following}&offset=30").json == client.get(f"/analytics/leads{following}").json


def test_a_cursor_of_a_search_that_finds_much_goes_on_as_one_that_finds_little(leads, get):
    behind = "oldest:30:2026-02-12+11:00:00"

    many = get(f"/analytics/leads?q=loud&sort=oldest&limit=1&cursor={behind}")
    few = get(f"/analytics/leads?q=loud-1&sort=oldest&limit=1&cursor={behind}")

    assert [many["leads"][0]["lead_id"], few["leads"][0]["lead_id"]] == [37, 37]
    assert (many["total"], few["total"]) == (60, 20)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "newest",
        "newest:",
        "newest:x",
        "newest:1.5:2026-02-12 11:00:00",
        "newest:٣:2026-02-12 11:00:00",
        "newest:1:2026\0",
        f"newest:{10**19}:2026-02-12 11:00:00",
        "NEWEST:1:2026-02-12 11:00:00",
        " newest:1:2026-02-12 11:00:00",
        "best:1:2026-02-12 11:00:00",
        "score_asc:1:high",
        "score_asc:1:",
        "score_asc:1:5:5",
        "score_asc:1:5\n",
        f"score_asc:1:{10**19}",
        f"name_asc:1:{'a' * 501}",
    ],
)
def test_what_no_page_named_is_refused(leads, client, text):
    response = client.get("/analytics/leads", query_string={"cursor": text})

    assert response.status_code == 400
    assert response.json == {"error": "cursor takes what the Link header of a page named"}


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        ("oldest:-1:", 60),
        ("newest:1:", 0),
        ("newest:1", 0),
        ("risk_asc:1", 0),
        (f"risk_asc:0:-{9 * 10**18}", 60),
        (f"risk_asc:0:{10**19 - 1}", 0),
        (f"score_asc:{10**19 - 1}:{10**19 - 1}", 15),
        (f"score_asc:-{10**19 - 1}", 15),
        ("name_asc:0:b:c%_'\"\\", 48),
    ],
)
def test_a_place_where_no_lead_stands_is_one_all_the_same(leads, get, cursor, expected):
    page = get("/analytics/leads", query_string={"cursor": cursor, "limit": 100})

    assert (len(page["leads"]), page["total"]) == (expected, 60)


def test_the_order_is_the_cursors(leads, get):
    behind = "cursor=risk_asc:7:1&limit=5"

    assert get(f"/analytics/leads?{behind}&sort=name_asc") == get(f"/analytics/leads?{behind}&sort=risk_asc")


def test_an_empty_cursor_is_none(leads, get):
    assert get("/analytics/leads?cursor=&limit=3") == get("/analytics/leads?limit=3")


def test_a_name_too_long_for_a_header_has_no_link(insert, client):
    insert(
        "leads",
        {"lead_id": 1, "enquiry_datetime": "2026-02-23 11:00:00", "contact_name": "a" * 100_000},
        {"lead_id": 2, "enquiry_datetime": "2026-02-23 11:00:00", "contact_name": "b"},
    )

    first = client.get("/analytics/leads?limit=1&sort=name_asc")
    by_time = client.get("/analytics/leads?limit=1&sort=oldest")

    assert [lead["lead_id"] for lead in first.json["leads"]] == [1]
    assert next_of(by_time)
    assert len(first.headers.get("Link", "")) < 1000
