"""Paging through the list of leads with `Link` headers."""

import re
from itertools import chain, product

import pytest

ORDERS = ("newest", "oldest", "last_follow_up", "score_desc", "score_asc", "risk_desc", "risk_asc", "name_asc")


def next_of(response):
    """Return the query string of the next page, or None on the last page."""
    match = re.fullmatch(r'</under/a/path/analytics/leads(\?[^>]+)>; rel="next"', response.headers.get("Link", ""))
    return match and match[1]


@pytest.fixture
def leads(insert):
    """Insert 60 leads with ties and nulls in every sort column."""
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
    """Return a function that follows the links from a first query and returns the lead ids of each page."""

    def follow(query):
        pages = []
        while query:
            response = client.get(f"/analytics/leads{query}")
            assert response.status_code == 200, response.text
            pages.append([lead["lead_id"] for lead in response.json["leads"]])
            query = next_of(response)
        return pages

    return follow


@pytest.mark.slow
def test_link_headers_reach_every_lead(leads, get, follow):
    limits = {
        "": 7,
        "&status=won": 7,
        "&q=loud": 6,  # enough matches for the strategy `filter_next`
        "&q=loud&status=won": 1,
        "&q=loud-1": 7,
        "&q=an": 7,
        "&q=n": 7,
        "&q=n&status=contacted": 7,
    }
    for sort, among in product(ORDERS, limits):
        whole = [lead["lead_id"] for lead in get(f"/analytics/leads?limit=100&sort={sort}{among}")["leads"]]

        pages = follow(f"?limit={limits[among]}&sort={sort}{among}")

        assert list(chain.from_iterable(pages)) == whole, (sort, among)
        assert {len(page) for page in pages[:-1]} == {limits[among]}


@pytest.mark.any_engine
def test_partial_page_has_no_link(leads, client):
    response = client.get("/analytics/leads?limit=100")

    assert len(response.json["leads"]) == 60
    assert "Link" not in response.headers


@pytest.mark.any_engine
def test_link_repeats_the_parameters(leads, client):
    response = client.get("/analytics/leads", query_string={"q": "Loud-1@", "limit": 2, "sort": "oldest"})

    assert next_of(response) == "?limit=2&q=Loud-1%40&sort=oldest&cursor=oldest%3A28%3A2026-02-10+11%3A00%3A00"


def test_total_is_the_same_on_every_page(leads, client):
    first = client.get("/analytics/leads?limit=10&status=won")
    second = client.get(f"/analytics/leads{next_of(first)}")

    assert (first.json["total"], second.json["total"]) == (12, 12)


def test_paging_continues_after_a_moved_lead(leads, database, client):
    first = client.get("/analytics/leads?limit=10&sort=score_desc")
    first_ids = [lead["lead_id"] for lead in first.json["leads"]]
    database.write(
        lambda at: at.execute("update leads set engagement_score = 99 where lead_id = :lead_id", lead_id=first_ids[-1])
    )

    second = client.get(f"/analytics/leads{next_of(first)}")

    everyone = client.get("/analytics/leads?limit=100&sort=score_desc").json["leads"]
    rest = [lead["lead_id"] for lead in everyone if lead["lead_id"] not in first_ids]
    assert [lead["lead_id"] for lead in second.json["leads"]] == rest[:10]


def test_paging_continues_after_a_deleted_lead(leads, database, client):
    first = client.get("/analytics/leads?limit=10")
    first_ids = [lead["lead_id"] for lead in first.json["leads"]]
    database.write(lambda at: at.execute("delete from leads where lead_id = :lead_id", lead_id=first_ids[-1]))

    second = client.get(f"/analytics/leads{next_of(first)}")

    rest = [lead["lead_id"] for lead in client.get("/analytics/leads?limit=100").json["leads"]]
    assert [lead["lead_id"] for lead in second.json["leads"]] == [lead for lead in rest if lead not in first_ids][:10]


def test_cursor_replaces_the_offset(leads, client):
    query = next_of(client.get("/analytics/leads?limit=5&offset=5"))

    assert "offset" not in query
    assert client.get(f"/analytics/leads{query}&offset=30").json == client.get(f"/analytics/leads{query}").json


def test_cursor_works_for_few_and_many_matches(leads, get):
    behind = "oldest:30:2026-02-12+11:00:00"

    many = get(f"/analytics/leads?q=loud&sort=oldest&limit=1&cursor={behind}")
    few = get(f"/analytics/leads?q=loud-1&sort=oldest&limit=1&cursor={behind}")

    assert [many["leads"][0]["lead_id"], few["leads"][0]["lead_id"]] == [37, 37]
    assert (many["total"], few["total"]) == (60, 20)


@pytest.mark.shared_database
@pytest.mark.any_engine
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
        f"name_asc:1:{'a' * 101}",
    ],
)
def test_invalid_cursor_is_400(client, text):
    response = client.get("/analytics/leads", query_string={"cursor": text})

    assert response.status_code == 400
    assert response.json == {"error": "cursor is invalid: use the one from the Link header"}


def test_cursor_needs_no_existing_lead(leads, get):
    expected = {
        "oldest:-1:": 60,
        "newest:1:": 0,
        "newest:1": 0,
        "risk_asc:1": 0,
        f"risk_asc:0:-{9 * 10**18}": 60,
        f"risk_asc:0:{10**19 - 1}": 0,
        f"score_asc:{10**19 - 1}:{10**19 - 1}": 15,
        f"score_asc:-{10**19 - 1}": 15,
        "name_asc:0:b:c%_'\"\\": 48,
    }

    pages = {cursor: get("/analytics/leads", query_string={"cursor": cursor, "limit": 100}) for cursor in expected}

    assert {cursor: len(page["leads"]) for cursor, page in pages.items()} == expected
    assert {page["total"] for page in pages.values()} == {60}


@pytest.mark.shared_database
@pytest.mark.any_engine
def test_cursor_with_another_sort_is_400(client):
    response = client.get("/analytics/leads?cursor=risk_asc:7:1&limit=5&sort=newest")

    assert response.status_code == 400
    assert response.json == {"error": "cursor belongs to sort=risk_asc; send the same sort, or omit it"}


def test_cursor_alone_implies_its_sort(leads, get):
    alone = get("/analytics/leads?cursor=risk_asc:7:1&limit=5")

    assert alone == get("/analytics/leads?cursor=risk_asc:7:1&limit=5&sort=risk_asc")


def test_empty_cursor_is_ignored(leads, get):
    assert get("/analytics/leads?cursor=&limit=3") == get("/analytics/leads?limit=3")


@pytest.mark.any_engine
def test_full_last_page_has_no_link(leads, client):
    response = client.get("/analytics/leads?limit=20&offset=40")

    assert len(response.json["leads"]) == 20
    assert "Link" not in response.headers


NAMES = {1: "ann", 2: "b" * 600, 3: "b" * 600, 4: "b" * 100_000, 5: "carl", 6: None}


@pytest.fixture
def long_names(insert):
    insert(
        "leads",
        *({"lead_id": id, "enquiry_datetime": "2026-02-23 11:00:00", "contact_name": NAMES[id]} for id in NAMES),
    )


@pytest.mark.parametrize("query", ["", "&q=b", "&status=new"], ids=["all", "search", "status"])
def test_paging_by_name_accepts_names_of_any_length(long_names, follow, query):
    expected = [2, 3, 4] if "q=" in query else [1, 2, 3, 4, 5, 6]

    pages = follow(f"?sort=name_asc&limit=1{query}")

    assert list(chain.from_iterable(pages)) == expected


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL stores no NUL
def test_paging_accepts_values_with_nul(insert, follow):
    rows = [
        {"lead_id": id, "enquiry_datetime": "2026-02-24 15:00:00", "contact_name": f"Ann\0{id % 2}"}
        for id in range(1, 7)
    ]
    insert("leads", *rows)

    pages = follow("?sort=name_asc&limit=1")

    assert sorted(chain.from_iterable(pages)) == [1, 2, 3, 4, 5, 6]


def test_paging_skips_no_lead_if_a_long_name_is_deleted(long_names, database, client, follow):
    second = next_of(client.get("/analytics/leads?sort=name_asc&limit=2"))
    database.write(lambda at: at.execute("delete from leads where lead_id = 2"))

    pages = follow(second)

    assert list(chain.from_iterable(pages)) == [3, 4, 5, 6]


def test_link_stays_short_after_a_long_name(long_names, client):
    response = client.get("/analytics/leads?limit=2&sort=name_asc")

    assert len(response.headers["Link"]) < 200
