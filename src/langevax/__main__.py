"""The command `langevax`, also as `python -m langevax`."""

import sys

from langevax.renamed import former_option


def main() -> None:
    """Run the command line; print what to install where a package is missing, and no traceback on Ctrl-C."""
    if (refusal := former_option(sys.argv[1:])) is not None:
        print(f"Error: {refusal}", file=sys.stderr)
        sys.exit(2)
    try:
        from langevax import checks

        with checks.needs("cli", "The command langevax"):
            from langevax.app import main

            main.main()
    except ImportError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
