"""Load the modules of examples/ and the code blocks of docs/."""

import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def load_example(name):
    """Import a module of examples/ again, so that it reads the settings of the test."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_block(page, text):
    """Return the Python code block that contains this text, from a page of docs/."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M | re.DOTALL)
    (block,) = [block for block in blocks if text in block]
    return block
