"""State evolution of linear classifiers against fitted ones, and against the formula for ridge."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from langevax.theory.feature_learning import (
    GaussianDesign,
    classify_gaussian_design,
    errors_gaussian_design,
)
from tests.errorbars import assert_mean
from tests.sentences import refuses

SIZE, SAMPLES, RIDGE, NOISE = 60, 150, 0.02, 0.3


def random_design():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(SIZE, SIZE)) / np.sqrt(SIZE)
    covariance = mixing @ mixing.T + 0.1 * np.eye(SIZE)
    best = rng.normal(size=SIZE) / np.sqrt(SIZE)
    return GaussianDesign(
        covariance, covariance @ best, 1.2 * best @ covariance @ best
    ), best


def test_the_squared_loss_is_ridge_regression_on_the_labels():
    """E sign(t + noise xi) g = sqrt(2 / pi) Psi / R^(1/2)."""
    design, _ = random_design()
    scale = np.sqrt(2 / np.pi / (design.target_variance + NOISE**2))
    ridge = errors_gaussian_design(
        GaussianDesign(design.covariance, scale * design.target_covariance, 1.0),
        SAMPLES,
        RIDGE,
    )
    equivalent = classify_gaussian_design(design, SAMPLES, RIDGE, "squared", NOISE)
    assert equivalent.training_loss == pytest.approx(ridge.training_error, rel=1e-7)
    assert 1 - 2 * scale * equivalent.overlap + equivalent.length**2 == pytest.approx(
        ridge.risk, rel=1e-7
    )


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_fitted_classifiers_have_this_error_and_loss(loss):
    """scikit-learn's sum of losses times C plus |w|^2 / 2: C = 1 / (2 n ridge)."""
    design, best = random_design()
    root = np.linalg.cholesky(design.covariance)
    unexplained = design.target_variance - best @ design.target_covariance
    equivalent = classify_gaussian_design(design, SAMPLES, RIDGE, loss, NOISE)
    C = 1 / (2 * SAMPLES * RIDGE)
    if loss == "logistic":
        fitted, of_margin = (
            LogisticRegression(C=C, fit_intercept=False, tol=1e-8),
            lambda z: np.logaddexp(0, -z),
        )
    else:
        fitted = LinearSVC(
            C=C,
            loss="hinge",
            fit_intercept=False,
            dual=True,
            tol=1e-6,
            max_iter=100_000,
            random_state=0,
        )
        of_margin = lambda z: np.maximum(1 - z, 0)
    rng = np.random.default_rng(1)
    measured = []
    for _ in range(100):
        g = rng.normal(size=(SAMPLES, SIZE)) @ root.T
        labels = np.sign(
            g @ best + np.sqrt(unexplained + NOISE**2) * rng.normal(size=SAMPLES)
        )
        w = fitted.fit(g, labels).coef_[0]
        overlap, length = (
            w @ design.target_covariance,
            np.sqrt(w @ design.covariance @ w),
        )
        error = np.arccos(overlap / length / np.sqrt(design.target_variance)) / np.pi
        measured.append((error, np.mean(of_margin(labels * (g @ w))), length, overlap))
    for samples, expected in zip(zip(*measured, strict=True), equivalent, strict=True):
        assert_mean(samples, expected, slack=0.02 * expected, wrong=1.5 * expected)


def test_meaningless_arguments_are_refused():
    design, _ = random_design()
    with refuses(ValueError, "loss 'exponential'"):
        classify_gaussian_design(design, SAMPLES, RIDGE, "exponential")
    with refuses(ValueError, "ridge 0"):
        classify_gaussian_design(design, SAMPLES, 0.0)
