"""One progress line: what, bar, done/total, rate, time left, and the one number that tells how it goes."""

import sys
import time
from collections.abc import Callable
from typing import Any

DELAY = 1.0  # a run shorter than this shows nothing
HEADLINE_SHARE = 0.05  # of the run's time may go into the one number


class Progress:
    """A line on stderr; `shown="auto"` shows it where somebody can see it, `headline` computes the number."""

    def __init__(
        self,
        name: str,
        total: int,
        done: int,
        shown: bool | str | None,
        headline: Callable[[Any], tuple[str, float]] | None,
    ):
        shown = sys.stderr.isatty() if shown in (None, "auto") else shown
        self.headline = headline
        self.spent = 0.0
        self.began = time.perf_counter()
        self.line = None
        if shown:
            from tqdm.auto import tqdm

            self.line = tqdm(
                desc=name, total=total, initial=done, unit="step", delay=DELAY, miniters=1, dynamic_ncols=True
            )

    def update(self, done: int, carry: Any) -> None:
        """Move to `done`; the number is computed anew while that stays cheap."""
        if self.line is None:
            return
        now = time.perf_counter()
        if (
            self.headline is not None
            and now - self.began >= DELAY
            and self.spent <= HEADLINE_SHARE * (now - self.began)
        ):
            label, number = self.headline(carry)
            self.spent += time.perf_counter() - now
            self.line.set_postfix_str(f"{label} {number:.4g}", refresh=False)
        self.line.update(done - self.line.n)

    def close(self) -> None:
        """Leave the line as it is."""
        if self.line is not None:
            self.line.close()
