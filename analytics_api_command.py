"""The entry point of the command `analytics-api`.

This module is outside the package, because importing the package takes most of the time until a command starts. An
interrupt (Ctrl-C) during this time prints one line, not a traceback.
"""

import sys


def main() -> None:
    try:
        from analytics_api.cli import main as command

        command()
    except KeyboardInterrupt:
        print("Aborted!", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT, as in a shell
    except ModuleNotFoundError as error:
        sys.exit(
            f"analytics-api needs the package {error.name}; "
            "install it with: pip install '.[server]' in the source folder"
        )
