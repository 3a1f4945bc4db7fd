"""Means of independent replicates held against what they should be, with the error bar that decides."""

import numpy as np

LIMIT = 4.5  # standard errors: one in 150,000 for a normal, and the keys of the tests are fixed


def z_scores(samples, expected, slack=0.0):
    """Standard errors between the mean of independent replicates (axis 0) and `expected` give or take `slack`."""
    samples = np.asarray(samples, np.float64)
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return (
        np.maximum(np.abs(samples.mean(axis=0) - expected) - slack, 0) / standard_error
    )


def assert_mean(samples, expected, *, slack=0.0, wrong=None):
    """The mean lies within LIMIT standard errors of `expected` everywhere, give or take a bias of `slack`.

    With `wrong`, what a mistake would give, it lies 10 standard errors away from that somewhere: the test has power.
    """
    z = z_scores(samples, expected, slack)
    assert z.max() < LIMIT, (
        f"{z.max():.1f} standard errors off: mean {np.mean(samples, axis=0)}, expected {expected}"
    )
    if wrong is not None:
        assert z_scores(samples, wrong, slack).max() > 10, (
            "too few replicates to tell the mistake apart"
        )
