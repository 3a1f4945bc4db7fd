"""R-hat, effective draws and Monte Carlo errors of many columns at once: against ArviZ, one column at a time."""

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

from langevax.sampling.convergence import bulk_convergence, convergence


def chains(num_chains, num_draws):
    """Columns of autocorrelation -0.9 to 0.99, one of chains that disagree, one of few values, one with heavy tails."""
    rng = np.random.default_rng(num_draws)
    correlation, values = np.linspace(-0.9, 0.99, 12), rng.normal(size=(num_chains, num_draws, 12))
    for t in range(1, num_draws):
        values[:, t] = correlation * values[:, t - 1] + np.sqrt(1 - correlation**2) * values[:, t]
    values[0, :, 3] += 1.0
    values[..., 4] = np.round(values[..., 4])
    values[..., 5] **= 3
    return values


@pytest.mark.parametrize(("num_chains", "num_draws"), [(4, 501), (2, 100), (4, 10), (2, 7), (2, 4)])
def test_numbers_are_those_of_arviz(num_chains, num_draws):
    values, axes = chains(num_chains, num_draws), {"chain_axis": 0, "draw_axis": 1}
    with np.errstate(invalid="ignore"):
        expected = {
            "mean": values.mean((0, 1)),
            "sd": values.std((0, 1)),
            "mcse_mean": array_stats.mcse(values, **axes),
            "ess_bulk": array_stats.ess(values, **axes),
            "ess_tail": array_stats.ess(values, **axes, method="tail", prob=(0.05, 0.95)),
            "r_hat": array_stats.rhat(values, **axes),
        }
    table = convergence(values)
    assert table.keys() == expected.keys()
    for name, numbers in expected.items():
        np.testing.assert_allclose(table[name], numbers, rtol=1e-10, err_msg=name)
    np.testing.assert_array_equal(bulk_convergence(values), [table["r_hat"], table["ess_bulk"]])


def test_a_column_that_stands_still_counts_all_its_draws():
    values = chains(4, 50)
    values[..., 0] = 2.0
    table = convergence(values)
    assert table["ess_bulk"][0] == 200
    assert np.isnan(table["r_hat"][0])
    assert np.isfinite(table["r_hat"][1:]).all()
