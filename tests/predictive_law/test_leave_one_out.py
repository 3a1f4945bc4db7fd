"""The closed form of leave-one-out against refits without the row, on a grid."""

import numpy as np
import pytest

from langevax.predictive_law.leave_one_out import leave_one_out, log_mean_exp
from tests.predictive_law.cases import COUNTS, RIGHT, draws_of, log_likelihoods, table
from tests.predictive_law.grids import solve


def particles(counts, bayes_share):
    """Log likelihoods at the quantiles of the law on the grid."""
    law = solve(*table(counts), bayes_share)
    return log_likelihoods(draws_of(law.weights, 2000)[:, 0].astype(float), counts)


@pytest.mark.parametrize(
    ("counts", "bayes_share", "atol"),
    [(RIGHT, 1.0, 5e-4), (RIGHT, 0.2, 5e-4), (COUNTS, 1.0, 2e-3), (COUNTS, 0.2, 0.012), (COUNTS, 0.0, 0.008)],
)
def test_the_closed_form_is_that_of_refits(counts, bayes_share, atol):
    logs, (log_p, prior) = particles(counts, bayes_share), table(counts)
    left_out, exact = leave_one_out(logs, bayes_share), np.empty(len(counts))
    for count in np.unique(counts):  # rows that are equal have equal refits
        rows = counts == count
        row = int(np.argmax(rows))
        law = solve(np.delete(log_p, row, axis=1), prior, bayes_share)
        exact[rows] = np.log(law.weights @ np.exp(log_p[:, row]))
    np.testing.assert_allclose(left_out.scores.mean(), exact.mean(), atol=atol)
    optimism = log_mean_exp(logs).mean() - exact.mean()
    assert abs(left_out.scores.mean() - exact.mean()) < 0.12 * optimism + 5e-4


def test_it_is_importance_sampling_at_the_posterior():
    logs = particles(COUNTS, 1.0)
    np.testing.assert_allclose(leave_one_out(logs, 1.0).scores, -log_mean_exp(-logs), rtol=1e-9)


def test_rows_in_several_tables_are_those_in_one(monkeypatch):
    logs = particles(COUNTS, 0.2)[::10]
    whole = leave_one_out(logs, 0.2)
    monkeypatch.setattr("langevax.predictive_law.leave_one_out.COLUMNS", 200 * 7)
    np.testing.assert_allclose(leave_one_out(logs, 0.2).scores, whole.scores, rtol=1e-9)
