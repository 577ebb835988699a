"""The session id in a key, and exact counts of sessions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_api.errors import SettingError
from analytics_api.storage.base import count, session_pattern


def session(key: str, folder: str = "") -> str | None:
    match = session_pattern(None, folder).search(key)
    return match and match["session"]


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("sessions/a1/0.json", "a1"),
        ("sessions/a1/deep/er.json", "a1"),
        ("sessions/a1/", "a1"),
        ("sessions/a1.json", "a1"),
        ("sessions/a1.json.gz", "a1"),
        ("sessions/a.1/0.json", "a.1"),
        ("site/sessions/a1/0.json", "a1"),
        ("sessions/a1/sessions/b2.json", "a1"),
        ("sessions/a\n1/0\n.json", "a\n1"),
        ("sessions/a 1+%/0.json", "a 1+%"),
        ("sessions/a1", None),
        ("sessions/a1.", None),
        ("sessions/", None),
        ("sessions//0.json", None),
        ("sessions/.DS_Store", None),
        ("sessions/.a/0.json", None),
        ("mysessions/a1/0.json", None),
        ("sessions-old/a1/0.json", None),
        ("Sessions/a1/0.json", None),
        ("a1/0.json", None),
        ("", None),
    ],
)
def test_default_pattern_matches_folders_and_files(key: str, named: str | None) -> None:
    assert session(key) == named


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("a1/0.json", "a1"),
        ("a1.json", "a1"),
        ("sessions/a1/0.json", "a1"),
        ("a1", None),
        (".DS_Store", None),
        ("a1/sessions/b2.json", "a1"),
    ],
)
def test_default_pattern_in_a_folder_named_sessions(key: str, named: str | None) -> None:
    assert session(key, "sessions") == named


@pytest.mark.parametrize("pattern", ["(?P<session>", "[a-", r"(?P<session>x{99999999999})", "(" * 5000 + ")" * 5000])
def test_invalid_pattern_is_rejected(pattern: str) -> None:
    with pytest.raises(SettingError, match="is not a regular expression"):
        session_pattern(pattern, "")


@pytest.mark.parametrize("pattern", ["", "sessions/([^/]+)/", "(?P<id>.+)"])
def test_pattern_without_group_is_rejected(pattern: str) -> None:
    with pytest.raises(SettingError, match=r"needs a named group: \(\?P<session>…\)"):
        session_pattern(pattern, "")


def test_unmatched_or_empty_group_is_not_a_session() -> None:
    pattern = session_pattern(r"\A(?:a(?P<session>\d*)|b)", "")

    counts = count([["a1", "a", "b", "c"]], pattern, lambda: 0)

    assert (counts.total_objects, counts.estimated_sessions) == (4, 1)


@given(st.lists(st.lists(st.text("ab/.-\n\ud800é", max_size=4))))
def test_session_count_equals_that_of_a_set(pages: list[list[str]]) -> None:
    keys = [f"sessions/{key}/0" for page in pages for key in page]
    named = {name for name in map(session, keys) if name}

    counts = count([[f"sessions/{key}/0" for key in page] for page in pages], session_pattern(None, ""), lambda: 0)

    assert (counts.total_objects, counts.estimated_sessions) == (len(keys), len(named))


def test_session_count_is_exact_beyond_the_cache() -> None:
    numbers = itertools.chain(range(300_000), range(0, 300_000, 10))
    pages = ([f"sessions/{number}/0" for number in itertools.islice(numbers, 1000)] for _ in range(330))

    counts = count(pages, session_pattern(None, ""), lambda: 0)

    assert (counts.total_objects, counts.estimated_sessions) == (330_000, 300_000)
