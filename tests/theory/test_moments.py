"""The moment recursions against exact enumeration of all batches, simulation, and each other."""

import itertools

import numpy as np
import pytest

from langevax.theory import moments
from tests.papers import transcripts
from tests.sentences import refuses

STEP_SIZE, TEMPERATURE = 0.3, 0.7


def random_components(size, d, seed=0):
    """Curvatures, one of them negative, and slopes correlated with them."""
    rng = np.random.default_rng(seed)
    curvatures = rng.normal(1.0, 0.8, size=(size, d))
    curvatures[0] = -0.5
    return curvatures, 0.7 * curvatures + rng.normal(size=(size, d))


def run_transcript(method, oracle, size, start, period, batches, noises):
    gamma = 1 / TEMPERATURE
    if method == "sgld":
        return transcripts.sgld(oracle, start, STEP_SIZE, gamma, batches, noises)
    if method == "ld":
        batches = [np.arange(size)] * len(noises)
        return transcripts.sgld(oracle, start, STEP_SIZE, gamma, batches, noises)
    transcript = {"svrg": transcripts.svrg_ld, "sarah": transcripts.sarah_ld}[method]
    return transcript(oracle, size, start, STEP_SIZE, gamma, period, batches, noises)


def recursion(
    method,
    curvatures,
    slopes,
    mean,
    second,
    *,
    num_steps,
    batch_size=1,
    period=1,
    replace=False,
):
    chain = moments.QuadraticChain(
        curvatures, slopes, mean, second, STEP_SIZE, TEMPERATURE, num_steps
    )
    options = {} if method == "ld" else {"batch_size": batch_size, "replace": replace}
    if method in ("svrg", "sarah"):
        options |= {"period": period}
    return getattr(chain, method)(**options)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("method", ["ld", "sgld", "svrg", "sarah"])
def test_moments_are_the_average_over_all_batches_and_noises(method, replace):
    """Given its batches a run is linear in (1, x_0, xi_0, xi_1, ...), so the transcript runs on coefficients.

    The noise is then integrated exactly through the second moments of that vector, and the batches are
    enumerated: all of them at the steps that read one.
    """
    size, batch_size, period, num_steps = 3, 2, 3, 4 if replace else 5
    mean, second = 0.8, 1.9
    curvatures, slopes = random_components(size, 1)
    one, start, *noises = np.eye(2 + num_steps)
    gram = np.eye(2 + num_steps)
    gram[1, 1], gram[0, 1], gram[1, 0] = second, mean, mean

    def oracle(coefficients, indices):
        return curvatures[indices].mean() * coefficients + slopes[indices].mean() * one

    draws = (
        itertools.product(range(size), repeat=2)
        if replace
        else itertools.combinations(range(size), 2)
    )
    draws = [list(draw) for draw in draws]
    reads = {"ld": [], "sgld": range(num_steps)}.get(
        method, [k for k in range(num_steps) if k % period]
    )
    first, squares = [], []
    for chosen in itertools.product(draws, repeat=len(reads)):
        batches = [None] * num_steps
        for step, batch in zip(reads, chosen, strict=True):
            batches[step] = batch
        runs = run_transcript(method, oracle, size, start, period, batches, noises)
        first.append(runs @ gram[0])
        squares.append(np.einsum("ki,ij,kj->k", runs, gram, runs))
    exact = recursion(
        method,
        curvatures,
        slopes,
        np.array([mean]),
        np.array([second]),
        num_steps=num_steps,
        batch_size=batch_size,
        period=period,
        replace=replace,
    )
    np.testing.assert_allclose(exact.first[:, 0], np.mean(first, axis=0), rtol=1e-12)
    np.testing.assert_allclose(exact.second[:, 0], np.mean(squares, axis=0), rtol=1e-12)


@pytest.mark.parametrize("method", ["ld", "sgld", "svrg", "sarah"])
def test_moments_lie_within_the_error_of_simulated_chains(method):
    """40,000 chains of the transcripts in two coordinates; |z| < 4 for both moments at the last steps."""
    size, batch_size, period, num_steps, chains = 5, 2, 4, 11, 40_000
    curvatures, slopes = random_components(size, 2, seed=1)
    rng = np.random.default_rng(2)
    start = np.array([1.0, -2.0]) + rng.normal(size=(chains, 2))
    noises = rng.normal(size=(num_steps, chains, 2))
    batches = rng.random((num_steps, chains, size)).argsort(axis=-1)[..., :batch_size]

    def oracle(x, indices):
        return curvatures[indices].mean(axis=-2) * x + slopes[indices].mean(axis=-2)

    runs = run_transcript(method, oracle, size, start, period, batches, noises)[
        -period:
    ]
    exact = recursion(
        method,
        curvatures,
        slopes,
        np.array([1.0, -2.0]),
        np.array([2.0, 5.0]),
        num_steps=num_steps,
        batch_size=batch_size,
        period=period,
    )
    for power, expected in ((1, exact.first), (2, exact.second)):
        sample = runs**power
        z = (sample.mean(axis=1) - expected[-period:]) / (
            sample.std(axis=1) / np.sqrt(chains)
        )
        assert np.abs(z).max() < 4


def test_means_shrink_alike_for_all_methods():
    """E x_k = x* + (1 - eta h)^k (E x_0 - x*)."""
    curvatures, slopes = random_components(6, 3)
    mean = np.array([2.0, -1.0, 0.5])
    optimum, shrink = (
        -slopes.mean(0) / curvatures.mean(0),
        1 - STEP_SIZE * curvatures.mean(0),
    )
    expected = optimum + shrink ** np.arange(21)[:, None] * (mean - optimum)
    for method in ("ld", "sgld", "svrg", "sarah"):
        exact = recursion(
            method,
            curvatures,
            slopes,
            mean,
            mean**2 + 1,
            num_steps=20,
            batch_size=2,
            period=7,
        )
        np.testing.assert_allclose(exact.first, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", ["equal curvatures", "full batches", "period one"])
@pytest.mark.parametrize("method", ["svrg", "sarah"])
def test_variance_reduction_is_exactly_ld(method, case):
    curvatures, slopes = random_components(6, 3)
    options = {"batch_size": 2, "period": 5}
    if case == "equal curvatures":
        curvatures = np.ones_like(curvatures)
    elif case == "full batches":
        options["batch_size"] = 6
    else:
        options["period"] = 1
    start = np.array([1.0, -1.0, 0.5]), np.array([2.0, 3.0, 0.25])
    exact = recursion(method, curvatures, slopes, *start, num_steps=12, **options)
    plain = recursion("ld", curvatures, slopes, *start, num_steps=12)
    np.testing.assert_allclose(exact.second, plain.second, rtol=1e-14, atol=1e-14)


def test_sgld_with_full_batches_is_ld_and_its_noise_is_not_cancelled_by_equal_curvatures():
    curvatures, slopes = random_components(6, 3)
    start = np.array([1.0, -1.0, 0.5]), np.array([2.0, 3.0, 0.25])
    plain = recursion("ld", curvatures, slopes, *start, num_steps=12)
    full = recursion("sgld", curvatures, slopes, *start, num_steps=12, batch_size=6)
    np.testing.assert_array_equal(full.second, plain.second)
    equal = recursion(
        "sgld", np.ones_like(curvatures), slopes, *start, num_steps=1, batch_size=2
    )
    plain = recursion("ld", np.ones_like(curvatures), slopes, *start, num_steps=1)
    expected = STEP_SIZE**2 * slopes.var(axis=0) * (6 - 2) / (2 * 5)
    np.testing.assert_allclose(
        equal.variance[1] - plain.variance[1], expected, rtol=1e-12
    )


def settled_excess(
    method,
    curvatures,
    slopes,
    *,
    step_size,
    temperature,
    num_epochs=400,
    period=1,
    **options,
):
    """(variance - LD's variance) / target variance at the end of the last epoch, from a start at LD's own law."""
    h, steps = curvatures.mean(axis=0), num_epochs * period
    mean, settled = -slopes.mean(axis=0) / h, temperature / h / (1 - step_size * h / 2)
    chain = moments.QuadraticChain(
        curvatures, slopes, mean, mean**2 + settled, step_size, temperature, steps
    )
    if method != "sgld":
        options |= {"period": period}
    return (getattr(chain, method)(**options).variance[-1] - settled) / (
        temperature / h
    )


SPREAD = np.array([[0.2, 1.5], [2.2, 0.5], [0.6, 1.0], [1.0, 1.0]])  # mean 1


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("period", [2, 5])
def test_excess_variance_of_svrg_and_sarah_to_leading_order(period, replace):
    """Within 5 % at period eta h <= 0.01; their ratio is (2 period - 1) / 3."""
    options = {
        "step_size": 0.002,
        "batch_size": 2,
        "period": period,
        "replace": replace,
    }
    epochs = 4000 // period
    slopes = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    measured = {
        method: settled_excess(
            method, SPREAD, slopes, temperature=0.4, num_epochs=epochs, **options
        )
        for method in ("svrg", "sarah")
    }
    factor = moments.batch_variance_factor(len(SPREAD), 2, replace=replace)
    svrg = factor * SPREAD.var(axis=0) * options["step_size"] ** 2 * (period - 1) / 2
    np.testing.assert_allclose(measured["svrg"], svrg, rtol=0.05)
    np.testing.assert_allclose(
        measured["sarah"], svrg * (2 * period - 1) / 3, rtol=0.05
    )
    np.testing.assert_allclose(
        measured["sarah"] / measured["svrg"], (2 * period - 1) / 3, rtol=0.05
    )


@pytest.mark.parametrize("replace", [False, True])
def test_excess_variance_of_sgld_to_leading_order(replace):
    """step_size Xi Var(grad f_i) / (2 temperature), the variance over components under the target.

    With slopes correlated with the curvatures, so that the cross term 2 cov(a, c) E x matters.
    """
    slopes = 2 * SPREAD + np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    options = {
        "step_size": 0.002,
        "temperature": 0.4,
        "batch_size": 2,
        "replace": replace,
    }
    measured = settled_excess("sgld", SPREAD, slopes, num_epochs=4000, **options)
    (h, c), temperature = (
        (SPREAD.mean(axis=0), slopes.mean(axis=0)),
        options["temperature"],
    )
    mean, covariance = -c / h, np.mean(SPREAD * slopes, axis=0) - h * c
    variance = (
        SPREAD.var(axis=0) * (mean**2 + temperature / h)
        + 2 * covariance * mean
        + slopes.var(axis=0)
    )
    factor = moments.batch_variance_factor(len(SPREAD), 2, replace=replace)
    np.testing.assert_allclose(
        measured,
        options["step_size"] * factor * variance / (2 * temperature),
        rtol=0.02,
    )


def test_excess_of_svrg_is_of_second_order_in_the_step_and_that_of_sgld_of_first():
    slopes = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    options = {"temperature": 0.4, "batch_size": 1, "replace": True}
    for method, power in (("svrg", 2), ("sgld", 1)):
        extra = {"period": 4} if method == "svrg" else {}
        coarse, fine = (
            settled_excess(
                method,
                SPREAD,
                slopes,
                step_size=eta,
                num_epochs=round(8 / eta),
                **options,
                **extra,
            )
            for eta in (0.008, 0.004)
        )
        np.testing.assert_allclose(coarse / fine, 2**power, rtol=0.03)


def test_batch_variance_factor_is_the_variance_over_all_batches():
    values = np.array([0.3, -1.0, 2.0, 5.0])
    for batch_size in (1, 2, 3, 4):
        without = [
            np.mean(batch) for batch in itertools.combinations(values, batch_size)
        ]
        factor = moments.batch_variance_factor(4, batch_size, replace=False)
        assert np.var(without) == pytest.approx(
            factor * values.var(), rel=1e-12, abs=1e-15
        )
        with_replacement = [
            np.mean(batch) for batch in itertools.product(values, repeat=batch_size)
        ]
        factor = moments.batch_variance_factor(4, batch_size, replace=True)
        assert np.var(with_replacement) == pytest.approx(
            factor * values.var(), rel=1e-12
        )
    assert moments.batch_variance_factor(1, 1, replace=False) == 0
    with refuses(ValueError, "batch_size"):
        moments.batch_variance_factor(4, 5, replace=False)


def test_evaluations_per_epoch_are_what_the_transcripts_ask_for():
    size, batch_size, period = 7, 3, 5
    count = 0

    def oracle(x, indices):
        nonlocal count
        count += len(indices)
        return x

    batches, noises = [np.arange(batch_size)] * period, np.zeros((period, 1))
    for transcript in (transcripts.svrg_ld, transcripts.sarah_ld):
        count = 0
        transcript(oracle, size, np.zeros(1), 0.1, 1.0, period, batches, noises)
        assert count == size + 2 * batch_size * (period - 1) == 31
