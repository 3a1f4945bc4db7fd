"""Progress bar of a run: steps or solves, rate, time left, and one number that shows how it goes."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from langevax.run.options import ProgressOption

BAR_DELAY = 1.0  # seconds; a shorter run shows nothing
HEADLINE_SHARE = 0.05  # of the run's time that computing the number may take


def is_shown(progress: ProgressOption) -> bool:
    """Return whether there is a bar: "auto" shows it on a terminal."""
    return sys.stderr.isatty() if progress == "auto" else bool(progress)


class Progress:
    """A bar on stderr, or calls of the function that `shown` is; `headline` computes the number."""

    def __init__(
        self,
        name: str,
        total: int,
        done: int,
        shown: ProgressOption,
        headline: Callable[[Any], tuple[str, float]] | None,
        unit: str = "step",
    ):
        self.headline = headline
        self.spent: float = 0.0
        self.started: float = time.perf_counter()
        self.number = ""
        self.report: Callable[[int], None] | None = None
        self.bar: Any = None
        if callable(shown):
            self.report = lambda done: shown(
                f"{name} {self.number}".strip(), done / total
            )
        elif is_shown(shown):
            from tqdm.auto import tqdm

            self.bar = tqdm(
                desc=name,
                total=total,
                initial=done,
                unit=unit,
                delay=BAR_DELAY,
                miniters=1,
                dynamic_ncols=True,
            )
            self.report = self._move_bar

    def update(self, done: int, carry: Any) -> None:
        """Move to `done`; compute the number again while that stays cheap."""
        if self.report is None:
            return
        now = time.perf_counter()
        age = now - self.started
        if (
            self.headline is not None
            and age >= BAR_DELAY
            and self.spent <= HEADLINE_SHARE * age
        ):
            label, number = self.headline(carry)
            self.spent += time.perf_counter() - now
            self.number = f"{label} {number:.4g}"
        self.report(done)

    def _move_bar(self, done: int) -> None:
        self.bar.set_postfix_str(self.number, refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """Leave the line as it is."""
        if self.bar is not None:
            self.bar.close()


@contextmanager
def report_to(progress: ProgressOption) -> Iterator[Callable[[str, float], None]]:
    """Yield a function of (words, share done): a bar on stderr with the time left, or the one that was passed."""
    if callable(progress):
        yield progress
        return
    if not is_shown(progress):
        yield lambda words, share: None
        return
    from tqdm.auto import tqdm

    layout = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
    with tqdm(
        total=1.0, bar_format=layout, delay=BAR_DELAY, dynamic_ncols=True, leave=False
    ) as bar:

        def report(words: str, share: float) -> None:
            bar.set_description_str(words, refresh=False)
            bar.update(share - bar.n)

        yield report
