"""Leave-one-out errors of the kernel limit, against refits without the row."""

import jax
import numpy as np
from sklearn.kernel_ridge import KernelRidge

from langevax import neurons
from langevax.meanfield.kernel_limit import (
    features_of,
    leave_one_out,
    prior_particles,
    ridge,
    slopes,
)


def data(n=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(30, n)), rng.normal(size=(n, 2))


def refitted_errors(features, targets, weights, alpha, left_out):
    """Mean square error of predicting each row with `left_out[i]` of its weight taken away, by scikit-learn."""
    kernel = features.T @ features / len(features)
    errors = []
    for i in range(len(weights)):
        remaining = weights.copy()
        remaining[i] -= left_out[i]
        used = remaining > 0
        machine = KernelRidge(alpha=alpha, kernel="precomputed")
        machine.fit(
            kernel[np.ix_(used, used)], targets[used], sample_weight=remaining[used]
        )
        errors.append(targets[i] - machine.predict(kernel[[i]][:, used])[0])
    return np.mean(np.average(np.square(errors), axis=0, weights=weights))


def test_errors_are_those_of_refits():
    features, targets = data()
    choice = leave_one_out(features, targets, np.ones(12))
    for k in (20, 40, 60):
        expected = refitted_errors(
            features, targets, np.ones(12), choice.alphas[k], np.ones(12)
        )
        np.testing.assert_allclose(choice.errors[k], expected, rtol=1e-8)


def test_a_row_of_weight_w_is_w_rows_and_a_light_one_is_left_out_whole():
    features, targets = data()
    weights = np.array([1, 3, 2, 1, 0.5, 0.2, 1, 1, 4, 1, 0.9, 2.5])
    choice = leave_one_out(features, targets, weights)
    for k in (20, 50):
        expected = refitted_errors(
            features, targets, weights, choice.alphas[k], np.minimum(weights, 1)
        )
        np.testing.assert_allclose(choice.errors[k], expected, rtol=1e-8)


def test_whole_rows_are_left_out_whatever_their_weights():
    features, targets = data()
    weights = np.array([1, 3, 2, 1, 0.5, 0.2, 1, 1, 4, 1, 0.9, 2.5])
    choice = leave_one_out(features, targets, weights, copies=np.ones(12))
    for k in (20, 50):
        expected = refitted_errors(
            features, targets, weights, choice.alphas[k], weights
        )
        np.testing.assert_allclose(choice.errors[k], expected, rtol=1e-8)


def test_of_equally_good_penalties_the_largest_is_taken():
    features, _ = data()
    choice = leave_one_out(features, np.zeros((12, 1)), np.ones(12))
    assert choice.alpha == choice.alphas[-1]


def test_features_have_the_kernel_of_the_prior():
    """E tanh(a)^2 E tanh(<w, x> + b) tanh(<w, x'> + b) by quadrature; 4.5 standard errors."""
    inputs, variance, scale = np.array([[0.5, -0.2], [0.3, 0.9]]), 1.3, 2.0
    neuron, x = neurons.TanhTanh(scale, 3), np.float32(inputs)
    drawn = prior_particles(
        neuron, 2, 2, variance, 200_000, x.dtype, key=jax.random.key(0)
    )
    features = features_of(neuron, drawn, x)
    products = (
        np.asarray(features, np.float64)[:, 0] * np.asarray(features, np.float64)[:, 1]
    )
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    mass = mass / mass.sum()
    root = np.linalg.cholesky(variance * (inputs @ inputs.T + 1))
    u = root[0, 0] * nodes[:, None]
    v = root[1, 0] * nodes[:, None] + root[1, 1] * nodes[None]
    outer = np.sum(mass * np.tanh(np.sqrt(variance) * nodes) ** 2)
    expected = scale**2 * outer * np.sum(np.outer(mass, mass) * np.tanh(u) * np.tanh(v))
    error = products.std() / np.sqrt(len(products))
    assert abs(products.mean() - expected) < 4.5 * error < 0.05 * abs(expected)


def test_ridge_is_that_of_scikit_learn():
    features, targets = data()
    weights = np.random.default_rng(1).uniform(0.5, 3, 12)
    machine = KernelRidge(alpha=0.3, kernel="precomputed").fit(
        features.T @ features / 30, targets, weights
    )
    new = np.random.default_rng(2).normal(size=(30, 5))
    expected = machine.predict(new.T @ features / 30)
    np.testing.assert_allclose(
        new.T @ ridge(features, targets, weights, 0.3), expected, rtol=1e-8
    )


def test_slopes_are_those_of_the_formula():
    """d/dx sum_r b_r R tanh(<w_r, x> + c_r) = sum_r b_r R (1 - tanh^2) w_r, for two outputs."""
    rng = np.random.default_rng(0)
    particles, inputs, coefficients = (
        rng.normal(size=(30, 4)),
        rng.normal(size=(7, 3)),
        rng.normal(size=(30, 2)),
    )
    inner = np.tanh(inputs @ particles[:, :3].T + particles[:, 3])
    expected = np.einsum(
        "rk,nr,rj->knj", coefficients, 2.0 * (1 - inner**2), particles[:, :3]
    )
    with jax.enable_x64():
        np.testing.assert_allclose(
            slopes(neurons.Tanh(2.0), particles, inputs, coefficients),
            expected,
            rtol=1e-10,
        )
