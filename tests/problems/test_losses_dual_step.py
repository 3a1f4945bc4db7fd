"""SDCA's coordinate update."""

import jax
import numpy as np
import pytest

from tests.problems.loss_cases import (
    CLASSES,
    MARGIN,
    alone,
    each_bent_loss,
    each_loss,
    each_scalar_loss,
    examples,
    maximisers,
    rows,
    vertex,
)


@each_scalar_loss
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_dual_step_is_the_maximiser(name, c):
    (low, high), largest = (
        ((0.0, 1.0), 1e4) if name in MARGIN else ((-50.0, 50.0), 15.0)
    )
    outputs, starts = (
        (-largest, -20.0, -0.7, 0.2, 15.0, largest),
        ((0.0, 1.0), (0.3, -1.0), (0.3, 1.0), (1.0, -1.0)),
    )
    z, share, y = np.array([(z, *start) for z in outputs for start in starts]).T
    with jax.enable_x64():

        def objective(s):
            return (
                -rows(name, "conjugate")(-y * s, y)
                - z * y * s
                - c / 2 * (s - share) ** 2
            )

        best = maximisers(objective, np.full(len(z), low), np.full(len(z), high))
        actual = -y * rows(name, "dual_step")(z, -y * share, y, np.full(len(z), c))
        np.testing.assert_allclose(actual, best, rtol=0, atol=1e-6)


@pytest.mark.slow
@each_bent_loss
@pytest.mark.parametrize("c", [0.0, 0.01, 1.0, 100.0, 1e4])
def test_dual_step_solves_its_optimality_equation(name, c):
    with jax.enable_x64():
        z, dual, y = examples(name, np.float64)
        new = rows(name, "dual_step")(z, dual, y, np.full(len(z), c))
        again = rows(name, "derivative")(z - c * (new - dual), y)
        np.testing.assert_allclose(new, again, rtol=1e-12, atol=1e-14 * (1 + 10 * c))


@each_loss
def test_dual_step_stays_at_the_derivative(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        dual = rows(name, "derivative")(z, y)
        np.testing.assert_allclose(
            rows(name, "dual_step")(z, dual, y, np.full(len(z), 7.0)), dual, atol=1e-14
        )


def test_dual_step_of_softmax_beats_every_other_feasible_dual():
    with jax.enable_x64():
        z, dual, y = examples("softmax", np.float64)
        c = 3.0

        def objective(u):
            square = np.sum((u - dual) ** 2, axis=1)
            return (
                np.sum(u * z, axis=1)
                - c / 2 * square
                - rows("softmax", "conjugate")(u, y)
            )

        best = objective(rows("softmax", "dual_step")(z, dual, y, np.full(len(z), c)))
        rng = np.random.default_rng(1)
        for _ in range(200):
            assert np.all(
                best
                >= objective(rng.dirichlet(np.full(CLASSES, 0.5), len(z)) - vertex(y))
            )


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 1000])
def test_dual_step_of_softmax_converges_whatever_the_number_of_classes(classes):
    rng = np.random.default_rng(2)
    with jax.enable_x64():
        z = rng.normal(size=(40, classes)) * 10.0 ** rng.uniform(-2, 2, (40, 1))
        y = rng.integers(0, classes, 40)
        c = 10.0 ** rng.uniform(-3, 4, 40)
        dual = rng.dirichlet(np.full(classes, 0.3), 40) - vertex(y, classes)
        new = np.asarray(alone("softmax", "dual_step")(z, dual, y, c))
        again = np.asarray(
            alone("softmax", "derivative")(z - c[:, None] * (new - dual), y)
        )
        assert np.max(np.abs(new - again) / (1 + c[:, None])) < 1e-13
