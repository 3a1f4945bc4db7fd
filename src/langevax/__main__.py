"""The command `langevax`, also as `python -m langevax`."""

import sys

from langevax import checks


def main() -> None:
    """Run the command line; print what to install where a package is missing."""
    try:
        with checks.needs("cli", "The command langevax"):
            from langevax import cli

            cli.main()
    except ImportError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
