"""Checks of the rules in CONTRIBUTING.md for names, texts, and the lengths of functions and modules.

The exceptions are files that do not follow a rule yet. Remove a file from the list when it does.
"""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("analytics_api", "tests", "benchmarks", "faults")

PARTICIPLES = {"asked", "found", "given", "held", "kept", "made", "seen", "sent", "told"}
# Words that are not standard English or have a standard synonym. Instead of the first five, write: counter, rejected,
# again, fix, generated.
REPLACED_WORDS = ("rollup", "refused", "anew", "mend", "made-up", "told", "whatever they")
OLD_WORDS = {
    "analytics_api/database/postgresql/upgrade.py",  # names of older versions
    "analytics_api/database/sqlite/schema.py",
    "analytics_api/imports/sqlite_file.py",
}
DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

MAX_FUNCTION_LINES = 30
MAX_MODULE_LINES = 400
MAX_TEST_NAME = 60

LONG_FUNCTIONS = {
    "analytics_api/database/postgresql/__init__.py",  # the retry loop of a transaction
    "analytics_api/maintenance/demo.py",  # lists of generated columns
    "analytics_api/openapi.py",  # a nested dictionary literal
}


@cache
def read_modules(folder):
    """Return the syntax tree of each module by its path."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def read_nodes(tree):
    return list(ast.walk(tree))


def read_names(tree):
    """Yield the names that a module defines: functions, classes, arguments, variables and attributes."""
    for node in read_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def read_functions(tree):
    return [node for node in read_nodes(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def count_lines(function):
    """Return the number of lines of a function's body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def find_offenders(modules, find, exceptions=frozenset()):
    """Return the non-empty results of `find` by module, without the exceptions."""
    offenders = {path: find(tree) for path, tree in modules.items() if path not in exceptions}
    return {path: names for path, names in offenders.items() if names}


def test_participles_are_not_names():
    def find(tree):
        return {name for name in read_names(tree) if name.strip("_").lower() in PARTICIPLES}

    assert [find_offenders(read_modules(folder), find) for folder in FOLDERS] == [{}] * len(FOLDERS)


def test_functions_are_short():
    def find(tree):
        return [function.name for function in read_functions(tree) if count_lines(function) > MAX_FUNCTION_LINES]

    assert find_offenders(read_modules("analytics_api"), find, LONG_FUNCTIONS) == {}


def test_modules_are_short():
    lines = {
        path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in read_modules("analytics_api")
    }

    assert {path for path, count in lines.items() if count > MAX_MODULE_LINES} == set()


def test_names_of_tests_begin_with_their_subject():
    def find(tree):
        names = [function.name for function in read_functions(tree) if function.name.startswith("test_")]
        articles = ("test_a_", "test_an_", "test_the_", "test_what_", "test_who")
        return [name for name in names if len(name) > MAX_TEST_NAME or not name.isascii() or name.startswith(articles)]

    assert find_offenders(read_modules("tests"), find) == {}


def test_texts_use_the_words_of_the_documentation():
    def find(path):
        text = (ROOT / path).read_text(encoding="utf-8").lower()
        return {word for word in REPLACED_WORDS if re.search(rf"\b{word}", text)}

    offenders = {path: find(path) for path in read_modules("analytics_api") if path not in OLD_WORDS}
    assert {path: words for path, words in offenders.items() if words} == {}


def test_docstrings_do_not_begin_with_a_question_word():
    def find(tree):
        nodes = [node for node in read_nodes(tree) if isinstance(node, DOCUMENTED)]
        docstrings = [ast.get_docstring(node) or "" for node in nodes]
        return [text.splitlines()[0] for text in docstrings if re.match(r"(What|Who|Whose|Which|How|Of)\b", text)]

    assert [find_offenders(read_modules(folder), find) for folder in FOLDERS] == [{}] * len(FOLDERS)


def test_exceptions_exist():
    assert read_modules("analytics_api").keys() >= LONG_FUNCTIONS
