"""Log-Sobolev constants where they are known exactly, and the conversions where they are equalities."""

import math

import numpy as np
import pytest

from grid_laws import poincare_on_grid, quadrature_weights
from langevax.theory import bounds
from langevax.theory.lsi import (
    Target,
    gibbs_gap,
    gibbs_gap_bound,
    holley_stroock,
    lipschitz_image,
    logistic_smoothness,
    logistic_target,
    product,
    risk_gap_bound,
    start_kl_bound,
    start_kl_bound_lsi,
    strongly_log_concave,
    total_variation_bound,
    wasserstein_bound,
)
from tests.gaussian_laws import kl_gaussian_diagonal
from tests.sentences import refuses
from tests.theory.grids import kl_on_grid, proximal_gibbs_on_grid

GRID = np.linspace(-9, 9, 1201)
WEIGHTS = quadrature_weights(GRID)
WELLS = GRID**2 / 2 + np.cos(2.5 * GRID)  # curvature between 1 - 6.25 and 1 + 6.25


def wells_target(temperature):
    alpha = holley_stroock(strongly_log_concave(1.0, temperature), 2.0, temperature)
    return Target(smoothness=7.25, lsi_constant=alpha, temperature=temperature, dim=1)


def test_log_sobolev_is_an_equality_for_a_shifted_gaussian():
    """J = 2 alpha KL and W2^2 = 2 KL / alpha, so that a missing 2 or temperature shows."""
    curvature, temperature, shift = 1.7, 0.3, 0.8
    alpha = strongly_log_concave(curvature, temperature)
    kl = kl_gaussian_diagonal(
        shift, temperature / curvature, 0.0, temperature / curvature
    )
    fisher_information = (curvature * shift / temperature) ** 2
    assert kl == pytest.approx(fisher_information / (2 * alpha), rel=1e-14)
    assert wasserstein_bound(kl, alpha) == pytest.approx(shift, rel=1e-14)


def test_total_variation_of_close_gaussians_is_0_8_of_its_bound_and_never_above():
    for shift in (0.01, 0.5, 2.0, 8.0):
        exact = math.erf(shift / math.sqrt(8))
        bound = total_variation_bound(shift**2 / 2)
        assert exact <= bound
    assert math.erf(0.01 / math.sqrt(8)) / total_variation_bound(
        0.01**2 / 2
    ) == pytest.approx(0.798, abs=0.001)
    assert total_variation_bound(100.0) == 1.0


def test_lipschitz_images_and_products_of_gaussians_are_exact():
    alpha = strongly_log_concave(2.0, temperature=0.5)
    assert lipschitz_image(alpha, lipschitz=3.0) == pytest.approx(
        strongly_log_concave(2.0 / 9, 0.5), rel=1e-15
    )
    curvatures = (3.0, 0.4, 1.0)
    factors = [strongly_log_concave(curvature, 0.5) for curvature in curvatures]
    assert product(*factors) == strongly_log_concave(min(curvatures), 0.5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_holley_stroock_is_below_the_spectral_gap(temperature):
    """Log-Sobolev implies Poincare with the same constant; at temperature 1 they are 0.135 and 0.463."""
    alpha, poincare = (
        wells_target(temperature).lsi_constant,
        poincare_on_grid(WELLS, GRID, temperature),
    )
    assert alpha <= poincare
    if temperature == 1.0:
        assert (alpha, poincare) == pytest.approx((0.1353, 0.4632), rel=1e-3)


def logistic_problem():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(12, 3)) * np.array([1.0, 3.0, 0.5])
    return inputs, rng.choice([-1.0, 1.0], size=12), 0.25


def logistic_hessians(inputs, targets, position, precision):
    """Of log(1 + exp(-y <x, theta>)) + precision |theta|^2 / 2, one per row."""
    slope = 1 / (1 + np.exp(np.clip(targets * (inputs @ position), -700, 700)))
    outer = inputs[:, :, None] * inputs[:, None, :]
    return (slope * (1 - slope))[:, None, None] * outer + precision * np.eye(
        inputs.shape[1]
    )


def test_logistic_constants_are_the_extreme_curvatures():
    """L is reached at theta = 0; alpha is the curvature of the potential over the temperature, far away."""
    inputs, targets, prior_precision = logistic_problem()
    target = logistic_target(inputs, prior_precision)
    precision = target.temperature * prior_precision
    at_zero = logistic_hessians(inputs, targets, np.zeros(3), precision)
    assert np.linalg.eigvalsh(at_zero).max() == pytest.approx(
        target.smoothness, rel=1e-14
    )
    far = logistic_hessians(
        inputs, targets, np.array([1e5, 1e4, -1e5]), precision
    ).mean(axis=0)
    assert np.linalg.eigvalsh(far).min() / target.temperature == pytest.approx(
        target.lsi_constant, rel=1e-12
    )
    rng = np.random.default_rng(1)
    for _ in range(50):
        hessians = logistic_hessians(inputs, targets, rng.normal(size=3) * 2, precision)
        assert np.linalg.eigvalsh(hessians).max() <= target.smoothness
        assert (
            np.linalg.eigvalsh(hessians.mean(axis=0)).min() / target.temperature
            >= target.lsi_constant
        )


def test_logistic_posterior_as_a_sum_has_n_times_the_smoothness_at_temperature_one():
    inputs, _, prior_precision = logistic_problem()
    n, target = len(inputs), logistic_target(inputs, prior_precision)
    summed = target.rescaled(n)
    largest = np.max(np.sum(inputs**2, axis=1))
    assert summed.temperature == pytest.approx(1, rel=1e-15)
    assert summed.smoothness == pytest.approx(
        n * largest / 4 + prior_precision, rel=1e-14
    )
    assert (
        summed.lsi_constant
        == target.lsi_constant
        == pytest.approx(prior_precision, rel=1e-15)
    )
    assert summed.condition_number == pytest.approx(target.condition_number, rel=1e-15)
    assert target.smoothness == logistic_smoothness(
        inputs, target.temperature * prior_precision
    )


def quadratic_target(curvatures, temperature, smoothness):
    alpha = strongly_log_concave(min(curvatures), temperature)
    return Target(
        smoothness=smoothness,
        lsi_constant=alpha,
        temperature=temperature,
        dim=len(curvatures),
    )


def test_start_bounds_hold_on_quadratics():
    """The one with Z is the exact KL plus sum(1 - h / L) / 2 at the mode: tight where h = L."""
    curvatures, temperature, smoothness = np.array([2.0, 0.7, 1.1]), 0.25, 2.0
    target = quadratic_target(curvatures, temperature, smoothness)
    log_partition = np.sum(np.log(2 * np.pi * temperature / curvatures)) / 2
    for start in (np.zeros(3), np.array([1.0, -0.5, 2.0])):
        law = temperature / curvatures
        exact = kl_gaussian_diagonal(start, temperature / smoothness, 0.0, law)
        bound = start_kl_bound(target, np.sum(curvatures * start**2) / 2, log_partition)
        assert bound == pytest.approx(
            exact + np.sum(1 - curvatures / smoothness) / 2, rel=1e-13
        )
        assert exact <= start_kl_bound_lsi(target, np.linalg.norm(curvatures * start))
    assert start_kl_bound_lsi(target) == pytest.approx(
        2 * 3 * target.condition_number, rel=1e-14
    )


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("start", [0.0, 1.1, 2.0])
def test_start_bounds_hold_on_wells(start, temperature):
    """0 is a maximum between two wells; 1.1 and 2 are not stationary, which neither bound needs."""
    target = wells_target(temperature)
    law, log_partition = proximal_gibbs_on_grid(WELLS, GRID, temperature)
    begin = proximal_gibbs_on_grid(
        (GRID - start) ** 2 * target.smoothness / 2, GRID, temperature
    )[0]
    exact = kl_on_grid(begin, law, GRID)
    assert exact <= start_kl_bound(
        target, start**2 / 2 + np.cos(2.5 * start), log_partition
    )
    assert exact <= start_kl_bound_lsi(target, abs(start - 2.5 * np.sin(2.5 * start)))


def test_gibbs_gap_is_exact_for_quadratics_and_below_its_bound():
    curvatures, temperature = np.array([2.0, 0.7, 1.1]), 0.25
    exact = np.sum(curvatures * (temperature / curvatures)) / 2
    assert gibbs_gap(3, temperature) == pytest.approx(exact, rel=1e-15)
    assert exact <= gibbs_gap_bound(
        3, temperature, smoothness=2.0, dissipativity=0.7, offset=0.0
    )
    # three copies of a problem in one dimension have three times its bound
    alone = gibbs_gap_bound(
        1, temperature, smoothness=2.0, dissipativity=0.7, offset=0.3
    )
    assert alone == pytest.approx(
        temperature / 2 * math.log(math.e * 2.0 / 0.7 * (0.3 / temperature + 1)),
        rel=1e-14,
    )
    assert gibbs_gap_bound(3, temperature, 2.0, 0.7, offset=0.9) == pytest.approx(
        3 * alone, rel=1e-14
    )
    # equal curvatures make it an equality, whatever the temperature
    assert gibbs_gap_bound(3, temperature, 2.0, 2.0, offset=0.0) == pytest.approx(
        exact, rel=1e-15
    )


@pytest.mark.parametrize("temperature", [0.02, 0.3, 1.0, 5.0])
def test_gibbs_gap_bound_holds_on_wells(temperature):
    """<F', x> = x^2 - 2.5 x sin(2.5 x) >= x^2 / 2 - 3.125."""
    law = proximal_gibbs_on_grid(WELLS, GRID, temperature)[0]
    gap = WEIGHTS @ (law * (WELLS - WELLS.min()))
    assert gap <= gibbs_gap_bound(
        1, temperature, smoothness=7.25, dissipativity=0.5, offset=3.125
    )
    if temperature == 0.02:
        assert gap == pytest.approx(gibbs_gap(1, temperature), rel=0.05)


def test_risk_gap_bound_holds_for_shifted_and_scaled_gaussians_and_on_wells():
    """It is half tight for a shift: E F rises by L shift^2 / 2, all of the second term."""
    target = quadratic_target([2.0], 0.25, 2.0)
    for shift in (0.01, 0.5, 4.0):
        kl = kl_gaussian_diagonal(shift, 0.125, 0.0, 0.125)
        second = risk_gap_bound(target, kl) - math.sqrt(
            2 * kl * 2.0 * 0.25 / target.lsi_constant
        )
        assert second == pytest.approx(2.0 * shift**2 / 2, rel=1e-10)
    for variance in (0.126, 0.5, 10.0):
        kl = kl_gaussian_diagonal(0.0, variance, 0.0, 0.125)
        assert variance - 0.125 <= risk_gap_bound(target, kl)
    law = proximal_gibbs_on_grid(WELLS, GRID, 1.0)[0]
    for center, width in ((0.0, 0.1), (1.0, 0.5), (3.0, 0.2), (0.0, 1.5)):
        other = proximal_gibbs_on_grid((GRID - center) ** 2 / 2, GRID, width)[0]
        kl = kl_on_grid(other, law, GRID)
        assert WEIGHTS @ ((other - law) * WELLS) <= risk_gap_bound(
            wells_target(1.0), kl
        )


def test_numpy_arguments_give_python_floats():
    one = np.float64(1.0)
    target = Target(smoothness=one, lsi_constant=one, temperature=one, dim=2)
    plan = bounds.optimization_plan(
        one, 2, one, one, one, lambda temperature: one / temperature, 16
    )
    for constant in (
        target.smoothness,
        target.condition_number,
        holley_stroock(one, one, one),
        wasserstein_bound(one, one),
        total_variation_bound(one),
        start_kl_bound(target, one, one),
        start_kl_bound_lsi(target, one),
        risk_gap_bound(target, one),
        gibbs_gap(2, one),
        gibbs_gap_bound(2, one, one, one, one),
        plan.beta,
        plan.step_size,
        plan.accuracy,
        plan.gap_bound,
        bounds.sarah(target, 2, 2, 9).step_size(one),
        bounds.ld(target).kl_bound(one / 8, 3, one),
    ):
        assert type(constant) is float


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"smoothness": 0.0}, "smoothness 0.0 0"),
        ({"lsi_constant": math.nan}, "lsi_constant nan"),
        ({"temperature": -1.0}, "temperature -1.0"),
        ({"dim": 0}, "dim 0"),
        ({"dim": 1.5}, "dim 1.5"),
        (
            {"lsi_constant": 100.0},
            "lsi_constant 100.0 4.0",
        ),
    ],
)
def test_target_refuses_what_no_law_has(changes, facts):
    with refuses(ValueError, facts):
        Target(
            **{"smoothness": 2.0, "lsi_constant": 1.0, "temperature": 0.5, "dim": 3}
            | changes
        )


@pytest.mark.parametrize(
    ("call", "facts"),
    [
        (lambda: strongly_log_concave(-1.0, 1.0), "curvature -1.0"),
        (lambda: holley_stroock(1.0, -2.0, 1.0), "oscillation -2.0"),
        (lambda: product(), "lsi_constants"),
        (lambda: lipschitz_image(1.0, 0.0), "lipschitz 0.0"),
        (lambda: logistic_smoothness(np.ones((1, 1)), -1.0), "precision -1.0"),
        (lambda: logistic_target(np.ones((1, 1)), 0.0), "prior_precision 0.0"),
        (lambda: wasserstein_bound(-1.0, 1.0), "kl -1.0"),
        (
            lambda: gibbs_gap_bound(1, 1.0, 1.0, 2.0, 0.0),
            "dissipativity 2.0 1.0",
        ),
        (lambda: gibbs_gap_bound(1, 1.0, 1.0, 1.0, -1.0), "offset -1.0"),
    ],
)
def test_wrong_arguments_are_named(call, facts):
    with refuses(ValueError, facts):
        call()
