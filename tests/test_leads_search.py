import pytest


@pytest.fixture
def find(get):
    """Return a function that searches, checks the total, and returns the lead ids in ascending order."""

    def find(needle, **parameters):
        page = get("/analytics/leads", query_string={"q": needle, "limit": 100, "sort": "oldest", **parameters})
        results = [lead["lead_id"] for lead in page["leads"]]
        assert page["total"] == len(results)
        return results

    return find


@pytest.fixture
def insert_leads(insert):
    """Insert leads with these names, ids from 1 and the same timestamp."""

    def insert_leads(*names):
        insert(
            "leads",
            *(
                {"lead_id": number, "enquiry_datetime": "2026-02-23 11:00:00", "contact_name": name}
                for number, name in enumerate(names, start=1)
            ),
        )

    return insert_leads


def test_search_covers_five_columns(insert, find):
    insert(
        "leads",
        *(
            {
                "lead_id": number,
                "enquiry_datetime": "2026-02-23 11:00:00",
                "project_location": "Pune",
                "project_source": "WebSite",
                "contact_country_name": "Pune",
                "contact_city": "Pune",
                "session_id": "session-7",
                "engagement_label": "Very Hot",
                column: text,
            }
            for number, (column, text) in enumerate(
                (
                    ("contact_name", "Rahul Sharma"),
                    ("contact_email", "rahul@example.com"),
                    ("contact_phone", "9876543210"),
                    ("project_name", "Sky Towers"),
                    ("visitor_id", "visitor-9"),
                ),
                start=1,
            )
        ),
    )
    expected = {
        "rahul sh": [1],  # the name
        "rahul@": [2],  # the e-mail
        "43210": [3],  # the phone
        "sky tow": [4],  # the project
        "visitor-9": [5],  # the visitor id
        "rahul": [1, 2],
        "9": [3, 5],
        "pune": [],  # the city, location, country, source, session and label are not searched
        "website": [],
        "session-7": [],
        "very hot": [],
        "nobody": [],
    }

    results = {needle: find(needle) for needle in expected}

    assert results == expected


def test_search_does_not_match_across_columns(insert, find):
    insert(
        "leads",
        lead_id=1,
        enquiry_datetime="2026-02-23 11:00:00",
        contact_name="Sharma",
        contact_email="98xy",
        contact_phone="b",
    )
    needles = ["arma98", "arma 98", "a9", "yb", "xyb", "y b", "98xyb"]

    results = {needle: find(needle) for needle in needles}

    assert results == {needle: [] for needle in needles}


def test_search_folds_case_beyond_ascii(insert_leads, find):
    insert_leads(
        "Émile Zola",
        "ÉMILE ZOLA",
        "Hauptstraße 1",
        "HAUPTSTRASSE 1",
        "HAUPTSTRAẞE 1",
        "Überall",
        "ÜBERALL",
        "привет",
        "ПРИВЕТ",
        "Σίσυφος",
        "ΣΊΣΥΦΟΣ",
        "東京タワー",
        "Hi \N{WAVING HAND SIGN} there",
        "of the ﬁ",
        "FI",
    )
    expected = {
        "émile": [1, 2],
        "ÉMILE": [1, 2],
        "ÉM": [1, 2],
        "mÉ": [],
        "straße": [3, 4, 5],
        "STRASSE": [3, 4, 5],
        "strasse": [3, 4, 5],
        "ß": [3, 4, 5],
        "ẞ": [3, 4, 5],
        "SS": [3, 4, 5],
        "aß": [3, 4, 5],
        "über": [6, 7],
        "ÜB": [6, 7],
        "ü": [3, 4, 5, 6, 7],
        "ПРИВЕТ": [8, 9],
        "пр": [8, 9],
        "ΣΊΣΥΦΟΣ": [10, 11],
        "σίσυφος": [10, 11],
        "σ": [10, 11],
        "ς": [10, 11],
        "東京": [12],
        "東": [12],
        "東京タワー": [12],
        "\N{WAVING HAND SIGN}": [13],
        "hi \N{WAVING HAND SIGN}": [13],
        "ﬁ": [14, 15],
        "FI": [14, 15],
        "e\N{COMBINING ACUTE ACCENT}m": [1, 2],
    }

    results = {needle: find(needle) for needle in expected}

    assert results == expected


def test_search_escapes_wildcards(insert_leads, find):
    insert_leads(
        "100% sure",
        "100 percent",
        "a_b%",
        "axb",
        "Pat O'Brien",
        "Robert'); drop table leads; --",
        'the "quoted" one',
        "C:\\Dir",
        "a*b",
        "a OR b",
        "near(a b)",
        "name:x -x",
        "up ^ there",
        "who?",
        ":pattern",
        "{(a+b)}",
    )
    expected = {
        "100%": [1],
        "%": [1, 3],
        "%%": [],
        "_": [3],
        "a_b": [3],
        "a_b%": [3],
        "o'b": [5],
        "O'Brien": [5],
        "'": [5, 6],
        "''": [],
        '"': [7],
        '"quoted"': [7],
        '""': [],
        "\\": [8],
        "\\\\": [],
        "c:\\dir": [8],
        "*": [9],
        "a*b": [9],
        "a OR b": [10],
        "a or": [10],
        "near(": [11],
        "NEAR(a b)": [11],
        "name:x": [12],
        "-x": [12],
        "^": [13],
        "?": [14],
        ":pattern": [15],
        "; drop table leads; --": [6],
        "a%b": [],
        "{": [16],
        "(a+b)": [16],
    }

    results = {needle: find(needle) for needle in expected}

    assert results == expected


def test_search_finds_short_terms(insert_leads, find):
    insert_leads("A", "Ana", "Ann", "n x")
    expected = {
        "a": [1, 2, 3],
        "n": [2, 3, 4],
        "an": [2, 3],
        "nn": [3],
        "na": [2],
        "ann": [3],
        "ana": [2],
        "q": [],
        "aq": [],
        "n ": [2, 3, 4],
        " x": [4],
        "n x": [4],
    }

    results = {needle: find(needle) for needle in expected}

    assert results == expected


def test_search_matches_inner_blanks(insert_leads, find):
    insert_leads("two  blanks", "one blank", "none", " ")

    assert find(" ") == find("  ") == find("") == [1, 2, 3, 4]
    assert find("two  b") == [1]
    assert find("two b") == []
    assert find(" blank ") == find("blank") == [1, 2]


def test_empty_search_returns_every_lead(insert_leads, get):
    insert_leads("Ann", None)

    assert get("/analytics/leads?q=") == get("/analytics/leads")
    assert get("/analytics/leads?q=")["total"] == 2


def test_search_never_matches_nulls(insert_leads, find):
    insert_leads(None, "", "null", "None")

    assert find("null") == [3]
    assert find("none") == [4]
    assert find("n") == [3, 4]


def test_search_compares_all_of_a_long_term(insert_leads, find):
    text = "Grüne Äpfel aus Köln, " * 50
    insert_leads(text[:250], text[:249], f"before {text[:250]} after", text[:249] + "!", text[:1000])

    assert find(text[:250]) == find(text[:250].upper()) == [1, 3, 5]
    assert find(text[:1000]) == find(text[:1000].upper()) == [5]


def test_search_within_a_status(insert, find):
    insert(
        "leads",
        *(
            {
                "lead_id": number,
                "enquiry_datetime": "2026-02-23 11:00:00",
                "contact_name": name,
                "status": status,
            }
            for number, (name, status) in enumerate(
                (("Ann", "new"), ("Ann", "won"), ("Bob", "won"), ("Anna", "won"), ("anna", "lost")), start=1
            )
        ),
    )

    assert find("ann", status="won") == [2, 4]
    assert find("an", status="WON") == [2, 4]
    assert find("ann", status="qualified") == []
    assert find("an", status="qualified") == []
    assert find("ann", status="") == [1, 2, 4, 5]


def test_search_follows_updates_and_deletes(insert_leads, database, find):
    insert_leads("Ann", "Bob")

    database.write(lambda at: at.execute("update leads set contact_name = 'Zoë' where lead_id = 1"))
    database.write(lambda at: at.execute("delete from leads where lead_id = 2"))

    assert (find("ann"), find("ZOË"), find("oë"), find("bob"), find("bo")) == ([], [1], [1], [], [])


@pytest.fixture
def insert_projects(insert):
    """Insert leads with these projects and ids from 1."""

    def insert_projects(*projects):
        insert(
            "leads",
            *(
                {
                    "lead_id": number,
                    "enquiry_datetime": "2026-02-23 11:00:00",
                    "contact_name": "Tom Towers" if number % 10 == 0 else None,
                    "project_name": project,
                }
                for number, project in enumerate(projects, start=1)
            ),
        )

    return insert_projects


def test_search_finds_many_projects(insert_projects, find):
    insert_projects(*(f"Tower {number}" for number in range(1, 701)))

    assert find("tower 69") == [69, *range(690, 700)]
    assert find("ER 7") == [7, *range(70, 80), 700]
    assert find("om towers") == list(range(10, 701, 10))
    assert find("69") == [69, 169, 269, 369, 469, 569, 669, *range(690, 700)]
    assert find("tower 701") == []


def test_search_counts_each_lead_once(insert_projects, find):
    insert_projects(*["Sky"] * 9, "Sky Towers")

    assert find("towers") == find("tow") == find("to") == [10]


def test_search_finds_any_part_of_an_email(insert, find):
    emails = [
        "Ann@Mail.example",
        "joann@mail.example",
        "ann@mail.example.org",
        "ann",
        "ann@",
        "@mail.example",
        "a@ann@b",
    ]
    insert(
        "leads",
        *(
            {
                "lead_id": number,
                "enquiry_datetime": "2026-02-23 11:00:00",
                "contact_name": "n@mail",
                "contact_email": email,
            }
            for number, email in enumerate(emails, start=1)
        ),
        {
            "lead_id": 8,
            "enquiry_datetime": "2026-02-23 11:00:00",
            "contact_name": "ann@",
            "contact_email": "x@mail.example",
        },
    )
    expected = {
        "mail.example": [1, 2, 3, 6, 8],
        "@mail.example": [1, 2, 3, 6, 8],
        "ann@mail.example": [1, 2, 3],
        "ANN@M": [1, 2, 3],
        "joann@mail": [2],
        "n@m": [1, 2, 3, 4, 5, 6, 7],
        "@m": [1, 2, 3, 4, 5, 6, 7, 8],
        "n@": [1, 2, 3, 4, 5, 6, 7, 8],
        "ann@": [1, 2, 3, 5, 7, 8],
        "ann@b": [7],
        "a@ann": [7],
        "@ann@": [7],
        "n@b": [7],
        "example.o": [3],
        "ann@x": [],
        "joann@mail.example.org": [],
        " mail.example ": [1, 2, 3, 6, 8],
    }

    results = {needle: find(needle) for needle in expected}

    assert results == expected
    assert {needle: find(needle, status="new") for needle in expected} == expected


def test_search_follows_project_changes(insert_projects, database, find):
    insert_projects("Sky Towers", "Sky Towers", "Green Acres")

    database.write(lambda at: at.execute("update leads set project_name = 'Green Acres' where lead_id = 1"))
    database.write(lambda at: at.execute("update leads set project_name = 'Sea View' where lead_id = 3"))
    database.write(lambda at: at.execute("delete from leads where lead_id = 2"))

    assert (find("sky tow"), find("acres"), find("ea v")) == ([], [1], [3])
    database.rebuild()
    assert (find("sky tow"), find("acres"), find("ea v")) == ([], [1], [3])


def test_field_separator_is_never_matched(insert, get):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00", contact_name="Ann", contact_email="b@c.example")
    insert("leads", lead_id=2, enquiry_datetime="2026-02-23 11:15:00", contact_name="Odd\x1fName")

    across, within = get("/analytics/leads?q=nn%1Fb"), get("/analytics/leads?q=odd%1Fname")

    assert across["total"] == 0
    assert [lead["lead_id"] for lead in within["leads"]] == [2]


@pytest.mark.parametrize("results", [500, 501])  # one statement returns the page and the total of up to 500 matches
def test_page_and_total_around_the_small_result_limit(database, get, results):
    columns = ["lead_id", "enquiry_datetime", "contact_name", "status"]
    rows = [
        (number, "2026-02-23 11:00:00", "Ann" if number <= results else "Ben", "new" if number % 2 else "won")
        for number in range(1, 601)
    ]
    database.write(lambda at: at.insert("leads", columns, rows))

    def page(**parameters):
        page = get("/analytics/leads", query_string={"q": "ann", "sort": "oldest", "limit": 2, **parameters})
        return (
            [lead["lead_id"] for lead in page["leads"]],
            page["total"],
            len(page["leads"][0]) if page["leads"] else 19,
        )

    assert page() == ([1, 2], results, 19)
    assert page(sort="newest") == ([results, results - 1], results, 19)
    assert page(offset=results - 1) == ([results], results, 19)
    assert page(offset=results) == ([], results, 19)
    assert page(cursor="oldest:498:2026-02-23 11:00:00") == ([499, 500], results, 19)
    assert page(status="won") == ([2, 4], results // 2, 19)
    assert page(status="won", offset=results // 2 - 1) == ([results // 2 * 2], results // 2, 19)
    assert page(status="won", offset=results // 2) == ([], results // 2, 19)
    assert page(status="lost") == ([], 0, 19)
