"""Print the lowest supported version of each dependency in setup.cfg, as constraints for pip.

With `--installed`, print the dependencies whose installed version differs, and fail if there are any.
"""

import re
import sys
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path


def lowest():
    """Return the lowest version of each package that the code imports, by name."""
    setup = ConfigParser()
    setup.read_string((Path(__file__).parents[1] / "setup.cfg").read_text(encoding="utf-8"))
    extras = setup["options.extras_require"]
    lines = [setup["options"]["install_requires"], *(extras[name] for name in ("server", "postgresql", "metrics"))]
    required = [line for line in "\n".join(lines).splitlines() if line]
    named = [re.fullmatch(r"([a-z-]+)(\[[a-z]+\])?>=([0-9.]+)(,<[0-9.]+)?", line) for line in required]
    assert all(named), required
    return {match[1]: match[3] for match in named}


def release(text):
    """Return a version without zeros at its end, because 3.0 and 3.0.0 are the same version."""
    return re.sub(r"(\.0)*$", "", text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--installed"]:
        others = [
            f"{name} {version(name)} is installed, not {named}"
            for name, named in lowest().items()
            if release(version(name)) != release(named)
        ]
        sys.exit("\n".join(others) or 0)
    print(*(f"{name}=={named}" for name, named in lowest().items()), sep="\n")
