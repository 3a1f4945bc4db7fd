"""Errors that the user can correct, and the exit codes of commands.

0 success; 1 the run failed; 2 wrong usage or bad input; 130 interrupted, 143 by SIGTERM, 129 by SIGHUP.
"""

import difflib
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType

import typer

SPACES = dict.fromkeys(
    map(ord, "\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000"), " "
)


MOST_NAMED = 6  # words in a sentence


class ExitCode(IntEnum):
    """The exit codes of commands; where a signal ended it, 128 and its number."""

    FAILED = 1
    BAD_INPUT = 2
    INTERRUPTED = 130


class BadInput(ValueError):
    """A mistake in the input; the message names the argument, the value and the remedy."""


class RunFailed(RuntimeError):
    """The run started and failed; the message says what happened and what to try."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end a command as Ctrl-C does: what it had saved stays, and its subprocesses end."""

    grace = 10.0
    """Seconds that a command may take to end."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


@contextmanager
def _terminations() -> Iterator[None]:
    """Raise `TerminatedError` at SIGTERM and SIGHUP, if they are not ignored or handled.

    Further ones are ignored for `TerminatedError.grace` seconds, in which the command ends. Then another one raises
    again: Python drops an exception that is raised while a garbage collection runs, and nothing else would end the
    command.
    """
    raised: list[float] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        if not raised or time.monotonic() - raised[-1] > TerminatedError.grace:
            raised.append(time.monotonic())
            raise TerminatedError(number)

    handled: list[int] = []
    if threading.current_thread() is threading.main_thread():
        numbers = [
            getattr(signal, name)
            for name in ("SIGTERM", "SIGHUP")
            if hasattr(signal, name)
        ]
        handled += [
            number for number in numbers if signal.getsignal(number) == signal.SIG_DFL
        ]
    for number in handled:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Report errors that the user can act on in one line on stderr with an exit code; others are bugs and propagate."""
    try:
        with _terminations():
            yield
    except BadInput as error:
        _exit(f"Error: {error}", ExitCode.BAD_INPUT, error)
    except RunFailed as error:
        _exit(f"Failed: {error}", ExitCode.FAILED, error)
    except (MemoryError, RuntimeError) as error:
        # XLA's word for it
        if "RESOURCE_EXHAUSTED" not in str(error) and not isinstance(
            error, MemoryError
        ):
            raise
        remedy = "try fewer particles (--num-particles) or fewer columns (--drop)"
        _exit(f"Failed: out of memory; {remedy}.", ExitCode.FAILED, error)
    except TerminatedError as error:
        _exit(
            f"Terminated by {signal.Signals(error.number).name}. {error}".rstrip(),
            128 + error.number,
            error,
        )
    except KeyboardInterrupt as error:
        _exit(f"Interrupted. {error}".rstrip(), ExitCode.INTERRUPTED, error)


def _exit(message: str, code: int, cause: BaseException) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code) from cause


def quoted(word: object) -> str:
    """Return a word in quotation marks, with plain spaces for others, which would be escaped.

    Example:
        >>> quoted("3\u202f357,7")
        "'3 357,7'"
    """
    return repr(str(word).translate(SPACES))


def enumerated(words: Iterable[str], most: int = MOST_NAMED) -> str:
    """Return words for a sentence.

    Example:
        >>> enumerated("abc"), enumerated("abc", most=2)
        ('a, b and c', 'a, b and 1 more')
    """
    words = list(words)
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most:,} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def listing(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """Return names in quotation marks for a sentence: 'a', 'b' and 3 more."""
    return enumerated(map(quoted, names), most)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint: the nearest of `names`, or a list of them."""
    names = list(names)
    lowered = {other.lower(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    return (
        f"did you mean {lowered[close[0]]!r}?" if close else f"it has {listing(names)}."
    )


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with a noun: 1 row, 1,000 rows.

    Example:
        >>> count(1, "row"), count(1000, "row"), count(2, "class", "classes")
        ('1 row', '1,000 rows', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
