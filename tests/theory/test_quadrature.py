"""Chains on a grid against Gaussian closed forms; and the theorems on LD against a chain that has none."""

import math

import numpy as np
import pytest

from grid_laws import langevin_kernel_on_grid, poincare_on_grid, quadrature_weights
from langevax.theory import bounds
from langevax.theory.gaussian import stationary_variance
from langevax.theory.lsi import Target, holley_stroock, strongly_log_concave
from langevax.theory.moments import QuadraticChain
from tests.sentences import refuses
from tests.theory.grids import kl_on_grid, proximal_gibbs_on_grid

GRID = np.linspace(-9, 9, 301)
WEIGHTS = quadrature_weights(GRID)
CURVATURE, SLOPE, STEP_SIZE, TEMPERATURE = 1.7, 0.6, 0.2, 0.8


def stationary_density(kernel, grid):
    """p = K p of mass 1: what a uniform density becomes in 2^13 steps."""
    density = np.linalg.matrix_power(kernel, 2**13) @ np.ones(len(grid))
    return density / (quadrature_weights(grid) @ density)


def kernel():
    return langevin_kernel_on_grid(
        CURVATURE * GRID + SLOPE, GRID, STEP_SIZE, TEMPERATURE
    )


def test_a_step_on_the_grid_is_the_moment_recursion():
    density = proximal_gibbs_on_grid((GRID - 1) ** 2, GRID, 1.0)[0]  # N(1, 1/2)
    law = np.array([[CURVATURE]]), np.array([[SLOPE]]), np.ones(1), np.array([1.5])
    exact = QuadraticChain(
        *law, step_size=STEP_SIZE, temperature=TEMPERATURE, num_steps=6
    ).ld()
    for first, second in zip(exact.first[:, 0], exact.second[:, 0], strict=True):
        assert WEIGHTS @ density == pytest.approx(1, abs=1e-9)
        assert WEIGHTS @ (density * GRID) == pytest.approx(first, abs=1e-9)
        assert WEIGHTS @ (density * GRID**2) == pytest.approx(second, abs=1e-9)
        density = kernel() @ density


def test_stationary_density_is_kept_and_has_the_closed_form_of_its_variance():
    density = stationary_density(kernel(), GRID)
    np.testing.assert_allclose(kernel() @ density, density, rtol=0, atol=1e-12)
    mean = WEIGHTS @ (density * GRID)
    assert WEIGHTS @ density == pytest.approx(1, rel=1e-12)
    assert mean == pytest.approx(-SLOPE / CURVATURE, rel=1e-8)
    expected = stationary_variance("explicit", STEP_SIZE, 0.0, CURVATURE, TEMPERATURE)
    assert WEIGHTS @ (density * (GRID - mean) ** 2) == pytest.approx(expected, rel=1e-8)


def test_poincare_constant_of_a_gaussian_is_its_inverse_variance_to_second_order_in_the_spacing():
    errors = []
    for points in (401, 801):
        grid = np.linspace(-9, 9, points)
        poincare = poincare_on_grid(CURVATURE * grid**2 / 2, grid, TEMPERATURE)
        errors.append(abs(poincare / (CURVATURE / TEMPERATURE) - 1))
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_a_grid_too_coarse_for_the_noise_is_refused():
    with refuses(ValueError, "spacing"):
        langevin_kernel_on_grid(GRID, GRID, 1e-4, TEMPERATURE)


FINE = np.linspace(-6.5, 6.5, 801)
WELLS, SLOPE_OF_WELLS = (
    FINE**2 / 2 + np.cos(2.5 * FINE),
    FINE - 2.5 * np.sin(2.5 * FINE),
)


def wells_target():
    """F = x^2 / 2 + cos(2.5 x), curvature down to -5.25."""
    alpha = holley_stroock(strongly_log_concave(1.0, 1.0), 2.0, 1.0)
    return Target(smoothness=7.25, lsi_constant=alpha, temperature=1.0, dim=1)


def kl_along_wells(step_size, num_steps, every):
    """KL of LD to its target from N(1, T / L), exact by quadrature."""
    law = proximal_gibbs_on_grid(WELLS, FINE, 1.0)[0]
    density = proximal_gibbs_on_grid((FINE - 1) ** 2 * 7.25 / 2, FINE, 1.0)[0]
    kernel = np.linalg.matrix_power(
        langevin_kernel_on_grid(SLOPE_OF_WELLS, FINE, step_size, 1.0), every
    )
    divergences = [kl_on_grid(density, law, FINE)]
    for _ in range(num_steps // every):
        density = kernel @ density
        divergences.append(kl_on_grid(density, law, FINE))
    return np.array(divergences)


@pytest.mark.parametrize(
    ("method", "fraction"), [("ld", 1.0), ("ld", 0.1), ("vempala_wibisono", 1.0)]
)
def test_theorems_of_ld_hold_without_convexity(method, fraction):
    theorem = getattr(bounds, method)(wells_target())
    eta = fraction * theorem.step_size()
    every = max(1, round(0.05 / eta))
    kl = kl_along_wells(eta, 120 * every, every)
    ratio = [
        value / theorem.kl_bound(eta, j * every, kl[0]) for j, value in enumerate(kl)
    ]
    assert max(ratio) <= 1


@pytest.mark.slow
def test_kl_decays_at_twice_the_spectral_gap_and_much_faster_than_promised():
    """Between times 4 and 6, at a step whose bias is far below: 0.928 per unit time, where alpha promises 0.135."""
    eta = 0.001
    kl = kl_along_wells(eta, 6000, 1000)
    rate = math.log(kl[4] / kl[6]) / 2
    assert rate == pytest.approx(2 * poincare_on_grid(WELLS, FINE, 1.0), rel=0.02)
    assert rate > 3 * 2 * wells_target().lsi_constant


@pytest.mark.slow
def test_bias_is_of_second_order_in_the_step_where_theorems_give_first():
    law = proximal_gibbs_on_grid(WELLS, FINE, 1.0)[0]
    kernels = [
        langevin_kernel_on_grid(SLOPE_OF_WELLS, FINE, eta, 1.0)
        for eta in (0.02, 0.01, 0.005)
    ]
    biases = [
        kl_on_grid(stationary_density(kernel, FINE), law, FINE) for kernel in kernels
    ]
    orders = np.log2(biases[:-1]) - np.log2(biases[1:])
    np.testing.assert_allclose(orders, 2, atol=0.06)
