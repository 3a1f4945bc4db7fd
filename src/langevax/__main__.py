"""The command `langevax`, also as `python -m langevax`."""

import sys


def main() -> None:
    """Run the command line; print what to install where a package is missing, and no traceback on Ctrl-C."""
    try:
        from langevax.imports import needs

        with needs("cli", "The command langevax"):
            from langevax.app import main

            main.main()
    except ImportError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
