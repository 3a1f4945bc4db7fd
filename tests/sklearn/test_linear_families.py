"""Likelihoods of generalised linear models against SciPy's, in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma, expit, gammaln, polygamma

from langevax.problems.losses.special import beyond_stirling
from langevax.sklearn.linear_families import (
    NegativeBinomial,
    NormalNoise,
    Ordinal,
    Poisson,
)

pytestmark = pytest.mark.mostly_compiling

PRECISION = 0.16
SLOPES = np.array([0.3, -0.2])


def of_rows(family, position, X, y, units=(0.0, 1.0)):
    centre, scale = units
    centres = np.full(len(y), centre)
    rows = {"x": X.astype(np.float32)} | family.rows(y, centres, scale)
    position = jax.tree.map(jnp.float32, position | {"slopes": SLOPES})

    def total(position):
        logs = jax.vmap(lambda row: family.log_likelihood(position, row))(
            jax.tree.map(jnp.asarray, rows)
        )
        return jnp.sum(logs), logs

    gradient, logs = jax.jit(jax.grad(total, has_aux=True))(position)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    return np.asarray(logs)


def table(mean, size=40):
    rng = np.random.default_rng(0)
    y = rng.negative_binomial(1, 1 / (1 + mean), size).astype(float)
    y[:2] = 0, 1
    return rng.normal(size=(size, 2)), y


@pytest.mark.parametrize("mean", [0.3, 5.0, 1e3, 1e6])
def test_counts_keep_their_digits_at_every_size(mean):
    """A difference of gamma functions in single precision would be off by whole nats at large shapes."""
    X, y = table(mean)
    centre = Poisson(PRECISION).units(y, np.zeros(len(y)), None)[0]
    rates = np.exp(centre + 0.1 + X @ SLOPES)
    poisson = of_rows(Poisson(PRECISION), {"intercept": 0.1}, X, y, (centre, 1.0))
    np.testing.assert_allclose(
        poisson, stats.poisson.logpmf(y, rates), rtol=1e-4, atol=1e-3
    )
    for log_spread in (-6.0, -3.0, 0.0, 1.0):
        shape = np.exp(-2 * log_spread)
        got = of_rows(
            NegativeBinomial(PRECISION),
            {"intercept": 0.1, "log_spread": log_spread},
            X,
            y,
            (centre, 1.0),
        )
        np.testing.assert_allclose(
            got,
            stats.nbinom.logpmf(y, shape, shape / (shape + rates)),
            rtol=2e-5,
            atol=2e-4,
        )


@pytest.mark.parametrize("mean", [0.3, 5.0, 1e3])
def test_the_spread_has_the_slope_of_digamma(mean):
    """By s = spread^-2: digamma(y + s) - digamma(s) + log(s / (s + m)) + (m - y) / (s + m)."""
    X, y = table(mean)
    family = NegativeBinomial(PRECISION)
    centre = family.units(y, np.zeros(len(y)), None)[0]
    rows = jax.tree.map(
        jnp.asarray,
        {"x": X.astype(np.float32)} | family.rows(y, np.full(len(y), centre), 1.0),
    )
    position = {
        "intercept": jnp.float32(0.1),
        "slopes": jnp.asarray(SLOPES, jnp.float32),
    }

    def log_likelihood(log_spread, row):
        return family.log_likelihood(position | {"log_spread": log_spread}, row)

    m = np.exp(centre + 0.1 + X @ SLOPES)
    slopes = jax.jit(jax.vmap(jax.grad(log_likelihood), (None, 0)))
    for log_spread in (-3.0, -1.0, 0.0, 1.0):
        s = np.exp(-2 * log_spread)
        expected = digamma(y + s) - digamma(s) + np.log(s / (s + m)) + (m - y) / (s + m)
        got = np.asarray(slopes(jnp.float32(log_spread), rows))
        np.testing.assert_allclose(
            got, -2 * s * expected, rtol=1e-4, atol=1e-5 * max(1, s)
        )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 3e-6), ("float64", 1e-13)]
)
def test_log_gammabeyond_stirling_is_known_to_rounding(dtype, tolerance):
    """Of the value, and of its first two derivatives times x and x^2."""
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(
            np.concatenate([np.geomspace(1e-6, 1e-2, 20), np.linspace(0.02, 40, 300)]),
            dtype,
        )
        first = jax.grad(beyond_stirling)
        of_all = jax.jit(
            jax.vmap(
                lambda x: (
                    beyond_stirling(x),
                    x * first(x),
                    x * x * jax.grad(first)(x),
                )
            )
        )
        got, x = of_all(x), np.asarray(x, np.float64)
    value = gammaln(x) - ((x - 0.5) * np.log(x) - x + np.log(2 * np.pi) / 2)
    slope, curvature = (
        digamma(x) - np.log(x) + 0.5 / x,
        polygamma(1, x) - 1 / x - 0.5 / x**2,
    )
    for mine, exact in zip(got, (value, x * slope, x * x * curvature), strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_a_negative_binomial_without_spread_is_poisson():
    X, y = table(5.0)
    got = of_rows(
        NegativeBinomial(PRECISION), {"intercept": 0.1, "log_spread": -12.0}, X, y
    )
    np.testing.assert_allclose(
        got, of_rows(Poisson(PRECISION), {"intercept": 0.1}, X, y), rtol=1e-5, atol=1e-5
    )


def test_numbers_have_a_normal_density():
    X, y = table(5.0)
    units = NormalNoise(PRECISION).units(y, np.zeros(len(y)), None)
    got = of_rows(
        NormalNoise(PRECISION), {"intercept": 0.1, "log_noise": -0.5}, X, y, units
    ) - np.log(units[1])
    expected = stats.norm.logpdf(
        y, units[0] + units[1] * (0.1 + X @ SLOPES), units[1] * np.exp(-0.5)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("log_gaps", [[], [0.3], [-2.0, 0.5]])
def test_classes_have_the_probabilities_between_cuts(log_gaps):
    X, _ = table(1.0)
    family, num_classes = Ordinal(PRECISION, len(log_gaps) + 2), len(log_gaps) + 2
    y = np.arange(len(X)) % num_classes
    position = {"intercept": -0.4} | (
        {"log_gaps": np.array(log_gaps)} if log_gaps else {}
    )
    cuts = -0.4 + np.append(0, np.cumsum(np.exp(log_gaps)))
    expected = np.diff(expit(cuts - (X @ SLOPES)[:, None]), prepend=0, append=1)
    got = of_rows(family, position, X, y)
    np.testing.assert_allclose(
        got, np.log(expected[np.arange(len(X)), y]), rtol=1e-5, atol=1e-6
    )
    cloud = {name: np.asarray(value)[None] for name, value in position.items()}
    np.testing.assert_allclose(
        family.probabilities(cloud, (-0.4 + X @ SLOPES)[None])[0], expected, rtol=1e-6
    )


def test_shares_of_classes_are_uniform_a_priori():
    """The density of the first cut is that of log odds whose probability is uniform, the logistic one."""
    family, cuts = Ordinal(PRECISION, 2), np.linspace(-6, 6, 25, dtype=np.float32)
    got = [
        float(family.log_prior({"slopes": jnp.zeros(1), "intercept": jnp.asarray(cut)}))
        for cut in cuts
    ]
    np.testing.assert_allclose(got, stats.logistic.logpdf(cuts), rtol=1e-5)
