"""Send the script a.js, minified: without comments and spaces, and with short names."""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from pathlib import Path
from string import ascii_letters
from typing import TYPE_CHECKING, Final

from ..http.environ import HAS_POLICY
from ..http.static_files import File, make_file, send_file

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEADERS: Final = (
    ("Content-Type", "text/javascript; charset=utf-8"),
    ("Cache-Control", "public, max-age=86400"),
    # Pages of other origins load the script, and may use the attributes `crossorigin` and `integrity`.
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("X-Content-Type-Options", "nosniff"),
)

# The spaces around these operators are removed everywhere. So no string and no regular expression in the script may
# contain one of these texts.
OPERATORS: Final = (
    *(" => ", " ||= ", " += ", " == ", " != ", " = ", " || ", " && ", " ? ", " : ", " + ", " * ", " / ", " > ", " < "),
    *(" === ", " ** ", " | ", " - ", " &&", " (", " {", ") ", "} ", "{ ", " }", ", ", ": ", "; "),
)

DECLARED: Final = re.compile(r"\bconst (\w+) (?:=|of)|\blet ([^;]+);|\(([\w, ]+)\) =>")


def minify(source: str) -> str:
    """Return a shorter script that does the same as `source`.

    This works only for scripts that follow these rules: Comments are on separate lines. Statements end in semicolons. A
    colon directly after a name means that the name is a property. A name that the script declares is not a word of a
    string or a regular expression, and not a shorthand property such as `{name}`. A declaration that begins with
    `const` is either one line that ends in a semicolon, or several lines that end with the line `};`. Declarations
    become `let`, and adjacent ones are joined.
    """
    text = re.sub(r"^\s*(//.*)?\n?", "", source, flags=re.MULTILINE)
    declared = {
        part.split()[0]
        for match in DECLARED.finditer(text)
        for group in match.groups()
        if group
        for part in group.split(", ")
    }
    free = (name for name in _names() if not re.search(rf"\b{name}\b", text))
    for name in sorted(declared, key=lambda name: (-len(re.findall(rf"\b{name}\b", text)), name)):
        if len(name) > 2:
            text = re.sub(rf"(?:(?<=\.\.\.)|(?<![.\w\"-])){name}(?![\w\"-]|:)", next(free), text)
    text = re.sub(r"^(const .*|\});$(?=\nconst )", r"\1,", text, flags=re.MULTILINE).replace(",\nconst ", ",")
    for operator in OPERATORS:
        text = text.replace(operator, operator.strip())
    text = text.replace("\n", "").replace(";}", "}").replace("const ", "let ")
    return re.sub(r"(?<!async)\((\w+)\)=>", r"\1=>", text)


def _names() -> list[str]:
    """Return all names of one letter, then all names of two letters."""
    return [*ascii_letters, *map("".join, product(ascii_letters, repeat=2))]


@cache
def read_script() -> File:
    source = Path(__file__).with_name("a.js").read_text(encoding="utf-8")
    return make_file(minify(source).encode("ascii"), HEADERS)


def send_script(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    environ[HAS_POLICY] = True
    return send_file(environ, start_response, read_script())
