"""Command ``cacapp-bioio setup FORMAT ...``: makes the environment that the reader asks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cacapp.exceptions import CacappError, UsageError
from cacapp_bioio.environment import FOLDER_VARIABLE, FORMATS, folder, formats, setup


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 where the environment cannot be made, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="cacapp-bioio", description="Lets cacapp read the makers' formats with bioio.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("setup", help="make bioio's environment, or add formats to it")
    making.add_argument("formats", nargs="+", metavar="FORMAT", help=", ".join(FORMATS))
    making.add_argument("--python", default=sys.executable, metavar="FILE", help="Python to make it from; this one by default")
    commands.add_parser("show", help="print the environment's folder and formats")
    given = parser.parse_args(arguments)
    try:
        if given.command == "setup":
            setup(given.formats, given.python)
    except CacappError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    print(
        f"{folder()}: {', '.join(formats()) or 'no formats; run cacapp-bioio setup czi, for one'} ({FOLDER_VARIABLE} names another folder)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
