"""What the user can mend, and how each way of ending becomes an exit code.

0 done; 1 the run failed; 2 bad usage or bad input; 130 interrupted.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class BadInput(ValueError):
    """A mistake in what was handed over: the message names the argument, the value and the remedy."""


class RunFailed(RuntimeError):
    """The run began and could not be finished; the message says what happened and what to try."""


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the errors a user can act on into one line on stderr and an exit code; anything else is a bug and shows."""
    try:
        yield
    except BadInput as error:
        _leave(f"Error: {error}", BAD_INPUT, error)
    except RunFailed as error:
        _leave(f"Failed: {error}", FAILED, error)
    except MemoryError as error:
        _leave("Failed: out of memory; try fewer particles (--num-particles) or fewer columns (--drop).", FAILED, error)
    except KeyboardInterrupt as error:
        _leave(f"Interrupted. {error}".rstrip(), INTERRUPTED, error)


def _leave(message: str, code: int, cause: BaseException) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code) from cause


def listing(names: Iterable[str], most: int = 6) -> str:
    """Names in a sentence: 'a', 'b' and 3 more."""
    quoted = [repr(str(name)) for name in names]
    if len(quoted) > most:
        return f"{', '.join(quoted[:most])} and {len(quoted) - most} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def nearest(name: str, names: Iterable[str]) -> str:
    """Did you mean: the nearest of `names`, or a list of them."""
    names = list(names)
    lowered = {other.lower(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    return f"did you mean {lowered[close[0]]!r}?" if close else f"it has {listing(names)}."


def count(number: int, noun: str, plural: str = "") -> str:
    """Count with a noun: 1 row, 1,000 rows.

    Example:
        >>> count(1, "row"), count(1000, "row"), count(2, "class", "classes")
        ('1 row', '1,000 rows', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
