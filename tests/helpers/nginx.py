"""Run nginx with deploy/nginx.conf in front of a server."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.server import HTTPProcess, free_port, wait_for

CONF = Path(__file__).parents[2] / "deploy" / "nginx.conf"
PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NOBODY = 65534  # the user that runs nginx if root runs the tests


def configuration(port, upstream):
    """Return deploy/nginx.conf with other ports."""
    text = CONF.read_text(encoding="utf-8")
    assert (text.count(" listen 8080;"), text.count(" server 127.0.0.1:8000 ")) == (1, 1)
    return text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")


def require_nginx():
    """Skip the test if nginx is not installed, or fail it if `CI=true` is set."""
    if PROGRAM is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("nginx is needed: apt-get install nginx-light")


@contextmanager
def proxying(server, edit=lambda text: text, files=()):
    """Run nginx in front of a server within a block, as an ordinary user.

    :param edit: a function that changes the text of the configuration.
    :param files: files to copy beside the configuration, which refers to them by name alone.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="analytics-nginx-") as prefix:
        folder = Path(prefix)
        (folder / "nginx.conf").write_text(edit(configuration(port, server.address[1])), encoding="utf-8")
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if user:
            os.chown(folder, NOBODY, NOBODY)
        for file in files:
            shutil.copyfile(file, folder / file.name)
        log = folder / "stderr"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [PROGRAM, "-p", prefix, "-e", "stderr", "-c", str(folder / "nginx.conf")], stderr=errors, **user
            )
        nginx = HTTPProcess(process, ("127.0.0.1", port), log)
        try:
            wait_for(lambda: process.poll() is not None or nginx.listens())
            assert process.poll() is None, log.read_text()
            yield nginx
        finally:
            process.terminate()
            process.wait(10)
