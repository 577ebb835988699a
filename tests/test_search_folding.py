"""The lead search ignores case, accents, Unicode normalization and surrounding spaces, with either engine."""

import sys
import unicodedata

import pytest
from helpers.client import NOW
from helpers.folding import folded
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from analytics_api import Context
from analytics_api.database.folding import case_folds, fold_letter
from analytics_api.database.sqlite import SQLite
from analytics_api.endpoints import leads

FIELDS = ("contact_name", "contact_email", "contact_phone", "project_name", "visitor_id")
LETTERS_A_LEAD = 200

# Unicode categories that are not text: unassigned, private use and surrogates.
NONE = ("Cn", "Co", "Cs")


@pytest.fixture
def write(database):
    """Return a function that replaces all leads by leads with these FIELDS and ids from 0."""

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
    """Return a function that returns the ids of the leads that contain a string, in ascending order."""

    def find(needle):
        page = leads.list_leads(Context(database, None, NOW), limit=100, offset=0, q=needle, status=None, sort="oldest")
        ids = [lead["lead_id"] for lead in page["leads"]]
        assert page["total"] == len(ids)
        return ids

    return find


@pytest.fixture(scope="module")
def folded_names():
    """Return names that together have every letter, each with its folding."""
    letters = [chr(code) for code in range(1, sys.maxunicode + 1) if unicodedata.category(chr(code)) not in NONE]
    assert len(letters) > 143_000  # the number of letters in Unicode 13
    names = ["".join(letters[begin : begin + LETTERS_A_LEAD]) for begin in range(0, len(letters), LETTERS_A_LEAD)]
    return [(name, folded(name.replace("\x1f", " "))) for name in names]


@pytest.mark.slow
def test_every_letter_is_folded_as_in_python(database, write, folded_names):
    write([(name, None, None, None, None) for name, _ in folded_names])
    searched = database.rows("select search_text from leads order by lead_id")
    before = 1 if isinstance(database, SQLite) else 0  # on SQLite, another field precedes the name

    for (_, folding), row in zip(folded_names, searched, strict=True):
        assert row["search_text"] == "\x1f" * before + folding + "\x1f" * (5 - before)


texts = st.text(st.characters(exclude_categories=NONE, exclude_characters=["\0"]), max_size=20)
rows = st.lists(st.tuples(*[st.none() | texts] * len(FIELDS)), min_size=1, max_size=4)
quick = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(data=st.data(), rows=rows)
@quick
@pytest.mark.slow
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
        if folded(needle) == folded(piece)  # i and dotless i have the same capital letter
    }

    assert all(row in numbers for numbers in results.values()), results


@pytest.mark.slow
@given(data=st.data(), rows=rows)
@quick
def test_search_never_spans_two_fields(write, find, data, rows):
    row = data.draw(st.sampled_from(rows))
    first, second = data.draw(st.sampled_from([(0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (4, 0)]))
    end = (row[first] or "")[-data.draw(st.integers(1, 3)) :]
    begin = (row[second] or "")[: data.draw(st.integers(1, 3))]
    needle = end + data.draw(st.sampled_from(["", " ", "\x1f", "\x1f\x1f", "|"])) + begin
    term = folded(needle.replace("\x1f", " ")).strip()
    assume(term)
    write(rows)

    results = find(needle)

    assert results == [
        number
        for number, row in enumerate(rows)
        if any(term in folded(text.replace("\x1f", " ")) for text in row if text)
    ]


LETTERS = "aAbB@sS%_'\"\\ -*ßẞÉéÜüΣσςİiıIǅǆŉﬁ東\N{WAVING HAND SIGN}\N{COMBINING ACUTE ACCENT}"


@pytest.mark.slow
@given(
    rows=st.lists(st.tuples(*[st.none() | st.text(LETTERS, max_size=12)] * len(FIELDS)), min_size=1, max_size=6),
    needles=st.lists(
        st.one_of(
            st.text(LETTERS, min_size=1, max_size=5),
            st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 11), st.integers(1, 6), st.booleans()),
        ),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_search_equals_a_substring_test_in_python(write, find, rows, needles):
    def cut(row, column, begin, length, shout):
        """Return a part of a text in `rows`, in upper case if `shout` is true, otherwise in lower case."""
        text = (rows[row % len(rows)][column] or "")[begin:][:length] or "a"
        return text.upper() if shout else text.lower()

    write(rows)
    needles = [needle if isinstance(needle, str) else cut(*needle) for needle in needles]

    results = {needle: find(needle) for needle in needles}

    assert results == {
        needle: [
            number
            for number, row in enumerate(rows)
            if not folded(needle).strip() or any(folded(needle).strip() in folded(text) for text in row if text)
        ]
        for needle in needles
    }


def test_separator_in_a_field_is_a_blank(write, find):
    write([("Ann\x1fLee", "", "", "", ""), ("Ann Lee", "", "", "", ""), ("Ann", "Lee", "", "", "")])

    assert find("ann\x1flee") == find("ann lee") == [0, 1]
    assert find("ann\x1f") == find("ann ") == find("ann") == [0, 1, 2]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL does not accept such text
@pytest.mark.parametrize("name", ["Ann\0Lee", "Änn\0Lee"])
def test_nul_ends_its_field_only(database, write, find, name):
    write([(name, "lee@shop.example", None, None, "v\0w"), ("Zoë", None, None, None, None)])

    assert find("nn") == find(name[:3].upper()) == find("LEE@shop") == find("v") == [0]
    assert find("Lee") == [0]  # the e-mail address contains it
    assert find("nlee") == find("w") == []
    assert [row["name_folded"] for row in database.rows("select name_folded from leads order by lead_id")] == [
        "ann",
        "zoe",
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL does not accept such text
def test_invalid_utf8_project_is_found_as_displayed(database, find):
    database.write(
        lambda at: at.execute(
            "insert into leads (lead_id, enquiry_datetime, project_name) "
            "values (7, '2026-02-23', cast(x'536b79ff' as text))"
        )
    )

    assert find("ky\ufffd") == find("SKY\ufffd") == find("sky") == [7]


NAMES = {
    "composed": "Jos\u00e9",
    "decomposed": "Jose\u0301",
    "plain": "JOSE",
    "vietnamese": "Nguy\u1ec5n",
    "kana": "\u30ac\u30fc\u30c7\u30f3",
    "hangul": "\ud55c\uae00",
    "thai": "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
    "hindi": "\u0939\u093f\u0928\u094d\u0926\u0940",
    "nukta": "\u0958\u0932\u092e",
    "arabic": "\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f",
    "greek": "\u1fb3\u03c2",
    "german": "Stra\u00dfe",
    "turkish": "\u0130stanbul",
    "ohm": "\u2126",
    "ligature": "\ufb01n",
}


SEARCHES = [
    (("jose", "JOS\u00c9", "jos\u00e9", "jose\u0301", "Jos", "os\u00c9"), {"composed", "decomposed", "plain"}),
    ((" jose\t", "\u3000jose\u00a0", "\njose"), {"composed", "decomposed", "plain"}),
    (("nguyen", "NGUY\u1ec4N", "nguye\u0302\u0303n"), {"vietnamese"}),
    (("\u30ac\u30fc", "\u30ab\u3099\u30fc", "\u30c7", "\u30c6\u3099"), {"kana"}),
    (("\ud55c\uae00", "\ud55c", "\u1112\u1161\u11ab", "\uae00"), {"hangul"}),
    (("\u0e17\u0e35\u0e48", "\u0e19\u0e35\u0e48"), {"thai"}),
    (("\u0939\u093f\u0928\u094d", "\u0926\u0940"), {"hindi"}),
    (("\u0958\u0932", "\u0915\u093c\u0932"), {"nukta"}),
    (("\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", "\u062f"), {"arabic"}),
    (("\u03b1\u0345\u03a3", "\u1fbc\u03c3", "\u03b1\u03c2"), {"greek"}),
    (("STRASSE", "stra\u1e9ee"), {"german"}),
    (("istanbul", "\u0130st", "i\u0307st"), {"turkish"}),
    (("\u03c9", "\u03a9"), {"ohm"}),
    (("fin", "FI"), {"ligature"}),
    (("\u0301", " ", "\u00a0\u0301"), set(NAMES)),
]


def test_search_ignores_accents_and_unicode_form(write, find):
    write([(name, None, None, None, None) for name in NAMES.values()])

    for terms, names in SEARCHES:
        results = {term: {list(NAMES)[number] for number in find(term)} for term in terms}

        assert results == dict.fromkeys(terms, names)


def test_every_fold_is_folded():
    again = {letter: text for letter, text in case_folds() if "".join(map(fold_letter, text)) != text}

    assert again == {}
