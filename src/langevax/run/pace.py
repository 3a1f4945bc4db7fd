"""How many steps are run between two looks at the clock, the callbacks and the finiteness of the position."""

from langevax.run.program import MAX_STEPS

CHUNK_SECONDS = 0.25
FIRST_CHUNK, MAX_GROWTH = 16, 16


def next_length(steps: int, seconds: float, length: int) -> int:
    """Steps of the next chunk, so that it takes about CHUNK_SECONDS, after one of `steps` steps, `length` wanted.

    Example:
        >>> next_length(100, 0.5, 100), next_length(16, 1e-6, 16)
        (50, 256)
    """
    wanted = int(steps * CHUNK_SECONDS / max(seconds, 1e-6))
    return max(1, min(wanted, MAX_GROWTH * max(steps, length), MAX_STEPS))
