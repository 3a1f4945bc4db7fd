"""Progress bar of a run: steps or solves, rate, time left, and one number that shows how it goes."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from langevax import checks

BAR_DELAY = 1.0  # seconds; a shorter run shows nothing
ProgressOption = bool | Literal["auto"] | Callable[[str, float], None]
HEADLINE_SHARE = 0.05  # of the run's time that computing the number may take


class Progress:
    """A line on stderr; `shown="auto"` shows it on a terminal, `headline` computes the number."""

    def __init__(
        self,
        name: str,
        total: int,
        done: int,
        shown: bool | Literal["auto"],
        headline: Callable[[Any], tuple[str, float]] | None,
        unit: str = "step",
    ):
        self.headline = headline
        self.spent: float = 0.0
        self.started: float = time.perf_counter()
        self.bar: Any = None
        if sys.stderr.isatty() if shown == "auto" else shown:
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

    def update(self, done: int, carry: Any) -> None:
        """Move to `done`; compute the number again while that stays cheap."""
        if self.bar is None:
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
            self.bar.set_postfix_str(f"{label} {number:.4g}", refresh=False)
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
    if not isinstance(progress, bool) and not checks.is_auto(progress):
        raise TypeError(
            f"progress must be True, False, 'auto' or a function of (words, share), got {checks.shown(progress)}."
        )
    if not (sys.stderr.isatty() if progress == "auto" else progress):
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
