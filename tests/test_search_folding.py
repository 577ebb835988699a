"""What is searched is folded as Python folds it, every letter, whichever engine does that."""

import sys
import unicodedata

import pytest
from helpers.client import NOW
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from analytics_api import Context
from analytics_api.database.sqlite import SQLite
from analytics_api.endpoints import leads

FIELDS = ("contact_name", "contact_email", "contact_phone", "project_name", "visitor_id")
LETTERS_A_LEAD = 200

# Unassigned, private, and halves of a letter in UTF-16, which are no text.
NONE = ("Cn", "Co", "Cs")

# The capitals that came with Unicode 16 and 17: a newer Python knows of them, and schema.sql of those of Unicode 14.
LATER = {
    *(0x1C89, 0xA7CB, 0xA7CC, 0xA7CE, 0xA7D2, 0xA7D4, 0xA7DA, 0xA7DC),
    *range(0x10D50, 0x10D66),
    *range(0x16EA0, 0x16EB9),
}


@pytest.fixture
def write(database):
    """Make these the leads, numbered from 0, each given as its FIELDS."""

    def write(rows):
        def replace(at):
            at.execute("delete from leads")
            at.insert(
                "leads",
                ("lead_id", "enquiry_datetime", *FIELDS),
                [(number, "2026-02-23 11:00:00", *row) for number, row in enumerate(rows)],
            )

        database.write(replace)

    return write


@pytest.fixture
def find(database):
    """The ids of the leads that a needle is found in, ascending."""

    def find(needle):
        page = leads.list_leads(Context(database, None, NOW), limit=100, offset=0, q=needle, status=None, sort="oldest")
        ids = [lead["lead_id"] for lead in page["leads"]]
        assert page["total"] == len(ids)
        return ids

    return find


def folded(text):
    return text.casefold().replace("\x1f", " ")  # which stands between the fields


@pytest.mark.slow
def test_every_letter_is_folded_as_in_python(database, write):
    letters = [
        chr(code)
        for code in range(1, sys.maxunicode + 1)
        if code not in LATER and unicodedata.category(chr(code)) not in NONE
    ]
    names = ["".join(letters[begin:][:LETTERS_A_LEAD]) for begin in range(0, len(letters), LETTERS_A_LEAD)]

    write([(name, None, None, None, None) for name in names])
    searched = database.rows("select search_text from leads order by lead_id")
    before = 1 if isinstance(database, SQLite) else 0  # fields stand before the name

    assert len(letters) > 143_000  # those of Unicode 13
    for name, row in zip(names, searched):
        assert row["search_text"] == "\x1f" * before + folded(name) + "\x1f" * (5 - before)


texts = st.text(st.characters(exclude_categories=NONE, exclude_characters=["\0", *map(chr, LATER)]), max_size=20)
rows = st.lists(st.tuples(*[st.none() | texts] * len(FIELDS)), min_size=1, max_size=4)
quick = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(data=st.data(), rows=rows)
@quick
def test_any_part_of_any_field_is_found(write, find, data, rows):
    row = data.draw(st.integers(0, len(rows) - 1))
    text = data.draw(st.sampled_from(rows[row]))
    assume(text)
    begin = data.draw(st.integers(0, len(text) - 1))
    piece = text[begin : data.draw(st.integers(begin + 1, len(text)))]
    write(rows)

    results = {
        needle: find(needle)
        for needle in (piece, piece.lower(), piece.upper(), piece.swapcase(), piece.casefold())
        if folded(needle) == folded(piece)  # the capital of a dotless i is that of the other, too
    }

    assert all(row in numbers for numbers in results.values()), results


@given(data=st.data(), rows=rows)
@quick
def test_search_never_spans_two_fields(write, find, data, rows):
    row = data.draw(st.sampled_from(rows))
    first, second = data.draw(st.sampled_from([(0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (4, 0)]))
    end = (row[first] or "")[-data.draw(st.integers(1, 3)) :]
    begin = (row[second] or "")[: data.draw(st.integers(1, 3))]
    needle = end + data.draw(st.sampled_from(["", " ", "\x1f", "\x1f\x1f", "|"])) + begin
    assume(needle)
    write(rows)

    results = find(needle)

    assert results == [
        number for number, row in enumerate(rows) if any(folded(needle) in folded(text) for text in row if text)
    ]


def test_separator_in_a_field_is_a_blank(write, find):
    write([("Ann\x1fLee", "", "", "", ""), ("Ann Lee", "", "", "", ""), ("Ann", "Lee", "", "", "")])

    assert find("ann\x1flee") == find("ann lee") == [0, 1]
    assert find("n\x1f") == find("n ") == [0, 1]
    assert find("\x1f") == [0, 1]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL takes none
@pytest.mark.parametrize("name", ["Ann\0Lee", "Änn\0Lee"])
def test_nul_ends_its_field_only(database, write, find, name):
    write([(name, "lee@shop.example", None, None, "v\0w"), ("Zoë", None, None, None, None)])

    assert find("nn") == find(name[:3].upper()) == find("LEE@shop") == find("v") == [0]
    assert find("Lee") == [0]  # the e-mail's
    assert find("nlee") == find("w") == []
    assert [row["name_folded"] for row in database.rows("select name_folded from leads order by lead_id")] == [
        name[:3].casefold(),
        "zoë",
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL takes none
def test_invalid_utf8_project_is_found_as_displayed(database, find):
    database.write(
        lambda at: at.execute(
            "insert into leads (lead_id, enquiry_datetime, project_name) "
            "values (7, '2026-02-23', cast(x'536b79ff' as text))"
        )
    )

    assert find("ky\ufffd") == find("SKY\ufffd") == find("sky") == [7]
