"""The closed form of leave-one-out against refits without the row, on a grid."""

import numpy as np
import pytest

from langevax.log_weights import log_mean_exp
from langevax.predictive_law.leave_one_out import leave_one_out
from tests.predictive_law.cases import (
    COUNTS,
    GRID,
    RIGHT,
    draws_of,
    log_likelihoods,
    table,
)
from tests.predictive_law.grids import solve


def particles(counts, posterior_share):
    """Log likelihoods at the quantiles of the law on the grid."""
    law = solve(*table(counts), posterior_share)
    return log_likelihoods(draws_of(law.weights, 2000)[:, 0].astype(float), counts)


@pytest.mark.parametrize(
    ("counts", "posterior_share", "atol"),
    [
        (RIGHT, 1.0, 5e-4),
        (RIGHT, 0.2, 5e-4),
        (COUNTS, 1.0, 2e-3),
        (COUNTS, 0.2, 0.012),
        (COUNTS, 0.0, 0.008),
    ],
)
def test_the_closed_form_is_that_of_refits(counts, posterior_share, atol):
    logs, (log_p, prior) = particles(counts, posterior_share), table(counts)
    left_out, exact = leave_one_out(logs, posterior_share), np.empty(len(counts))
    for count in np.unique(counts):  # rows that are equal have equal refits
        rows = counts == count
        row = int(np.argmax(rows))
        law = solve(np.delete(log_p, row, axis=1), prior, posterior_share)
        exact[rows] = np.log(law.weights @ np.exp(log_p[:, row]))
    np.testing.assert_allclose(left_out.scores.mean(), exact.mean(), atol=atol)
    optimism = log_mean_exp(logs, 0).mean() - exact.mean()
    assert abs(left_out.scores.mean() - exact.mean()) < 0.12 * optimism + 5e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("posterior_share", "atol"), [(1.0, 1e-3), (0.2, 2e-3), (0.0, 2e-3)]
)
def test_rows_leave_with_all_of_their_weight(posterior_share, atol):
    weights, (log_p, prior) = (
        np.random.default_rng(0).uniform(0.3, 2.5, len(RIGHT)),
        table(RIGHT),
    )
    law = solve(log_p, prior, posterior_share, counts=weights)
    levels, middles = (
        (np.arange(4000) + 0.5) / 4000,
        np.cumsum(law.weights) - law.weights / 2,
    )
    logs = log_likelihoods(np.interp(levels, middles, GRID), RIGHT)
    left_out, exact = (
        leave_one_out(logs, posterior_share, weights),
        np.empty(len(RIGHT)),
    )
    for row in range(len(RIGHT)):
        without = solve(
            log_p,
            prior,
            posterior_share,
            counts=np.where(np.arange(len(RIGHT)) == row, 0, weights),
        )
        exact[row] = np.log(without.weights @ np.exp(log_p[:, row]))
    np.testing.assert_allclose(left_out.scores, exact, atol=10 * atol)
    np.testing.assert_allclose(left_out.scores.mean(), exact.mean(), atol=atol)
    optimism = log_mean_exp(logs, 0).mean() - exact.mean()
    assert abs(left_out.scores.mean() - exact.mean()) < 0.1 * optimism
    alike = leave_one_out(logs, posterior_share).scores
    assert np.abs(alike - exact).max() > 3 * np.abs(left_out.scores - exact).max()


def test_it_is_importance_sampling_at_the_posterior():
    logs = particles(COUNTS, 1.0)
    np.testing.assert_allclose(
        leave_one_out(logs, 1.0).scores, -log_mean_exp(-logs, 0), rtol=1e-9
    )


def test_rows_in_several_tables_are_those_in_one():
    logs = particles(COUNTS, 0.2)[::10]
    whole = leave_one_out(logs, 0.2)
    parts = leave_one_out(logs, 0.2, numbers_at_once=200 * 7)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-9)
