"""How long the studies that are left will take, and the line on the terminal that says so."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from langevax.cli.output import Output


def time_left(
    known: Mapping[str, float],
    ended: Mapping[str, float],
    running: Mapping[str, float],
    waiting: list[str],
    jobs: int = 1,
    pace: float | None = None,
) -> float | None:
    """Seconds until all have ended, or None where nothing is known yet.

    `known` are the seconds each takes elsewhere; `ended` and `running` the seconds here, so that their ratio over what
    has ended is the pace of this machine. `pace` is believed until something has ended. A study that is not known
    takes as long as the mean of those that are.

    Example:
        >>> time_left({"a": 10, "b": 20}, ended={"a": 20}, running={"b": 10}, waiting=["c"])
        60.0
    """
    usual = sum(known.values()) / len(known) if known else 1.0
    if ended:
        pace = sum(ended.values()) / sum(known.get(name, usual) for name in ended)
    if pace is None:
        return None
    rest = [max(0.0, pace * known.get(name, usual) - seconds) for name, seconds in running.items()]
    rest += [pace * known.get(name, usual) for name in waiting]
    return max(sum(rest) / jobs, max(rest, default=0.0))


def roughly(seconds: float) -> str:
    """Seconds as one would say them.

    Example:
        >>> roughly(42), roughly(100), roughly(7300)
        ('40 s', '2 min', '2 h')
    """
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"


class Bar:
    """Studies done and left, those at work, and the time left: a line on stderr, where somebody can see it."""

    def __init__(self, output: Output, total: int):
        self.bar = None
        if output.stderr.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = TextColumn("Studies"), BarColumn(20), TextColumn("{task.completed:.0f}/{task.total:.0f}")
            self.bar = Progress(
                *columns, TextColumn("{task.description}"), console=output.stderr, transient=True, auto_refresh=False
            )
            self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> "Bar":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, done: int, running: list[str], left: float | None) -> None:
        """How it stands."""
        if self.bar is not None:
            now = ", ".join(running) + ("" if left is None else f", about {roughly(left)} left")
            self.bar.update(self.task, completed=done, description=now, refresh=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the line away while a sentence is said."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
