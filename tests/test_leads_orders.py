import pytest

ORDERS = ("newest", "oldest", "last_follow_up", "score_desc", "score_asc", "risk_desc", "risk_asc", "name_asc")


@pytest.fixture
def leads(insert):
    """Insert nine leads with ties and nulls in every sort column."""
    insert(
        "leads",
        *(
            {
                "lead_id": lead_id,
                "enquiry_datetime": f"2026-02-{day} 10:00:00",
                "contact_name": name,
                "engagement_score": score,
                "suspicion_score": risk,
            }
            for lead_id, day, name, score, risk in (
                (1, 20, "bob", 50, 0),
                (2, 22, "Ann", None, 9),
                (3, 22, "ANN", 74, 5),
                (4, 21, None, 50, 5),
                (5, 24, "ann", 0, 0),
                (6, 19, "Bob", None, 100),
                (7, 19, None, -3, 9),
                (8, 23, "carl", 100, 1),
                (9, 23, "", 150, 2),
            )
        ),
    )
    insert(
        "lead_submissions",
        *(
            {"submission_id": number, "lead_id": lead_id, "submitted_at": submitted_at, "is_primary_lead": primary}
            for number, (lead_id, submitted_at, primary) in enumerate(
                (
                    (1, "2026-02-24 08:00:00", 0),
                    (3, "2026-02-22 08:00:00", 0),
                    (3, "2026-02-23 08:00:00", 0),
                    (5, "2026-02-24 14:00:00", 1),
                    (6, "2026-02-24 08:00:00", 0),
                    (8, "2026-02-20 08:00:00", 0),
                )
            )
        ),
    )


def ids(page):
    return [lead["lead_id"] for lead in page["leads"]]


def test_orders_put_nulls_last_and_break_ties_by_id(leads, get):
    expected = {
        "newest": [5, 9, 8, 3, 2, 4, 1, 7, 6],
        "oldest": [6, 7, 1, 4, 2, 3, 8, 9, 5],
        "last_follow_up": [6, 1, 3, 8, 9, 7, 5, 4, 2],
        "score_desc": [9, 8, 3, 4, 1, 5, 7, 6, 2],
        "score_asc": [7, 5, 1, 4, 3, 8, 9, 2, 6],
        "risk_desc": [6, 7, 2, 4, 3, 9, 8, 5, 1],
        "risk_asc": [1, 5, 8, 9, 3, 4, 2, 7, 6],
        "name_asc": [9, 2, 3, 5, 1, 6, 8, 4, 7],
    }

    pages = {sort: get(f"/analytics/leads?sort={sort}") for sort in expected}

    assert {sort: ids(page) for sort, page in pages.items()} == expected
    assert {page["total"] for page in pages.values()} == {9}


def test_default_order_is_newest(leads, get):
    assert get("/analytics/leads") == get("/analytics/leads?sort=newest") == get("/analytics/leads?sort=")


@pytest.mark.any_engine
def test_sort_ignores_case(leads, get):
    assert get("/analytics/leads?sort=Score_ASC") == get("/analytics/leads?sort=score_asc")


def test_names_are_ordered_by_folded_text(insert, get):
    for lead_id, name in enumerate(["ÉMILE", "zoe", "émile", "Émile", "Zoe", "STRASSE", "straße"], start=1):
        insert("leads", lead_id=lead_id, enquiry_datetime="2026-02-23 11:00:00", contact_name=name)

    page = get("/analytics/leads?sort=name_asc")

    assert ids(page) == [1, 3, 4, 6, 7, 2, 5]


@pytest.mark.slow
def test_pages_cover_the_list_without_overlap(insert, get):
    stages = ("new", "contacted", "qualified", "proposal", "won")
    names = ("bob", "Ann", None, "ann", "bob", "", "ANN ")
    insert(
        "leads",
        *(
            {
                "lead_id": number,
                "enquiry_datetime": f"2026-02-{10 + number % 3} 10:00:00",
                "contact_name": names[number % 7],
                "project_name": "Loud",
                "engagement_score": None if number % 4 == 0 else number % 5,
                "suspicion_score": number % 2,
                "status": stages[number % 5],
            }
            for number in range(1, 91)
        ),
    )
    insert(
        "lead_submissions",
        *(
            {"submission_id": number, "lead_id": number, "submitted_at": f"2026-02-2{number % 4} 08:00:00"}
            for number in range(1, 91, 3)
        ),
    )
    matching = {
        "": 90,
        "status=won": 18,
        "q=loud": 90,
        "q=n": 39,
        "q=loud&status=won": 18,
        "q=nn&status=WON": 6,
    }

    for query in (f"sort={sort}&{among}" for sort in ORDERS for among in matching):
        expected = get(f"/analytics/leads?{query}&limit=100")["leads"]
        pages = [get(f"/analytics/leads?{query}&limit=25&offset={offset}") for offset in range(0, 101, 25)]

        total = matching[query.partition("&")[2]]
        assert [lead for page in pages for lead in page["leads"]] == expected
        assert len({lead["lead_id"] for lead in expected}) == len(expected) == total
        assert {page["total"] for page in pages} == {total}
