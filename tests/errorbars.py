"""Means of independent replicates held against what they should be, with the error bar that decides."""

import numpy as np

LIMIT = 4.5  # standard errors: one in 150,000 for a normal, and the keys of the tests are fixed


def z_scores(samples, expected):
    """Standard errors between the mean of independent replicates (axis 0) and `expected`."""
    samples = np.asarray(samples, np.float64)
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return (samples.mean(axis=0) - expected) / standard_error


def assert_mean(samples, expected, *, wrong=None):
    """The mean lies within LIMIT standard errors of `expected` everywhere.

    With `wrong`, what a mistake would give, it lies 10 standard errors away from that somewhere: the test has power.
    """
    z = np.abs(z_scores(samples, expected))
    assert z.max() < LIMIT, f"{z.max():.1f} standard errors off: mean {np.mean(samples, axis=0)}, expected {expected}"
    if wrong is not None:
        assert np.abs(z_scores(samples, wrong)).max() > 10, "too few replicates to tell the mistake apart"
