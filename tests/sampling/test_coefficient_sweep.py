"""A sweep of learning coefficients: what counts as stable, against closed forms, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.sampling import coefficient_sweep
from langevax.sampling.coefficient_sweep import _largest_changes

X = np.float32(np.random.default_rng(0).normal(size=100))
SHORT = {
    "key": jax.random.key(0),
    "progress": False,
    "num_samples": 100,
    "num_warmup": 100,
}


def square(w, x):
    return (w * x) ** 2 / 2


def test_changes_are_those_to_the_worst_neighbour_and_noise_is_added():
    values = np.array([[1.0, 1.2, np.nan], [1.1, 1.1, 1.1]])
    changes, errors = _largest_changes(values, np.full((2, 3), 0.05))
    np.testing.assert_allclose(changes[0, 0], 0.2)
    np.testing.assert_allclose(errors[0, 0], 2 * np.sqrt(2) * 0.05)
    np.testing.assert_allclose(changes[1, 0], 0.1 / 1.1)
    assert np.isinf(changes[[0, 1], [1, 2]]).all()  # beside a refused estimate
    wide, its_error = _largest_changes(
        values[:, :2], np.array([[0.0, 0.0], [0.0, 0.5]])
    )
    assert wide[1, 0] < its_error[1, 0]  # the neighbour with the largest bound


@pytest.mark.slow
def test_a_regular_minimum_is_stable_where_its_closed_form_is():
    temperatures, localizations = (0.02,), (0.01, 0.1, 1.0, 30.0)
    grid = {"temperatures": temperatures, "localizations": localizations}
    sweep = coefficient_sweep(square, jnp.array(0.0), X, **grid, **SHORT)
    moment = np.mean(X.astype(float) ** 2)
    exact = moment / (moment + np.outer(temperatures, localizations)) / 2
    np.testing.assert_allclose(sweep.values, exact, rtol=1e-3)
    np.testing.assert_array_equal(sweep.is_stable, [[True, True, False, False]])
    assert sweep.conclusion.startswith(
        "Stable to 10% at 2 of 4 points, at localizations from 0.01 to 0.1 and temp"
    )
    assert "temperature 0.02, localization 30" in repr(sweep)
    axes = sweep.plot()
    assert axes.get_xlabel() == "localization"
    assert sweep.refusals == ()


@pytest.mark.slow
def test_wrong_arguments_are_named():
    for change, error, sentence in (
        ({"temperatures": (0.2, 0.1)}, ValueError, "temperatures must increase"),
        ({"temperature": 0.1}, TypeError, "temperature belongs to a single estimate"),
        ({"tolerance": 0.0}, ValueError, "tolerance must be"),
        (
            {"localizations": (1.0,), "temperatures": (0.1,), "params": jnp.array(9.0)},
            ValueError,
            "no point of the gri",
        ),
    ):
        arguments = (
            {"loss": square, "params": jnp.array(0.0), "data": X} | SHORT | change
        )
        with pytest.raises(error, match=sentence):
            coefficient_sweep(**arguments)
    assert langevax.sampling.coefficient_sweep is coefficient_sweep
