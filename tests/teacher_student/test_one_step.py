"""The one-step experiment against a NumPy transcript that holds all its samples, and what it says of bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from langevax.teacher_student import simulate_one_step
from langevax.teacher_student.errors import ROWS_PER_BLOCK as BLOCK
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling


def quadratic(x):
    return x + (x**2 - 1) / 2


DIM, NEURONS, NOISE, STEP, RIDGES = 12, 18, 0.3, 2.5, (0.5, 1e-3)
FIT, GRADIENT, TEST = BLOCK + 80, 600, 2000
SETTING = {
    "dim": DIM,
    "neurons_per_dim": NEURONS / DIM,
    "samples_per_dim": FIT / DIM,
    "num_test": TEST,
    "noise": NOISE,
    "gradient_samples_per_dim": GRADIENT / DIM,
    "step_size": STEP,
    "student": jnp.tanh,
    "teacher": quadratic,
}


def drawn(key, size):
    """`size` inputs with noise, as blocks of the experiment's keys hold them."""
    x, noise = [], []
    for block in range(-(-size // BLOCK)):
        keys = random.split(random.fold_in(key, block))
        x.append(random.normal(keys[0], (BLOCK, DIM), jnp.float64))
        noise.append(random.normal(keys[1], (BLOCK,), jnp.float64))
    return np.concatenate(x)[:size], NOISE * np.concatenate(noise)[:size]


def transcript(key):
    """(weights, risks, training errors) of one network: Ba et al., Section 2."""
    start, ridge_key, step_key = random.split(key, 3)
    readout_key, weights_key = random.split(start)
    W = np.asarray(random.normal(weights_key, (DIM, NEURONS), jnp.float64)) / np.sqrt(
        DIM
    )
    a = np.asarray(random.normal(readout_key, (NEURONS,), jnp.float64)) / np.sqrt(
        NEURONS
    )
    x, noise = drawn(step_key, GRADIENT)
    residual = quadratic(x[:, 0]) + noise - np.tanh(x @ W) @ a / NEURONS**0.5
    slopes = np.outer(residual / NEURONS**0.5, a) * (1 - np.tanh(x @ W) ** 2)
    W = W + STEP * NEURONS**0.5 * x.T @ slopes / GRADIENT
    fit_key, test_key = random.split(ridge_key)
    x, noise = drawn(fit_key, FIT)
    y, features = quadratic(x[:, 0]) + noise, np.tanh(x @ W)
    new, _ = drawn(test_key, TEST)
    risks, training = [], []
    for ridge in RIDGES:
        w = np.linalg.solve(
            features.T @ features / FIT + ridge * np.eye(NEURONS), features.T @ y / FIT
        )
        training.append(np.mean((y - features @ w) ** 2))
        risks.append(np.mean((np.tanh(new @ W) @ w - quadratic(new[:, 0])) ** 2))
    return W, risks, training


@pytest.mark.slow
def test_every_number_is_the_transcripts():
    runs = simulate_one_step(
        key=random.key(3),
        ridge=RIDGES,
        num_runs=2,
        **SETTING,
    )
    assert runs.risk.shape == (2, 2)
    assert runs.risk.dtype == np.float64
    singular_values = runs.singular_values
    with jax.enable_x64():
        for i, key in enumerate(random.split(random.key(3), 2)):
            W, risks, training = transcript(key)
            np.testing.assert_allclose(runs.weights[i], W, rtol=0, atol=1e-12)
            np.testing.assert_allclose(runs.risk[i], risks, rtol=1e-10)
            np.testing.assert_allclose(runs.training_error[i], training, rtol=1e-10)
            cosines = W[0] / np.linalg.norm(W, axis=0)
            np.testing.assert_allclose(
                runs.alignment[i, -1], np.sqrt(np.mean(cosines**2)), rtol=1e-12
            )
            values = np.linalg.svd(W, compute_uv=False)
            np.testing.assert_allclose(singular_values[i], values, rtol=1e-7)


@pytest.mark.slow
def test_the_same_key_draws_the_same_networks_for_every_step_size_and_readout():
    common = SETTING | {"ridge": 0.1, "num_runs": 3}
    still, constant = (
        simulate_one_step(key=random.key(0), **common | changed)
        for changed in (
            {"step_size": 0.0},
            {"step_size": 0.0, "readout": "constant"},
        )
    )
    assert still.risk.shape == (3,)
    np.testing.assert_array_equal(constant.weights, still.weights)


@pytest.mark.parametrize(
    ("changed", "facts"),
    [
        ({"ridge": 0.0}, "ridge 0"),
        ({"ridge": [[1.0]]}, "ridge 0"),
        (
            {"readout": "uniform"},
            "readout 'uniform'",
        ),
        ({"samples_per_dim": -1.0}, "samples_per_dim"),
    ],
    ids=["no ridge", "ridges in a matrix", "readout", "samples"],
)
def test_bad_input_is_refused_in_words(changed, facts):
    with refuses(ValueError, facts):
        simulate_one_step(key=random.key(0), **SETTING | {"ridge": 0.1} | changed)
