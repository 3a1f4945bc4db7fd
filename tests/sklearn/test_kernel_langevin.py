"""The law that the kernel Langevin estimators sample: against closed forms, brute force and scikit-learn."""

import numpy as np
import pytest
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from langevax.sklearn import KernelLangevinClassifier, KernelLangevinRegressor
from langevax.sklearn.kernel_langevin.evidence import (
    fit_labels,
    fit_numbers,
    fit_robust,
)
from tests.errorbars import assert_mean

KERNEL = ConstantKernel(1.5) * RBF(0.4)
NOISE = 0.4


def wave(n=60, noise=NOISE, seed=0):
    """Noisy values of a wave on [-1, 1]."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 1))
    return X, 3 + 2 * np.sin(4 * X[:, 0]) + noise * rng.normal(size=n)


GRID = np.linspace(-1.6, 1.6, 9)[:, None]  # beyond the rows, too


def closed_form(noise=NOISE, kernel=KERNEL):
    """(mean, deviation) of the Gaussian process on the grid."""
    X, y = wave()
    process = GaussianProcessRegressor(
        kernel, alpha=(noise / y.std()) ** 2, normalize_y=True, optimizer=None
    )
    return process.fit(X, y).predict(GRID, return_std=True)


def replicates(count=8, seed=0, **settings):
    """(count, grid) means and deviations of independent fits."""
    X, y = wave()
    settings = {"kernel": KERNEL, "noise": NOISE, "num_samples": 200} | settings
    fits = [
        KernelLangevinRegressor(**settings, random_state=seed + i).fit(X, y)
        for i in range(count)
    ]
    return (
        np.stack(part)
        for part in zip(
            *(fit.predict(GRID, return_std=True) for fit in fits), strict=True
        )
    )


def test_squared_loss_is_gaussian_process_regression():
    """Mean and deviation to within their error bars: draws are independent."""
    means, deviations = replicates()
    mean, deviation = closed_form()
    other_mean, other_deviation = closed_form(noise=np.sqrt(2) * NOISE)
    assert_mean(means, mean, wrong=other_mean)
    assert_mean(deviations, deviation, slack=0.003 * deviation, wrong=other_deviation)


def test_row_weights_divide_the_variance_of_the_noise():
    X, y = wave()
    weights = np.random.default_rng(3).integers(0, 4, len(X)).astype(float)
    used = weights > 0
    settings = {
        "kernel": KERNEL,
        "noise": NOISE,
        "normalize_y": False,
        "num_samples": 1000,
    }
    model = KernelLangevinRegressor(**settings, random_state=0).fit(X, y - 3, weights)
    process = GaussianProcessRegressor(
        KERNEL, alpha=NOISE**2 / weights[used], optimizer=None
    )
    mean, deviation = process.fit(X[used], y[used] - 3).predict(GRID, return_std=True)
    drawn_mean, drawn_deviation = model.predict(GRID, return_std=True)
    np.testing.assert_allclose(
        drawn_mean, mean, atol=5 * deviation.max() / np.sqrt(4000)
    )
    np.testing.assert_allclose(
        drawn_deviation / deviation, 1, atol=5 / np.sqrt(2 * 4000)
    )


def gibbs(X, y, kernel, noise, degrees, num_draws):
    """(draws, rows) of the function given y with Student noise, by Gibbs steps of weights and function in NumPy.

    Noise of Student's law is normal, of precision w / noise^2 with w of a gamma law (Geweke 1993).
    """
    rng, gram = np.random.default_rng(7), kernel(X)
    w, draws = np.ones(len(y)), []
    for _ in range(num_draws + 20):
        factor = gram @ np.linalg.inv(gram + np.diag(noise**2 / w))
        covariance = gram - factor @ gram
        root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(y)))
        f = factor @ y + root @ rng.normal(size=len(y))
        w = rng.gamma((degrees + 1) / 2, 2 / (degrees + ((y - f) / noise) ** 2))
        draws.append(f)
    return np.array(draws[20:])


@pytest.mark.slow
def test_student_noise_has_the_posterior_of_a_gibbs_sampler():
    """Of outliers, which would pull the function by several deviations if the noise were normal."""
    X, y = wave(40, noise=0.3)
    y = y - 3
    y[::8] += 4.0
    settings = {
        "kernel": KERNEL,
        "noise": 0.3,
        "normalize_y": False,
        "num_samples": 500,
    }
    model = KernelLangevinRegressor(**settings, loss="student", random_state=0).fit(
        X, y
    )
    assert model.history_["method"] == "pcnl"
    reference = gibbs(X, y, KERNEL, 0.3, 4.0, 4000)
    mean, deviation = model.predict(X, return_std=True)
    squared, _ = (
        KernelLangevinRegressor(**settings, random_state=0)
        .fit(X, y)
        .predict(X, return_std=True)
    )
    effective = model.summary()["ess_bulk"].min()
    error = 5 * np.sqrt(1 / effective + 1 / 1000)
    np.testing.assert_array_less(
        np.abs(mean - reference.mean(0)) / reference.std(0), error
    )
    np.testing.assert_allclose(deviation / reference.std(0), 1, atol=error)
    assert np.abs((squared - reference.mean(0)) / reference.std(0)).max() > 3 * error


def test_what_the_basis_leaves_out_keeps_its_prior_variance():
    """Two modes: bands are no narrower than the closed form's, and those of the prior far away."""
    X, y = wave()
    fit = KernelLangevinRegressor(KERNEL, noise=NOISE, num_modes=2, random_state=0).fit(
        X, y
    )
    _, deviation = closed_form()
    _, truncated = fit.predict(np.vstack([GRID, [[50.0]]]), return_std=True)
    assert np.all(truncated[:-1] > 0.9 * deviation)
    assert truncated[-1] == pytest.approx(np.sqrt(1.5) * y.std(), rel=1e-6)


def test_functions_are_drawn_jointly():
    """Their covariance is that of the Gaussian process, far from the rows too, where the basis says nothing."""
    X, y = wave()
    process = GaussianProcessRegressor(
        KERNEL, alpha=(NOISE / y.std()) ** 2, normalize_y=True, optimizer=None
    )
    grid = 3 * GRID
    _, covariance = process.fit(X, y).predict(grid, return_cov=True)
    fit = KernelLangevinRegressor(
        KERNEL, noise=NOISE, num_samples=1000, random_state=0
    ).fit(X, y)
    drawn = fit.sample_functions(grid, 4000, random_state=0)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(
        np.cov(drawn.T) / scale / scale[:, None],
        covariance / scale / scale[:, None],
        atol=0.12,
    )
    assert np.array_equal(
        fit.sample_functions(GRID, 3, random_state=1),
        fit.sample_functions(GRID, 3, random_state=1),
    )


@pytest.mark.slow
def test_student_and_huber_give_up_outliers_where_squares_do_not():
    X, y = wave(noise=0.2)
    truth = 3 + 2 * np.sin(4 * GRID[2:-2, 0])
    y[::8] += 30.0
    errors = {}
    for loss in ("squared", "huber", "student"):
        fit = KernelLangevinRegressor(
            KERNEL, loss=loss, num_samples=100, random_state=0
        ).fit(X, y)
        errors[loss] = np.sqrt(np.mean((fit.predict(GRID[2:-2]) - truth) ** 2))
    assert errors["student"] < 0.2
    assert errors["huber"] < 0.4
    assert errors["squared"] > 5 * errors["student"]


@pytest.mark.slow
def test_bands_hold_the_function_as_often_as_they_say():
    """Functions and noise drawn from the model, twelve data sets: 90 %; and half of new observations in 50 % bands."""
    rng = np.random.default_rng(0)
    X = np.linspace(-1, 1, 40)[:, None]
    root = np.linalg.cholesky(KERNEL(X) + 1e-9 * np.eye(40))
    functions, observations = [], []
    for seed in range(12):
        f = root @ rng.normal(size=40)
        y, new = (f + 0.5 * rng.normal(size=40) for _ in range(2))
        settings = {
            "kernel": KERNEL,
            "noise": 0.5,
            "normalize_y": False,
            "num_samples": 100,
            "random_state": seed,
        }
        fit = KernelLangevinRegressor(**settings).fit(X, y)
        (low, high), (less, more) = (
            fit.interval(X).T,
            fit.interval(X, 0.5, noise=True).T,
        )
        functions.append(np.mean((low < f) & (f < high)))
        observations.append(np.mean((less < new) & (new < more)))
    assert_mean(functions, 0.9, slack=0.01, wrong=0.5)
    assert_mean(observations, 0.5, slack=0.01, wrong=0.15)


def by_brute_force(num_classes, X, y, grid, kernel):
    """Exact probabilities: functions drawn from the prior, weighted by their likelihood."""
    rng = np.random.default_rng(0)
    points = np.vstack([X, grid])
    root = np.linalg.cholesky(kernel(points) + 1e-9 * np.eye(len(points)))
    if num_classes == 2:
        f = root @ rng.normal(size=(len(points), 400_000))
        logs = log_expit((2.0 * y - 1)[:, None] * f[: len(X)]).sum(0)
        probabilities = expit(f[len(X) :])
    else:
        f = np.stack(
            [
                root @ rng.normal(size=(len(points), 200_000))
                for _ in range(num_classes)
            ],
            -1,
        )
        logs = sum(log_softmax(f[i], axis=-1)[:, y[i]] for i in range(len(X)))
        probabilities = softmax(f[len(X) :], axis=-1)[..., 1]
    weights = np.exp(logs - logs.max())
    return probabilities @ (weights / weights.sum())


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [2, pytest.param(3, marks=pytest.mark.long)])
def test_probabilities_are_those_of_the_exact_posterior(num_classes):
    """Six rows, where brute force is exact to 0.003; Laplace's approximation is 0.03 off."""
    X = np.array([-1.0, -0.6, -0.2, 0.1, 0.5, 1.0])[:, None]
    y = np.array([0, 0, 1, 1, 0, 1] if num_classes == 2 else [0, 0, 1, 1, 2, 2])
    grid, kernel = np.linspace(-1, 1.5, 6)[:, None], ConstantKernel(9.0) * RBF(0.5)
    exact = by_brute_force(num_classes, X, y, grid, kernel)
    fits = [
        KernelLangevinClassifier(kernel, num_samples=250, random_state=i).fit(X, y)
        for i in range(8)
    ]
    probabilities = np.stack([fit.predict_proba(grid)[:, 1] for fit in fits])
    assert_mean(probabilities, exact, slack=0.012)
    milder = by_brute_force(num_classes, X, y, grid, ConstantKernel(2.0) * RBF(0.5))
    assert np.abs(milder - exact).max() > 0.05  # a wrong scale would be seen


@pytest.mark.slow
def test_probabilities_are_near_those_of_laplace():
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (100, 2))
    y = (rng.uniform(size=100) < expit(4 * X[:, 0] + 3 * X[:, 1] ** 2 - 1)).astype(int)
    kernel = ConstantKernel(4.0) * RBF(0.7)
    laplace = (
        GaussianProcessClassifier(kernel, optimizer=None).fit(X, y).predict_proba(X)
    )
    classifier = KernelLangevinClassifier(kernel, random_state=0).fit(X, y)
    np.testing.assert_allclose(classifier.predict_proba(X), laplace, atol=0.06)
    low, high = np.moveaxis(classifier.interval(X), -1, 0)
    assert np.all(low < high)
    assert np.mean((low[:, 1] < laplace[:, 1]) & (laplace[:, 1] < high[:, 1])) > 0.95


def test_evidence_is_that_of_scikit_learn():
    X, y = wave()
    y = (y - y.mean()) / y.std()
    for word, shape in (("rbf", RBF()), ("matern", Matern(nu=1.5))):
        fitted = fit_numbers(word, X, y, np.ones(60), None)
        process = GaussianProcessRegressor(
            ConstantKernel() * shape + WhiteKernel(0.1),
            n_restarts_optimizer=2,
            random_state=0,
        )
        best = -2 * process.fit(X, y).log_marginal_likelihood_value_ - 60 * np.log(
            2 * np.pi
        )
        assert best - 0.01 < fitted.cost < best + 0.2
    labels = np.random.default_rng(0).uniform(size=60) < expit(5 * X[:, 0])
    kernel = fit_labels("rbf", X, labels, np.ones(60))
    process = GaussianProcessClassifier(kernel).fit(X, labels)
    best = process.log_marginal_likelihood_value_
    assert best - 0.1 < process.log_marginal_likelihood(kernel.theta) <= best + 1e-6


def test_rows_of_weight_two_are_two_rows_to_the_evidence():
    X, y = wave(20)
    y = y - y.mean()
    twice = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    one = fit_numbers(KERNEL, X, y, np.full(20, 2.0), None)
    two = fit_numbers(KERNEL, *twice, np.ones(40), 0.4)
    again = fit_numbers(KERNEL, X, y, np.full(20, 2.0), 0.4)
    assert one.noise > 0
    # n log s^2 and the squares within pairs, which are 0, are what a merged row cannot know
    assert two.cost - again.cost == pytest.approx(20 * np.log(0.4**2), rel=1e-6)
    labels = (y > 0).astype(int)
    weighted, repeated = (
        fit_labels("rbf", *a)
        for a in (
            (X, labels, np.full(20, 2.0)),
            (twice[0], (twice[1] > 0).astype(int), np.ones(40)),
        )
    )
    np.testing.assert_allclose(weighted.theta, repeated.theta, rtol=1e-3)


def test_the_robust_noise_is_that_of_the_bulk():
    X, y = wave(300, noise=0.3)
    y[::10] += 50.0
    fitted = fit_robust("rbf", X, y - np.median(y), np.ones(300), None)
    assert 0.25 < fitted.noise < 0.4
