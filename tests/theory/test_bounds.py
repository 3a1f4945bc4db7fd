"""Theorems against exact laws: they must hold. Their constants against the papers' formulas: they must agree.

Bounds lie orders of magnitude above the truth, so that holding them says little about their constants; those are
pinned by transcriptions in the papers' own symbols, by scaling, and by corollaries.
"""

import math

import numpy as np
import pytest

from langevax.theory import bounds, moments
from langevax.theory.lsi import Target, logistic_target, strongly_log_concave
from tests.gaussian_laws import kl_gaussian_diagonal
from tests.sentences import refuses
from variance_reduction import METHODS

LD, REDUCED = ("ld", "vempala_wibisono"), ("svrg", "sarah")
TARGET = Target(smoothness=2.0, lsi_constant=3.0, temperature=0.25, dim=5)
BATCHES = {"batch_size": 4, "period": 3, "size": 16}


def options_of(method):
    return {} if method in LD else BATCHES


def theorem_of(method, target, **options):
    return getattr(bounds, method)(target, **options)


def paper(method, L, alpha, gamma, d, *, B, m, n, replace=False):
    """Step cap and bias per unit step in the symbols of the papers."""
    Xi = 1 / B if replace else (n - B) / (B * (n - 1))
    match method:
        case "ld":
            return 1 / (4 * L), 6 * gamma * d * L**2 / alpha
        case "vempala_wibisono":
            return alpha / (4 * gamma * L**2), 8 * gamma * d * L**2 / alpha
        case "svrg":
            cap = alpha / (16 * math.sqrt(6) * L**2 * m * gamma)
            return cap, 224 * gamma * d * L**2 / (3 * alpha) * (2 + 3 * Xi + 2 * m * Xi)
        case _:
            cap = alpha / (16 * math.sqrt(2) * L**2 * m * gamma)
            return cap, 32 * gamma * d * L**2 / (3 * alpha) * (2 + Xi + 2 * m * Xi)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("method", LD + REDUCED)
def test_constants_are_those_of_the_papers(method, replace):
    alpha, gamma, options = (
        3.0,
        4.0,
        {} if method in LD else BATCHES | {"replace": replace},
    )
    cap, slope = paper(method, 2.0, alpha, gamma, 5, B=4, m=3, n=16, replace=replace)
    assert theorem_of(method, TARGET, **options).step_size() == pytest.approx(
        cap, rel=1e-14
    )
    eta, k, start_kl = cap / 3, 700, 2.5
    expected = math.exp(-alpha * eta * k / gamma) * start_kl + slope * eta
    assert theorem_of(method, TARGET, **options).kl_bound(
        eta, k, start_kl
    ) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("method", LD + REDUCED)
@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_rescaling_potential_temperature_and_step_changes_nothing(method, factor):
    """(F, T, eta) -> (c F, c T, eta / c) is the same chain and law; powers of two make the equality exact."""
    plain, scaled = (
        theorem_of(method, law, **options_of(method))
        for law in (TARGET, TARGET.rescaled(factor))
    )
    for accuracy in (None, 0.01):
        eta = plain.step_size(accuracy)
        assert scaled.step_size(accuracy) == eta / factor
    assert scaled.kl_bound(eta / factor, 900, 2.0) == plain.kl_bound(eta, 900, 2.0)
    assert scaled.steps_needed(eta / factor, 2.0, 0.01) == plain.steps_needed(
        eta, 2.0, 0.01
    )


@pytest.mark.parametrize("method", LD + REDUCED)
def test_two_encodings_of_a_posterior_agree(method):
    """Means l_i at temperature 1 / n, and n l_i at temperature 1: the step of the second is n times shorter."""
    inputs, prior_precision = np.random.default_rng(0).normal(size=(20, 3)), 0.5
    n, d = inputs.shape
    largest = np.max(np.sum(inputs**2, axis=1))
    mean = logistic_target(inputs, prior_precision)
    summed = Target(
        smoothness=n * largest / 4 + prior_precision,
        lsi_constant=prior_precision,
        temperature=1.0,
        dim=d,
    )
    options = {} if method in LD else {"batch_size": 4, "period": 4, "size": n}
    of_mean, of_sum = (theorem_of(method, law, **options) for law in (mean, summed))
    eta = of_mean.step_size(0.1)
    assert of_sum.step_size(0.1) == pytest.approx(eta / n, rel=1e-13)
    bound = of_mean.kl_bound(eta, 10**5, 3.0)
    assert of_sum.kl_bound(eta / n, 10**5, 3.0) == pytest.approx(bound, rel=1e-12)


@pytest.mark.parametrize("method", LD + REDUCED)
@pytest.mark.parametrize("accuracy", [1e-3, 0.3, 1e4])
def test_steps_needed_are_the_fewest(method, accuracy):
    """At the step of an accuracy half is bias, so that the bound ends within 1 % of the accuracy."""
    theorem, start_kl = theorem_of(method, TARGET, **options_of(method)), 10 * accuracy
    eta = theorem.step_size(accuracy)
    steps = theorem.steps_needed(eta, start_kl, accuracy)
    at_end, before = (theorem.kl_bound(eta, k, start_kl) for k in (steps, steps - 1))
    assert at_end <= accuracy < before
    cap = theorem.step_size()
    if eta < cap:
        bias = theorem.kl_bound(eta, steps, 0.0)
        assert bias == pytest.approx(accuracy / 2, rel=1e-13)
        rate = TARGET.lsi_constant * TARGET.temperature * eta
        assert steps == math.ceil(
            math.log(2 * start_kl / accuracy) / rate
        )  # the corollaries' count
    else:
        assert eta == cap
    if method not in LD:
        assert at_end > 0.99 * accuracy
    assert theorem.steps_needed(eta, accuracy / 4, accuracy) == 0


@pytest.mark.parametrize("root", [2, 10, 100])
def test_steps_of_the_corollaries_at_batches_and_periods_sqrt_n(root):
    """Xi = 1 / (sqrt n + 1) there. Corollary 2.1 prints 320 for 64 times the bracket, Corollary 1.1 a bare 448."""
    n, epsilon, xi = root**2, 1e-6, 1 / (root + 1)
    L, alpha, gamma, d = 2.0, 3.0, 4.0, 5
    options = {"batch_size": root, "period": root, "size": n}
    unit = 3 * alpha * epsilon / (d * L**2 * gamma)
    sarah, svrg = (
        theorem_of(method, TARGET, **options).step_size(epsilon)
        for method in ("sarah", "svrg")
    )
    assert sarah == pytest.approx(unit / (64 * (4 - xi)), rel=1e-13)
    assert svrg == pytest.approx(unit / (448 * (4 + xi)), rel=1e-13)
    assert unit / 320 < sarah < 2 * unit / 320
    assert unit / (7 * 448) < svrg < unit / 448


def evaluations_to_reach(method, n, accuracy=1e-6, start_kl=1.0):
    """kappa = 1, and B = m = sqrt n for the reduced methods."""
    target, root = (
        Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=1),
        math.isqrt(n),
    )
    options = {} if method in LD else {"batch_size": root, "period": root, "size": n}
    theorem = theorem_of(method, target, **options)
    steps = theorem.steps_needed(theorem.step_size(accuracy), start_kl, accuracy)
    return METHODS["LD" if method in LD else "SVRG-LD"].evaluations(steps, n)


def test_where_variance_reduction_pays_by_the_theorems_alone():
    """The least square n from which fewer evaluations are needed, in units of d kappa^2 / accuracy and a logarithm.

    LD costs 16 n (Vempala and Wibisono) or 12 n; SARAH near 64 / 3 * 4 * 3 sqrt n = 256 sqrt n, SVRG 1792 sqrt n.
    With Corollary 2.1's 5 for the bracket of 4, and SVRG's largest bracket 7, it would be 400 and 38416.
    """
    squares = [root**2 for root in range(2, 200)]
    for baseline, sarah, svrg in (("vempala_wibisono", 256, 12544), ("ld", 441, 22201)):
        for method, first in (("sarah", sarah), ("svrg", svrg)):
            wins = [
                evaluations_to_reach(method, n) < evaluations_to_reach(baseline, n)
                for n in squares
            ]
            assert wins == [n >= first for n in squares]


def test_evaluations_count_full_passes_and_pairs_of_batches():
    ld, svrg = METHODS["LD"], METHODS["SVRG-LD"]
    for size in (1, 7, 100):
        root = math.isqrt(size)
        epoch = size + 2 * root * (root - 1)
        assert svrg.evaluations(4 * root, size) == 4 * epoch
        assert svrg.evaluations(4 * root + 1, size) == 4 * epoch + size
    assert svrg.evaluations(0, 7) == 0
    assert svrg.evaluations(9, 1) == ld.evaluations(9, 1) == 9


SIZE, DIM, TEMPERATURE = 16, 3, 0.5


def quadratic_sum():
    """Components of which some are not convex; F has curvatures near 1. With its target, mode and L."""
    rng = np.random.default_rng(3)
    curvatures = 1 + rng.uniform(-1.2, 1.2, size=(SIZE, DIM))
    slopes = rng.normal(size=(SIZE, DIM))
    h = curvatures.mean(axis=0)
    target = Target(
        smoothness=float(np.abs(curvatures).max()),
        lsi_constant=strongly_log_concave(h.min(), TEMPERATURE),
        temperature=TEMPERATURE,
        dim=DIM,
    )
    return curvatures, slopes, target, -slopes.mean(axis=0) / h, TEMPERATURE / h


def largest_ratio(method, step_size, num_steps, shift, **options):
    """max_k KL(rho_k || nu) / bound_k from the start N(mode + shift, T / L); moment-matched KL, never above KL."""
    curvatures, slopes, target, mode, law = quadratic_sum()
    mean, variance = mode + shift, TEMPERATURE / target.smoothness
    start_kl = kl_gaussian_diagonal(mean, variance, mode, law)
    chain = moments.QuadraticChain(
        curvatures,
        slopes,
        mean,
        mean**2 + variance,
        step_size,
        temperature=TEMPERATURE,
        num_steps=num_steps,
    )
    gradients = {name: value for name, value in options.items() if name != "size"}
    exact = chain.ld() if method in LD else getattr(chain, method)(**gradients)
    theorem = theorem_of(method, target, **options)
    ratios = [
        kl_gaussian_diagonal(exact.first[k], exact.variance[k], mode, law)
        / theorem.kl_bound(step_size, k, start_kl)
        for k in range(0, num_steps + 1, max(1, num_steps // 50))
    ]
    return max(ratios)


@pytest.mark.parametrize("fraction", [1.0, 0.3, 0.03])
@pytest.mark.parametrize("method", LD)
def test_theorems_of_ld_hold(method, fraction):
    target = quadratic_sum()[2]
    eta = fraction * theorem_of(method, target).step_size()
    assert largest_ratio(method, eta, 400, 0.0) <= 1
    assert largest_ratio(method, eta, 400, 2.0) <= 1


@pytest.mark.parametrize("fraction", [1.0, 0.1])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    ("batch_size", "period"), [(1, 1), (4, 4), (5, 3), (16, 4), (8, 8), (1, 6), (2, 12)]
)
@pytest.mark.parametrize("method", REDUCED)
def test_theorems_of_svrg_and_sarah_hold(method, batch_size, period, replace, fraction):
    options = {
        "batch_size": batch_size,
        "period": period,
        "size": SIZE,
        "replace": replace,
    }
    if method == "svrg" and batch_size < period:
        with refuses(ValueError, "batch_size"):
            bounds.svrg(quadratic_sum()[2], **options)
        return
    eta = fraction * theorem_of(method, quadratic_sum()[2], **options).step_size()
    assert largest_ratio(method, eta, 600, 1.0, **options) <= 1


def plan_of(
    gap, *, smoothness=1.5, dissipativity=1.0, offset=0.0, dim=2, size=16, scale=1.0
):
    """Strongly convex F of least curvature `scale`; alpha is its curvature over the temperature."""
    return bounds.optimization_plan(
        gap,
        dim,
        smoothness,
        dissipativity,
        offset,
        lambda temperature: strongly_log_concave(scale, temperature),
        size,
    )


def test_temperature_of_theorem_3_and_its_step():
    """gamma as printed; the step of Corollary 1.1, bracket kept, for alpha eps / (8 L)."""
    L, M, b, d, n, epsilon = 1.5, 0.5, 0.7, 2, 16, 0.3
    plan = plan_of(epsilon, smoothness=L, dissipativity=M, offset=b, scale=1.0)
    gamma = max(
        4 * d / epsilon * math.log(math.e * L / M), 8 * d * b / epsilon**2, 1, 2 / M
    )
    alpha, xi = gamma, 1 / (math.sqrt(n) + 1)
    assert plan.beta == pytest.approx(gamma, rel=1e-14)
    assert plan.accuracy == pytest.approx(alpha * epsilon / (8 * L), rel=1e-14)
    expected = 3 * alpha**2 * epsilon / (448 * 8 * L**3 * d * gamma * (4 + xi))
    assert plan.step_size == pytest.approx(expected, rel=1e-13)
    assert (plan.target.smoothness, plan.target.dim, plan.batch_size, plan.period) == (
        L,
        d,
        4,
        4,
    )
    assert (plan.target.lsi_constant, 1 / plan.target.temperature) == pytest.approx(
        (alpha, gamma), rel=1e-14
    )
    # the four terms of gamma, each where it is the largest
    assert plan_of(0.1).beta == pytest.approx(
        4 * 2 / 0.1 * math.log(math.e * 1.5), rel=1e-14
    )
    assert plan_of(1e-3, offset=5.0).beta == pytest.approx(
        8 * 2 * 5.0 / 1e-6, rel=1e-14
    )
    assert plan_of(100.0, dissipativity=1.5).beta == pytest.approx(2 / 1.5, rel=1e-14)
    assert plan_of(1e4, smoothness=4.0, dissipativity=4.0).beta == 1.0


@pytest.mark.parametrize("factor", [4.0, 16.0])
def test_plan_scales_with_the_units_of_the_risk(factor):
    """F -> c F takes the gap to c gap and the step to step / c; the printed step, with L^2, would not."""
    plan = plan_of(0.01, offset=0.01)
    scaled = plan_of(
        0.01 * factor,
        smoothness=1.5 * factor,
        dissipativity=factor,
        offset=0.01 * factor,
        scale=factor,
    )
    assert scaled.beta == pytest.approx(plan.beta / factor, rel=1e-13)
    assert scaled.step_size == pytest.approx(plan.step_size / factor, rel=1e-13)
    assert scaled.accuracy == pytest.approx(plan.accuracy, rel=1e-13)
    assert scaled.gap_bound == pytest.approx(plan.gap_bound * factor, rel=1e-13)


@pytest.mark.parametrize("gap", [1e-3, 0.1, 3.0])
@pytest.mark.parametrize("offset", [0.0, 0.1, 10.0])
@pytest.mark.parametrize("smoothness", [1.0, 1.5, 40.0])
def test_plan_promises_at_most_0_68_of_the_gap(gap, offset, smoothness):
    assert plan_of(gap, smoothness=smoothness, offset=offset).gap_bound <= 0.68 * gap


def test_svrg_reaches_the_gap_in_the_planned_steps():
    """Exact E F(x_K) - min F on a quadratic sum, at the step and the temperature of the plan."""
    rng = np.random.default_rng(4)
    curvatures = rng.uniform(0.8, 1.4, size=(9, 2))
    slopes = rng.normal(size=(9, 2))
    h, smoothness = curvatures.mean(axis=0), float(curvatures.max())
    mode, gap = -slopes.mean(axis=0) / h, 0.5
    plan = bounds.optimization_plan(
        gap,
        2,
        smoothness,
        h.min(),
        0.0,
        lambda temperature: strongly_log_concave(h.min(), temperature),
        9,
    )
    temperature = plan.target.temperature
    mean, variance = mode + 0.5, temperature / smoothness
    start_kl = kl_gaussian_diagonal(mean, variance, mode, temperature / h)
    options = {"batch_size": plan.batch_size, "period": plan.period}
    steps = bounds.svrg(plan.target, **options, size=9).steps_needed(
        plan.step_size, start_kl, plan.accuracy
    )
    chain = moments.QuadraticChain(
        curvatures, slopes, mean, mean**2 + variance, plan.step_size, temperature, steps
    )
    exact = chain.svrg(**options, replace=False)
    risks = np.sum(h * (exact.variance + (exact.first - mode) ** 2), axis=1) / 2
    assert risks[-1] <= plan.gap_bound <= 0.68 * gap
    assert risks[-1] == pytest.approx(temperature, rel=0.05)  # d T / 2, d = 2


@pytest.mark.parametrize(
    ("call", "facts"),
    [
        (
            lambda: bounds.ld(TARGET).kl_bound(0.2, 1, 1.0),
            "step_size 0.2 0.125",
        ),
        (lambda: bounds.ld(TARGET).kl_bound(0.0, 1, 1.0), "step_size 0.0"),
        (lambda: bounds.ld(TARGET).kl_bound(0.1, 1, math.inf), "start_kl inf"),
        (lambda: bounds.ld(TARGET).step_size(accuracy=0.0), "accuracy 0.0"),
        (
            lambda: bounds.ld(TARGET).steps_needed(0.1, 1.0, 0.01),
            "step_size 0.1 0.01",
        ),
        (lambda: bounds.svrg(TARGET, 3, 4, 16), "batch_size 3 4"),
        (lambda: bounds.sarah(TARGET, 17, 4, 16), "batch_size 16"),
        (lambda: bounds.sarah(TARGET, 0, 4, 16), "batch_size 0"),
        (lambda: bounds.sarah(TARGET, 1, 0, 16), "period 0"),
        (
            lambda: bounds.sarah(TARGET.rescaled(8), 1, 1, 16),
            "temperature 2.0 target.rescaled",
        ),
        (
            lambda: bounds.optimization_plan(0.0, 1, 1.0, 1.0, 0.0, lambda t: 1.0, 4),
            "gap 0.0",
        ),
    ],
)
def test_wrong_arguments_are_named(call, facts):
    with refuses(ValueError, facts):
        call()
