"""Make a folder read-only temporarily, even for root."""

import os
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def read_only(folder):
    """Prevent writes to a folder within a block: by its permissions, or for root by a read-only bind mount."""
    if os.geteuid() != 0:
        os.chmod(folder, 0o555)
        try:
            yield folder
        finally:
            os.chmod(folder, 0o755)
        return
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
        pytest.skip("needs to mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
