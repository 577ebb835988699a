import time

import pytest
from hypothesis import given
from hypothesis.strategies import text

from analytics_api.values.formulas import escape_formula, unescape_formula


@pytest.mark.parametrize(
    "before",
    ["", " ", '"', "\t", "x\t", "x\r", "x\n", "x;", "x|", "x,", 'x; "', "x;\u00a0"],
    ids=["start", "blank", "quote", "tab", "tab2", "cr", "lf", "semicolon", "bar", "comma", "mixed", "nbsp"],
)
def test_formula_gets_an_apostrophe(before):
    formulas = [f"{sign}1+1" for sign in ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")]

    assert [escape_formula(before + formula) for formula in formulas] == [f"{before}'{formula}" for formula in formulas]


@pytest.mark.parametrize(
    "value",
    ["", "a=b", "a - b", "x@example.com", "1;2", "O'Brien", "; a"],
    ids=["empty", "word", "minus", "email", "numbers", "name", "list"],
)
def test_plain_text_is_not_changed(value):
    assert escape_formula(value) == value


@given(text(alphabet="=+-@\uff1d;,|\t\r\n \"'ax"))
def test_unescaping_restores_the_text(value):
    assert unescape_formula(escape_formula(value)) == value


@pytest.mark.parametrize(
    "value",
    ["\n" * 200_000, ";'" * 100_000, "'" * 200_000, ' "' * 100_000],
    ids=["lines", "separators", "apostrophes", "quotes"],
)
def test_escaping_takes_linear_time(value):
    started = time.process_time()

    escape_formula(value + "x")

    assert time.process_time() - started < 2  # a quadratic pattern takes minutes
