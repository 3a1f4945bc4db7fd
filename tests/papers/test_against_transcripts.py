"""The library against the transcripts of the papers, step by step with the same random numbers, in float64.

The documented keys: step s has key fold_in(key, s). `Langevin` splits it into one for the gradient estimator, which
draws the batch, and one for the noise; `MALA` into one for the noise and one for the uniform.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import (
    FiniteSum,
    MeanFieldRisk,
    gradients,
    integrators,
    losses,
    meanfield,
    neurons,
    trees,
)
from langevax.gradients import batches
from tests.papers import transcripts

pytestmark = pytest.mark.mostly_compiling

N, D, B, PERIOD, STEPS = 7, 3, 2, 4, 14
STEP_SIZE, TEMPERATURE = 0.1, 0.25
KEY = 11


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64():
        yield


def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, D)), rng.normal(size=N)


def cauchy(x, row):
    """log(1 + residual^2), not convex."""
    features, target = row
    return jnp.log1p((features @ x - target) ** 2)


def cauchy_gradient(x, indices):
    features, targets = (a[indices] for a in rows())
    residuals = features @ x - targets
    return (2 * residuals / (1 + residuals**2)) @ features / len(indices)


def step_keys():
    """The two keys of every step."""
    split = lambda step: jax.random.split(jax.random.fold_in(jax.random.key(KEY), step))
    keys = jax.vmap(split)(jnp.arange(STEPS))
    return keys[:, 0], keys[:, 1]


def normals(keys, position):
    return np.asarray(jax.vmap(lambda key: trees.normal_like(position, key=key))(keys))


def draws(problem, position):
    """The library's batches and noises, by its own key scheme."""
    batch_keys, noise_keys = step_keys()
    batch = jax.jit(jax.vmap(lambda key: batches.draw(key, problem, B)))(batch_keys)
    return np.asarray(batch), normals(noise_keys, position)


def path(algorithm, problem, start):
    """The iterates of a single chain, start included."""
    key = jax.random.key(KEY)
    result = langevax.simulate(
        algorithm, problem, start, key=key, num_steps=STEPS, record_every=1
    )
    return np.concatenate([np.asarray(start)[None], result.positions]), result


def assert_same_path(actual, expected):
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    assert (
        np.abs(np.diff(actual, axis=0)).max(axis=tuple(range(1, actual.ndim))).max()
        > 0.1
    )  # it moved


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "transcript"),
    [
        (gradients.SVRG(B, PERIOD), transcripts.svrg_ld),
        (gradients.SARAH(B, PERIOD), transcripts.sarah_ld),
    ],
)
def test_variance_reduced_langevin(estimator, transcript):
    """Kinoshita and Suzuki (NeurIPS 2022), three epochs and a half; temperature = 1 / gamma."""
    problem, start = (
        FiniteSum(cauchy, tuple(jnp.asarray(a) for a in rows())),
        jnp.full(D, 1.5),
    )
    actual, _ = path(
        langevax.Langevin(STEP_SIZE, TEMPERATURE, estimator), problem, start
    )
    batch, noises = draws(problem, start)
    expected = transcript(
        cauchy_gradient,
        N,
        np.asarray(start),
        STEP_SIZE,
        1 / TEMPERATURE,
        PERIOD,
        batch,
        noises,
    )
    assert_same_path(actual, expected)


def test_sgld():
    problem, start = (
        FiniteSum(cauchy, tuple(jnp.asarray(a) for a in rows())),
        jnp.full(D, 1.5),
    )
    actual, _ = path(
        langevax.Langevin(STEP_SIZE, TEMPERATURE, gradients.Minibatch(B)),
        problem,
        start,
    )
    batch, noises = draws(problem, start)
    expected = transcripts.sgld(
        cauchy_gradient, np.asarray(start), STEP_SIZE, 1 / TEMPERATURE, batch, noises
    )
    assert_same_path(actual, expected)


@pytest.mark.slow
def test_mala():
    """With a precision, which belongs to the potential; both accepted and rejected proposals occur."""
    step_size, precision = 1.2, 0.4
    problem, start = (
        FiniteSum(cauchy, tuple(jnp.asarray(a) for a in rows()), precision=precision),
        jnp.full(D, 1.5),
    )
    actual, result = path(langevax.MALA(step_size, TEMPERATURE), problem, start)
    features, targets = rows()
    noise_keys, accept_keys = step_keys()
    expected, accepted = transcripts.mala(
        lambda x: (
            np.mean(np.log1p((features @ x - targets) ** 2)) + precision * x @ x / 2
        ),
        lambda x: cauchy_gradient(x, np.arange(N)) + precision * x,
        np.asarray(start),
        step_size,
        TEMPERATURE,
        normals(noise_keys, start),
        np.asarray(
            jax.vmap(lambda key: jax.random.uniform(key, dtype=jnp.float64))(
                accept_keys
            )
        ),
    )
    assert_same_path(actual, expected)
    assert 2 <= accepted.sum() <= STEPS - 2
    assert result.evaluations == N * (STEPS + 1)


def network():
    rng = np.random.default_rng(1)
    return rng.normal(size=(N, 2)), rng.normal(size=N), rng.normal(size=(5, 3))


def neuron(particle, x):
    return 2 * np.tanh(particle[:2] @ x + particle[2])


def neuron_gradient(particle, x):
    return 2 * (1 - np.tanh(particle[:2] @ x + particle[2]) ** 2) * np.append(x, 1.0)


DERIVATIVES = {
    "squared": lambda z, y: z - y,
    "logistic": lambda z, y: -y / (1 + np.exp(y * z)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "estimator"),
    [("squared", gradients.Full()), ("logistic", gradients.SVRG(B, PERIOD))],
)
def test_mean_field_langevin(loss, estimator):
    """MFLD, Nitanda, Wu, Suzuki (AISTATS 2022), and SVRG-MFLD, Suzuki, Wu, Nitanda (NeurIPS 2023), explicit steps."""
    ridge = 0.15
    inputs, targets, start = network()
    targets = targets if loss == "squared" else np.sign(targets)
    risk = MeanFieldRisk(
        neurons.Tanh(2.0),
        getattr(losses, loss),
        jnp.asarray(inputs),
        jnp.asarray(targets),
        precision=2 * ridge,
    )
    mfld = meanfield.MFLD(STEP_SIZE, TEMPERATURE, estimator, integrators.Explicit())
    actual, _ = path(mfld, risk, jnp.asarray(start))
    batch, noises = draws(risk, jnp.asarray(start))
    arguments = (
        neuron,
        neuron_gradient,
        DERIVATIVES[loss],
        inputs,
        targets,
        start,
        STEP_SIZE,
        ridge,
        TEMPERATURE,
    )
    if isinstance(estimator, gradients.SVRG):
        expected = transcripts.svrg_mfld(*arguments, PERIOD, batch, noises)
    else:
        expected = transcripts.mfld(*arguments, noises)
    assert_same_path(actual, expected)
