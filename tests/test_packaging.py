"""The contents of the built distributions, and the package in an environment without the extras."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from helpers.cli import clean_environment

ROOT = Path(__file__).parents[1]

pytest.importorskip("setuptools", minversion="70.1", reason="the first that builds wheels by itself")


def build(kind, folder):
    """Build a copy of the sources offline, and return the path of the distribution."""
    sources = folder / "sources"
    sources.mkdir()
    junk = shutil.ignore_patterns("__pycache__", ".hypothesis", ".*_cache")
    for name in ("analytics_api", "tests", "docs", "benchmarks", "examples"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=junk)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.endswith((".db", "-wal", "-shm", ".coverage")) and path.name != ".env":
            shutil.copy(path, sources)
    return run_build(kind, sources)


def run_build(kind, sources):
    """Build the project in a folder, and return the path of the distribution."""
    built = subprocess.run(
        [sys.executable, "-c", f"from setuptools import build_meta; print(build_meta.build_{kind}('.'))"],
        cwd=sources,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return sources / built.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def unzip(wheel):
    """Return the files of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def files(wheel):
    return unzip(wheel)


@pytest.fixture(scope="module")
def metadata(files):
    (name,) = [name for name in files if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(files[name])


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """Return the Python of a new environment with the wheel, Werkzeug and its dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    (python,) = folder.glob("bin/python")
    (packages,) = folder.glob("lib/*/site-packages")
    for name in ("werkzeug", "markupsafe"):
        for file in importlib.metadata.distribution(name).files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), packages / file)
    shutil.unpack_archive(wheel, packages, "zip")
    return python


def python(bare, code, **environ):
    """Run code in the environment `bare`, and return its output."""
    ended = subprocess.run(
        [bare, "-W", "error", "-c", code],
        cwd=bare.parent,
        env=clean_environment(**environ),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_wheel_contains_the_whole_package(files):
    package = ROOT / "analytics_api"
    modules = [path for path in package.rglob("*") if path.suffix in (".py", ".sql") or path.name == "py.typed"]

    assert modules
    for path in modules:
        assert files[f"analytics_api/{path.relative_to(package).as_posix()}"] == path.read_bytes()


def test_wheel_contains_the_schema_and_no_link(files):
    assert files["analytics_api/schema.sql"] == (ROOT / "schema.sql").read_bytes()


def test_wheel_contains_only_the_package_and_its_command(files):
    names = {name.split("/")[0] for name in files if ".dist-info/" not in name}

    assert names == {"analytics_api", "analytics_api_command.py"}
    (entry_points,) = [content for name, content in files.items() if name.endswith("/entry_points.txt")]
    assert entry_points == b"[console_scripts]\nanalytics-api = analytics_api_command:main\n"


def test_image_contains_the_whole_package(files, tmp_path):
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    copied = re.findall(r"(?m)^COPY ((?!--).*) (\S+)$", dockerfile)
    for names, target in copied:
        for path in map(ROOT.joinpath, names.split()):
            if path.is_dir():
                shutil.copytree(path, tmp_path / target, symlinks=True)
            else:
                shutil.copy(path, tmp_path / target)

    in_image = unzip(run_build("wheel", tmp_path))

    assert {name: in_image.get(name) for name in files if ".dist-info/" not in name} == {
        name: content for name, content in files.items() if ".dist-info/" not in name
    }


def test_wheel_contains_license_and_readme(files, metadata):
    (license,) = [content for name, content in files.items() if name.endswith("/LICENSE")]

    assert license == (ROOT / "LICENSE").read_bytes()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True).strip() == (ROOT / "README.md").read_bytes().strip()


def test_package_requires_only_werkzeug(metadata):
    required = [requirement for requirement in metadata.get_all("Requires-Dist") if "extra ==" not in requirement]

    assert [re.match("[A-Za-z0-9_-]+", requirement)[0].lower() for requirement in required] == ["werkzeug"]


def test_extras_install_what_the_readme_says(metadata):
    provided = metadata.get_all("Provides-Extra")
    extras = {
        extra
        for path in (ROOT / "analytics_api").rglob("*.py")
        for extra in re.findall(
            r"pip install '\.\[([a-z0-9]+)\]' in the source folder", path.read_text(encoding="utf-8")
        )
    }

    assert "server" in extras
    assert extras <= set(provided)


def test_nothing_is_installed_from_pypi_by_name():
    files = [*(ROOT / "analytics_api").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]

    assert [file.name for file in files if re.search("install '?analytics_api", file.read_text(encoding="utf-8"))] == []


def test_sdist_can_build_test_and_run(tmp_path):
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    needed = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "CHANGES.md", "Makefile", ".env.example"}
    needed |= {"schema.sql", "wsgi.py", "analytics_api/schema.sql", "analytics_api/py.typed"}
    assert needed | tests <= names
    assert not [name for name in names if re.search(r"\.(db|pyc)$|(^|/)\.env$", name)]


def test_package_works_with_werkzeug_alone(bare):
    answer = python(
        bare,
        "import analytics_api\n"
        "from werkzeug.test import Client\n"
        "app = analytics_api.create_app('analytics.db', api_keys=['secret'])\n"
        "print(Client(app).get('/analytics/overview', headers={'X-API-Key': 'secret'}).status)\n"
        "print(*(getattr(analytics_api, name).__name__ for name in analytics_api.__all__))\n",
    )

    assert answer.splitlines()[0] == "200 OK"


def test_wsgi_py_works_with_werkzeug_alone(bare):
    answer = python(
        bare,
        "import os\n"
        "from analytics_api.server.settings import Settings\n"
        "from werkzeug.test import Client\n"
        "print(Client(Settings.read(os.environ).application()).get('/healthz').status)\n",
        ANALYTICS_API_KEY="secret",
    )

    assert answer == "200 OK\n"


# The interrupt comes during the import of the module. click and sqlite3 are imported before click runs the command
# `openapi`, so analytics_api_command.py handles the interrupt. The command itself imports werkzeug, so cli/base.py
# handles the interrupt, and prints an empty line first.
@pytest.mark.parametrize(
    ("module", "printed"), [("click", "Aborted!\n"), ("sqlite3", "Aborted!\n"), ("werkzeug", "\nAborted!\n")]
)
def test_interrupted_start_of_the_command_fails_in_one_line(module, printed):
    program = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == '{module}': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "import analytics_api_command\n"
        "analytics_api_command.main()\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, "openapi"], cwd=ROOT, capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (130, printed)


def test_command_without_its_extra_names_it_in_one_line(bare):
    ended = subprocess.run([bare, "-m", "analytics_api", "init"], cwd=bare.parent, capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "analytics-api needs the package click; install it with: pip install '.[server]' in the source folder\n"
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "from analytics_api.server.settings import Settings\n"
            "Settings.read({'ANALYTICS_API_KEY': 'secret', 'ANALYTICS_METRICS': '1'})",
            "ANALYTICS_METRICS needs a package; install it with: pip install '.[metrics]' in the source folder",
        ),
        (
            "analytics_api.open_database('postgresql://db.example/analytics')",
            "PostgreSQL needs psycopg; install it with: pip install '.[postgresql]' in the source folder",
        ),
    ],
)
def test_feature_without_its_extra_names_it(code, message, bare):
    answer = python(
        bare,
        f"import analytics_api\ntry:\n    {code.replace(chr(10), chr(10) + '    ')}\n"
        "except analytics_api.AnalyticsError as error:\n    print(error)\n",
    )

    assert answer == f"{message}\n"
