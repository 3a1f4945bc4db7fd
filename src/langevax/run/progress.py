"""Progress bar of a run: steps or solves, rate, time left, and one number that shows how it goes."""

import sys
import time
from collections.abc import Callable
from typing import Any, Literal

DELAY = 1.0  # seconds; a shorter run shows nothing
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
                desc=name, total=total, initial=done, unit=unit, delay=DELAY, miniters=1, dynamic_ncols=True
            )

    def update(self, done: int, carry: Any) -> None:
        """Move to `done`; compute the number again while that stays cheap."""
        if self.bar is None:
            return
        now = time.perf_counter()
        age = now - self.started
        if self.headline is not None and age >= DELAY and self.spent <= HEADLINE_SHARE * age:
            label, number = self.headline(carry)
            self.spent += time.perf_counter() - now
            self.bar.set_postfix_str(f"{label} {number:.4g}", refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """Leave the line as it is."""
        if self.bar is not None:
            self.bar.close()
