import ast
import re
import subprocess
import sys
from pathlib import Path

import analytics_api

PACKAGE = Path(analytics_api.__file__).parent

# The layers of the package. A module may import modules of its own layer and of earlier layers only.
LAYERS = (
    ("errors", "values"),
    ("http", "database", "storage"),
    ("keys",),
    ("browser_sessions", "context"),
    ("statistics.session_filters",),
    ("statistics.stored_keys",),
    ("statistics.ranges",),
    ("statistics.filter_conditions", "statistics.periods"),
    ("statistics.filtered_events", "statistics.matching"),
    ("statistics.filtered_columns",),
    ("statistics.filtered_sessions",),
    ("statistics.earlier_range", "statistics.filtered_sections", "statistics.top_keys"),
    ("endpoints",),
    ("routes",),
    ("calls", "examples", "openapi", "openapi_session"),
    ("imports",),
    ("maintenance",),
    ("middleware",),
    ("app",),
    ("dashboard",),
    ("collector",),
    ("server",),
    ("cli",),
    ("__main__",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path):
    """Return the module's name without the package: `endpoints.leads`, `storage`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path):
    """Yield the modules of the package that a module imports, at any place in its code."""
    folder = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            for alias in node.names:
                below = PACKAGE.joinpath(*base, alias.name)
                module = [*base, alias.name] if below.is_dir() or below.with_suffix(".py").exists() else base
                yield ".".join(module)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "analytics_api":
            yield (node.module or "").partition(".")[2]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "analytics_api":
                    yield alias.name.partition(".")[2]


def test_imports_follow_the_layers():
    def layer_of(name):
        parts = name.split(".")
        return LAYER.get(parts[0], LAYER.get(".".join(parts[:2]), len(LAYERS)))

    assert {name_of(path).split(".")[0] for path in MODULES} == {name.split(".")[0] for name in LAYER}
    assert [
        (name_of(path), name) for path in MODULES for name in imports(path) if layer_of(name) > layer_of(name_of(path))
    ] == []


def test_contributing_has_every_module():
    table = Path(__file__).parents[1].joinpath("CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = {path.relative_to(PACKAGE).parts[0] for path in MODULES}

    names = [f"`{name}`" if name.endswith(".py") else f"`{name}/`" for name in sorted(modules)]
    assert [name for name in names if name not in table] == []


def test_contributing_names_existing_files():
    """A file can be named by the end of its path. A constant is named as `NAME` in `FILE`."""
    root = PACKAGE.parent
    text = root.joinpath("CONTRIBUTING.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w/]+\.(?:html|js|md|py|sql))`", text))
    constants = re.findall(r"`([A-Z_]+)` in `([\w/]+\.\w+)`", text)
    files = {name: [*root.glob(name), *PACKAGE.rglob(name)] for name in names}

    assert [name for name in sorted(names) if not files[name]] == []
    assert [
        constant for constant, name in constants if constant not in files[name][0].read_text(encoding="utf-8")
    ] == []


COMBINED = "dashboard"  # the only resource that consists of others


def test_endpoints_do_not_import_each_other():
    """The modules of a resource that is a package may import each other."""

    def resource_of(name):
        return name.split(".")[1:2]

    endpoints = [path for path in MODULES if PACKAGE / "endpoints" in path.parents]
    assert [
        (name_of(path), name)
        for path in endpoints
        for name in imports(path)
        if name.startswith("endpoints") and resource_of(name) != resource_of(name_of(path)) != [COMBINED]
    ] == []


ALONE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {"werkzeug", "markupsafe", "analytics_api"}:
            raise ModuleNotFoundError(f"{name} is not a dependency of the core")

sys.meta_path.insert(0, Nothing())

from werkzeug.test import Client

from analytics_api import create_app

response = Client(create_app(sys.argv[1], api_keys=["a key"])).get("/analytics/geo", headers={"X-API-Key": "a key"})
print(response.status_code, response.json)
"""


def test_application_needs_only_werkzeug(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", ALONE, tmp_path / "analytics.db"], capture_output=True, text=True, timeout=60
    )

    assert (run.stderr, run.stdout) == ("", "200 []\n")


def test_public_names_are_complete():
    public = {name for name in dir(analytics_api) if name[0] != "_" and callable(getattr(analytics_api, name))}

    assert public == set(analytics_api.__all__)
