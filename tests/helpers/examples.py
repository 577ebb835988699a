"""The modules of examples/, as hosts import them."""

import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def load_example(name):
    """Import a module of examples/ afresh, so that it reads the settings of the test."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_block(page, text):
    """Return the Python block of a page of docs/ that has this text."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M | re.DOTALL)
    (block,) = [block for block in blocks if text in block]
    return block
