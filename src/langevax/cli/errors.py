"""Errors that the user can correct, and the exit codes of commands.

0 success; 1 the run failed; 2 wrong usage or bad input; 130 interrupted.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class BadInput(ValueError):
    """A mistake in the input; the message names the argument, the value and the remedy."""


class RunFailed(RuntimeError):
    """The run started and failed; the message says what happened and what to try."""


@contextmanager
def exit_codes() -> Iterator[None]:
    """Report errors that the user can act on in one line on stderr with an exit code; others are bugs and propagate."""
    try:
        yield
    except BadInput as error:
        _exit(f"Error: {error}", BAD_INPUT, error)
    except RunFailed as error:
        _exit(f"Failed: {error}", FAILED, error)
    except MemoryError as error:
        _exit("Failed: out of memory; try fewer particles (--num-particles) or fewer columns (--drop).", FAILED, error)
    except KeyboardInterrupt as error:
        _exit(f"Interrupted. {error}".rstrip(), INTERRUPTED, error)


def _exit(message: str, code: int, cause: BaseException) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code) from cause


def listing(names: Iterable[str], most: int = 6) -> str:
    """Return names for a sentence: 'a', 'b' and 3 more."""
    quoted = [repr(str(name)) for name in names]
    if len(quoted) > most:
        return f"{', '.join(quoted[:most])} and {len(quoted) - most} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint: the nearest of `names`, or a list of them."""
    names = list(names)
    lowered = {other.lower(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    return f"did you mean {lowered[close[0]]!r}?" if close else f"it has {listing(names)}."


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with a noun: 1 row, 1,000 rows.

    Example:
        >>> count(1, "row"), count(1000, "row"), count(2, "class", "classes")
        ('1 row', '1,000 rows', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
