"""`python -m langevax.cli` is the command `langevax`."""

from langevax.cli import main

if __name__ == "__main__":
    main()
