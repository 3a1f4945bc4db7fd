"""Progress bar of all that takes time: in words what is done, the share done, and the time left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from langevax.run.options import ProgressOption

BAR_DELAY = 1.0  # seconds; a shorter run shows nothing
LAYOUT = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"


@contextmanager
def report_to(
    progress: ProgressOption, done: float = 0.0
) -> Iterator[Callable[[str, float], None]]:
    """Yield a function of (words, share done): a bar on stderr with the time left, or the function that was passed.

    "auto" shows the bar on a terminal; it begins at the share `done`.

    Example:
        >>> with report_to(lambda words, share: print(words, share)) as report:
        ...     report("2 of 8 steps", 0.25)
        2 of 8 steps 0.25
    """
    if callable(progress):
        yield progress
        return
    if not (sys.stderr.isatty() if progress == "auto" else progress):
        yield lambda words, share: None
        return
    from tqdm.auto import tqdm

    options = {"bar_format": LAYOUT, "delay": BAR_DELAY, "dynamic_ncols": True}
    with tqdm(total=1.0, initial=done, leave=False, **options) as bar:

        def report(words: str, share: float) -> None:
            bar.set_description_str(words, refresh=False)
            bar.update(share - bar.n)

        yield report
