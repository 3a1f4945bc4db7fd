"""All studies, one after the other or some at a time."""

import shlex
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langevax.cli.errors import RunFailed, count, listing
from langevax.cli.output import Output, plain
from langevax.cli.studying.child import Child, Outcome
from langevax.cli.studying.folder import kept
from langevax.cli.studying.pace import Bar, time_left

GLANCE = 0.1  # seconds between two looks at the processes


def run_all(
    output: Output, names: Iterable[str], out: Path, asked: dict[str, Any], jobs: int, resume: bool, again: list[str]
) -> None:
    """Measure the studies into folders of `out`, tell each as it ends, and all at the end.

    `again` are the words of the command that goes on. Raises RunFailed where a study was not measured, and
    KeyboardInterrupt with a sentence on how to go on; both after the summary.
    """
    names = list(names)
    outcomes: dict[str, Outcome] = {}
    width = max(len(name) for name in names)

    def tell(name: str) -> None:
        outcome = outcomes[name]
        output.say("", f"{name:<{width}}  {outcome.word:<7}  {outcome.time}")
        if outcome.error:
            output.say("", f"  {outcome.error}")

    if resume:
        outcomes = {name: Outcome(found) for name in names if (found := kept(out / name, asked)) is not None}
        for name in outcomes:
            tell(name)
    interrupted = False
    try:
        with _ended_like_ctrl_c():
            _measure(output, [name for name in names if name not in outcomes], out, asked, jobs, outcomes, tell)
    except KeyboardInterrupt:
        interrupted = True
    crashed = [name for name in names if name in outcomes and outcomes[name].found is None]
    _summary(output, {name: outcomes[name] for name in names if name in outcomes}, out, asked, interrupted)
    command = f"`{shlex.join([*again, '--resume'])}`"
    if interrupted:
        done = f"{len(outcomes) - len(crashed)} of {count(len(names), 'study', 'studies')}"
        raise KeyboardInterrupt(f"{done} measured and kept in {str(out)!r}; go on with {command}.")
    if crashed:
        raise RunFailed(
            f"{count(len(crashed), 'study was', 'studies were')} not measured: {listing(crashed, len(crashed))}. "
            f"Their words are in log.txt in their folders in {str(out)!r}; try them again with {command}."
        )


def _measure(
    output: Output,
    waiting: list[str],
    out: Path,
    asked: dict[str, Any],
    jobs: int,
    outcomes: dict[str, Outcome],
    tell: Any,
) -> None:
    """Start, wait, tell; whatever ends this ends the processes."""
    from langevax.studies import QUICK_SECONDS

    running: list[Child] = []
    ended: dict[str, float] = {}
    pace = 1.0 if asked["size"] == "small" else None
    with Bar(output, len(waiting) + len(outcomes)) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(Child(waiting[0], out / waiting[0], asked))
                    del waiting[0]
                at_work = {child.name: child.seconds for child in running}
                bar.show(len(outcomes), list(at_work), time_left(QUICK_SECONDS, ended, at_work, waiting, jobs, pace))
                time.sleep(GLANCE)
                for child in [child for child in running if child.ended]:
                    outcome = outcomes[child.name] = child.outcome()
                    running.remove(child)
                    if outcome.found is not None:
                        ended[child.name] = child.seconds
                    with bar.aside():
                        tell(child.name)
        finally:
            for child in running:
                child.stop()


def _summary(output: Output, outcomes: dict[str, Outcome], out: Path, asked: dict[str, Any], interrupted: bool) -> None:
    output.blank()
    if outcomes:
        rows = [(name, outcome.word, outcome.time) for name, outcome in outcomes.items()]
        output.table(("study", "claim", "time"), rows)
        output.blank()
    studies = {}
    for name, outcome in outcomes.items():
        told = {"outcome": outcome.word, "kept": outcome.found is not None and outcome.seconds is None}
        told |= {"seconds": outcome.seconds, "folder": str(out / name), "error": outcome.error or None}
        studies[name] = told | {"result": outcome.found}
    output.result(plain({"folder": str(out), "request": asked, "interrupted": interrupted, "studies": studies}))


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A polite end from outside (`timeout`, a scheduler) keeps and tells as much as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
