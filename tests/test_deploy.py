"""Checks of the files in deploy/ that need neither Docker nor systemd."""

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from helpers.cli import COMMAND

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
LOCK = (DEPLOY / "requirements.txt").read_text()


def required():
    """Return the names of the packages that the image needs, from the extras in setup.cfg."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = [setup["options.extras_require"][extra] for extra in ("server", "metrics", "postgresql", "geoip")]
    lines = "\n".join([setup["options"]["install_requires"], *extras]).split()
    return {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower() for line in lines}


def test_lock_file_has_every_dependency_with_hashes():
    locked = re.findall(r"(?m)^([a-z0-9-]+)==\S+ \\\s+--hash=sha256:[0-9a-f]{64}", LOCK)

    assert required() - set(locked) == set()
    assert len(locked) == LOCK.count("==")


def test_lock_file_is_what_the_dockerfile_installs():
    dockerfile = (DEPLOY / "Dockerfile").read_text()

    assert "COPY deploy/requirements.txt ." in dockerfile
    assert "--require-hashes -r requirements.txt" in dockerfile


@pytest.mark.slow
@pytest.mark.parametrize("name", ["analytics-api.service", "analytics-nginx.service"])
def test_unit_is_valid(name, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is needed")
    unit = (DEPLOY / name).read_text()
    programs = {"/opt/analytics-api/bin/analytics-api": str(COMMAND), "/usr/sbin/nginx": sys.executable}
    for program, here in programs.items():
        unit = unit.replace(f"ExecStart={program}", f"ExecStart={here}")
    (tmp_path / name).write_text(unit)

    verified = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / name],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        timeout=60,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_unit_reloads_and_leaves_invalid_settings_stopped():
    unit = (DEPLOY / "analytics-api.service").read_text()

    assert "\nExecReload=/bin/sh -c 'kill -HUP $MAINPID'\n" in unit
    assert re.search(r"(?m)^RestartPreventExitStatus=(.*)$", unit)[1].split() == ["2", str(os.EX_CONFIG)]
    assert re.search(r"(?m)^MemoryMax=\d+G$", unit)
    assert re.search(r"(?m)^TasksMax=\d+$", unit)


def test_unit_lets_the_group_share_the_files_of_the_database():
    unit = (DEPLOY / "analytics-api.service").read_text()

    assert "\nStateDirectoryMode=2770\n" in unit
    assert "\nUMask=0007\n" in unit


def test_images_are_of_one_version():
    dockerfile = re.findall(r"(?m)^FROM (\S+)", (DEPLOY / "Dockerfile").read_text())
    compose = re.findall(r"(?m)^ +image: (\S+)", (DEPLOY / "compose.yaml").read_text())

    for image in dockerfile + compose:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z-]+", image)


def test_compose_passes_every_setting():
    source = (ROOT / "analytics_api" / "server" / "settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"((?:ANALYTICS|AWS|CLOUDFLARE)_[A-Z_]*[A-Z])"', source))

    passed = re.findall(r"(?m)^      ([A-Z_]+): \$\{\1:", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))

    assert names - set(passed) == {"ANALYTICS_API_KEY_FILE", "ANALYTICS_TRUSTED_PROXIES"}


def test_compose_replaces_the_address_of_the_api():
    assert "sed s/127.0.0.1:8000/app:8000/ " in (DEPLOY / "compose.yaml").read_text()
    assert (DEPLOY / "nginx.conf").read_text().count("\n        server 127.0.0.1:8000 ") == 1
