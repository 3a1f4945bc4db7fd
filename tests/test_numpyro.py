"""The adapter from NumPyro: the same log density as NumPyro's own, row by row, and draws as by NUTS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax

numpyro = pytest.importorskip("numpyro")
dist = pytest.importorskip("numpyro.distributions")
import langevax.numpyro  # noqa: E402  after the skip

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2)).astype(np.float32)
Y = (X @ [1.0, -2.0] + 0.5 + 0.7 * RNG.normal(size=200)).astype(np.float32)


def regression(x, y):
    w = numpyro.sample("w", dist.Normal(0, 2).expand([2]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0, 1))
    scale = numpyro.sample("scale", dist.HalfNormal(1))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(x @ w + b, scale), obs=y)


def test_the_log_density_is_numpyros():
    """Up to a constant, at 5 unconstrained points; NumPyro's own potential over all rows at once."""
    from numpyro.infer.util import potential_energy

    found = langevax.numpyro.posterior(regression, X, Y)
    keys = jax.random.split(jax.random.key(0), 5)
    points = [found.start(key) for key in keys]
    with jax.numpy_dtype_promotion("standard"):
        theirs = np.array([potential_energy(regression, (X, Y), {}, p) for p in points])
        ours = np.array([found.problem.potential(p) for p in points]) / found.target.temperature
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-4)
    assert np.ptp(theirs) > 100


def test_draws_have_the_moments_of_nuts():
    """Means within 0.15 deviations, deviations within 15 %; 2,000 draws of NUTS."""
    found = langevax.numpyro.posterior(regression, X, Y)
    with jax.numpy_dtype_promotion("standard"):
        draws = langevax.sample(found.target, found.start, key=jax.random.key(1), num_samples=500, dynamics="mala")
        ours = found.constrain(draws.positions)
        nuts = numpyro.infer.MCMC(numpyro.infer.NUTS(regression), num_warmup=300, num_samples=2000, progress_bar=False)
        nuts.run(jax.random.PRNGKey(0), X, Y)
    for name, theirs in nuts.get_samples().items():
        mine = ours[name].reshape(-1, *ours[name].shape[2:])
        sd = theirs.std(0)
        assert np.all(np.abs(mine.mean(0) - theirs.mean(0)) < 0.15 * sd)
        np.testing.assert_allclose(mine.std(0), sd, rtol=0.15)


def test_models_that_are_not_rows_are_refused():
    def random_effects(y):
        with numpyro.plate("rows", len(y)):
            u = numpyro.sample("u", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(u, 1), obs=y)

    def silent(y):
        numpyro.sample("u", dist.Normal(0, 1))

    def discrete(y):
        k = numpyro.sample("k", dist.Bernoulli(0.5))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(k.astype(jnp.float32), 1), obs=y)

    for model, message in (
        (random_effects, r"latent sites \['u'\] change with the number of rows"),
        (silent, "the model observes nothing"),
        (discrete, "site 'k' is discrete"),
    ):
        with pytest.raises(ValueError, match=message), jax.numpy_dtype_promotion("standard"):
            langevax.numpyro.posterior(model, Y)
    with pytest.raises(ValueError, match="leading axes of data disagree"):
        langevax.numpyro.posterior(regression, X, Y[:5])
