"""The adapter from NumPyro: the same log density as NumPyro's own, row by row, and draws as by NUTS."""

import dataclasses
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

import langevax
from langevax.sampling.preconditioning import pilot_coordinates
from langevax.sampling.target import Resolved
from tests.sentences import refuses, tells

numpyro = pytest.importorskip("numpyro")
dist = pytest.importorskip("numpyro.distributions")
handlers = pytest.importorskip("numpyro.handlers")
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


@pytest.mark.slow
def test_the_log_density_is_numpyros():
    """Up to a constant, at 5 unconstrained points; NumPyro's own potential over all rows at once."""
    from numpyro.infer.util import potential_energy

    adapted = langevax.numpyro.posterior(regression, X, Y)
    assert (
        repr(adapted)
        == f"ModelPosterior({len(Y):,} rows; fields: target, start, constrain, describe)"
    )
    keys = jax.random.split(jax.random.key(0), 5)
    points = [adapted.start(key) for key in keys]
    with jax.numpy_dtype_promotion("standard"):
        theirs = np.array([potential_energy(regression, (X, Y), {}, p) for p in points])
        ours = (
            np.array([adapted.problem.potential(p) for p in points])
            / adapted.target.temperature
        )
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-4)
    assert np.ptp(theirs) > 100


def local_effects(y):
    spread = numpyro.sample("spread", dist.HalfNormal(2.0))
    with numpyro.plate("rows", len(y)):
        effect = numpyro.sample("effect", dist.Normal(0, spread))
        numpyro.sample("y", dist.Normal(effect, 0.5), obs=y)


def ar1(y):
    slope = numpyro.sample("slope", dist.Uniform(-1.0, 1.0))
    scale = numpyro.sample(
        "scale", dist.ImproperUniform(dist.constraints.positive, (), ())
    )
    numpyro.sample("y", dist.Normal(slope * y[:-1], scale), obs=y[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data", "options"),
    [
        (regression, (X, Y), {}),
        (regression, (X, Y), {"algorithm": langevax.MALA()}),
        (local_effects, (Y[:20],), {}),
        pytest.param(ar1, (Y,), {}, marks=pytest.mark.long),
    ],
    ids=["regression", "regression by MALA", "local effects", "autoregression"],
)
def test_draws_have_the_moments_of_nuts(model, data, options):
    """Means within 0.15 deviations, deviations within 15 %; 2,000 draws of NUTS. Positions are values of the sites."""
    with jax.numpy_dtype_promotion("standard"):
        adapted = langevax.numpyro.posterior(model, *data)
        ours = langevax.sample(
            adapted, key=jax.random.key(1), num_samples=500, **options
        ).positions
        nuts = numpyro.infer.MCMC(
            numpyro.infer.NUTS(model),
            num_warmup=300,
            num_samples=2000,
            progress_bar=False,
        )
        nuts.run(jax.random.PRNGKey(0), *data)
    for name, theirs in nuts.get_samples().items():
        mine = ours[name].reshape(-1, *ours[name].shape[2:])
        sd = theirs.std(0)
        assert np.all(np.abs(mine.mean(0) - theirs.mean(0)) < 0.15 * sd)
        np.testing.assert_allclose(mine.std(0), sd, rtol=0.15)


def correlation(y):
    root = numpyro.sample("root", dist.LKJCholesky(2, 1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample(
            "y", dist.MultivariateNormal(jnp.zeros(2), scale_tril=root), obs=y
        )


@pytest.mark.slow
def test_an_angle_at_its_cut_has_one_mode():
    """Directions around pi, of whose mean the law is that of von Mises, by its resultant on both sides of the cut."""
    y = np.float32(np.remainder(np.random.default_rng(0).vonmises(0, 1, 50), 2 * np.pi))

    def model(y):
        mean = numpyro.sample("mean", dist.VonMises(0.0, 1e-3))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.VonMises(mean, 1.0), obs=y - np.pi)

    draws = langevax.sample(model, model_args=(y,), key=jax.random.key(0))
    assert draws.modes == []
    assert draws.warnings == []
    of_data = np.exp(1j * (y - np.pi)).sum()
    kappa = abs(of_data)
    of_draws = np.exp(1j * np.asarray(draws.positions["mean"])).mean()
    np.testing.assert_allclose(abs(of_draws), ive(1, kappa) / ive(0, kappa), atol=3e-3)
    np.testing.assert_allclose(np.angle(of_draws / of_data), 0, atol=0.02)
    assert abs(draws.positions["mean"]).max() <= np.pi + 1e-6
    of_angles = dist.biject_to(dist.constraints.circular)
    np.testing.assert_allclose(of_angles(jnp.zeros(())), 0, atol=1e-6)
    assert abs(float(of_angles(jnp.array(9.0)))) > 3.1  # NumPyro's own is back


def test_constants_of_the_model_raise_no_warning():
    """The first row of a Cholesky root of correlations is (1, 0); chains that stand still are another matter."""
    y = np.float32(np.random.default_rng(0).normal(size=(60, 2)))
    adapted = langevax.numpyro.posterior(correlation, y)
    samples = langevax.sample(
        adapted, key=jax.random.key(0), num_samples=500, tolerance=0.2
    )
    assert samples.warnings == []
    table = samples.summary()
    assert table.loc["root[0, 0]", "sd"] == 0
    assert np.isnan(table.loc["root[0, 0]", "r_hat"])
    assert samples.max_rhat < 1.01
    still = dataclasses.replace(samples, draws=np.zeros_like(samples.draws))
    tells(still.warnings[0], "root[0 0 nan")


HALF = np.arange(200) < 100
GROUPS = np.arange(200) % 4


def row_noise(y, loc, scale=1.0):
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(loc, scale), obs=y)


def global_factor(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    numpyro.factor("pull", -10 * (mean - 3) ** 2)
    row_noise(y, mean)


def row_factor(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("rows", len(y)):
        numpyro.factor("y", -jnp.abs(y - mean))


def summed_factor(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    numpyro.factor("y", -jnp.sum(jnp.abs(y - mean)))


def scaled_likelihood(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with handlers.scale(scale=0.1):
        row_noise(y, mean)


def scaled_prior(y):
    """NumPyro scales the Jacobian, too."""
    with handlers.scale(scale=5.0):
        scale = numpyro.sample("scale", dist.HalfNormal(2))
    row_noise(y, 0.0, scale)


def masked_rows(y, used):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with handlers.mask(mask=used):
        row_noise(y, mean)


def masked_prior(y):
    with handlers.mask(mask=False):
        mean = numpyro.sample("mean", dist.Normal(0, 0.01))
    row_noise(y, mean)


def two_tables(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("other rows", 50):
        numpyro.sample("other", dist.Normal(mean, 0.5), obs=Y[:50])
    row_noise(y, mean)


def two_outcomes(y, x):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)
        numpyro.sample(
            "sign", dist.Bernoulli(logits=mean * x), obs=(x > 0).astype(jnp.int32)
        )


def improper(y):
    mean = numpyro.sample("mean", dist.ImproperUniform(dist.constraints.real, (), ()))
    scale = numpyro.sample(
        "scale", dist.ImproperUniform(dist.constraints.positive, (), ())
    )
    row_noise(y, mean, scale)


def with_deterministic(y):
    log_scale = numpyro.sample("log_scale", dist.Normal(0, 1))
    row_noise(y, 0.0, numpyro.deterministic("scale", jnp.exp(log_scale)))


def constrained(y):
    """A simplex, an ordered vector, a Cholesky factor, and bounds that are themselves drawn."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(3)))
    places = numpyro.sample(
        "places",
        dist.TransformedDistribution(
            dist.Normal(0, 1).expand([3]).to_event(1),
            dist.transforms.OrderedTransform(),
        ),
    )
    factor = numpyro.sample("factor", dist.LKJCholesky(2, 1.5))
    low = numpyro.sample("low", dist.Normal(0, 1))
    high = numpyro.sample("high", dist.Uniform(low, low + 3))
    row_noise(y, weights @ places + factor[1, 0], 0.1 + high - low)


def grouped(y, group):
    with numpyro.plate("groups", 4):
        effect = numpyro.sample("effect", dist.Normal(0, 1))
    row_noise(y, effect[group])


conditioned = handlers.condition(
    lambda y: row_noise(
        y,
        numpyro.sample(
            "mean", dist.Normal(numpyro.sample("centre", dist.Normal(0, 1)), 0.1)
        ),
    ),
    {"mean": 2.0},
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data"),
    [
        *(
            (model, (Y,))
            for model in (
                global_factor,
                row_factor,
                summed_factor,
                scaled_likelihood,
                scaled_prior,
            )
        ),
        *(
            (model, (Y,))
            for model in (
                masked_prior,
                two_tables,
                improper,
                with_deterministic,
                constrained,
            )
        ),
        (masked_rows, (Y, HALF)),
        (two_outcomes, (Y, X[:, 0])),
        (grouped, (Y, GROUPS)),
        (conditioned, (Y,)),
        (regression, (X, Y)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_law_is_numpyros(model, data):
    """Potentials agree, constants included, at draws of `start` that the adapter itself did not look at."""
    from numpyro.infer.util import potential_energy

    with jax.numpy_dtype_promotion("standard"):
        adapted = langevax.numpyro.posterior(model, *data)
        for seed in range(2):
            point = adapted.start(jax.random.key(seed))
            ours = adapted.problem.potential(point) / adapted.target.temperature
            np.testing.assert_allclose(
                ours, potential_energy(model, data, {}, point), rtol=2e-5
            )
        assert adapted.constrain(point).keys() == point.keys()
    assert not jax.config.jax_enable_x64


@pytest.mark.slow
def test_of_a_long_table_the_first_rows_are_compared(monkeypatch):
    """The law is that of all rows all the same."""
    from numpyro.infer.util import potential_energy

    monkeypatch.setattr(langevax.numpyro, "CHECKED_ROWS", 50)
    with jax.numpy_dtype_promotion("standard"):
        adapted = langevax.numpyro.posterior(global_factor, Y)
        point = {"mean": jnp.asarray(0.3)}
        ours = adapted.problem.potential(point) / adapted.target.temperature
        np.testing.assert_allclose(
            ours, potential_energy(global_factor, (Y,), {}, point), rtol=2e-5
        )


def subsampled(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("rows", len(Y), subsample_size=20) as indices:
        numpyro.sample("y", dist.Normal(mean, 1), obs=jnp.asarray(Y)[indices])


def fixed_plate(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("rows", len(Y)):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def fixed_mask(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with handlers.mask(mask=HALF):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def fixed_weights(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with handlers.scale(scale=jnp.where(HALF, 2.0, 1.0)):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def prior_of_rows(y):
    mean = numpyro.sample("mean", dist.Normal(jnp.mean(y), 1))
    row_noise(y, mean)


def coupled(y):
    length = numpyro.sample("length", dist.HalfNormal(1))
    covariance = jnp.eye(len(y)) + length * jnp.ones((len(y), len(y)))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(y)), covariance), obs=y)


def autoregressive(y):
    slope = numpyro.sample("slope", dist.Normal(0, 1))
    before = jnp.concatenate([jnp.zeros(1), y[:-1]])
    row_noise(y, slope * before)


def standardised(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    row_noise(y, mean * jnp.max(jnp.abs(y)))


def divided_factor(y):
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    numpyro.factor("penalty", -jnp.square(mean) / len(y))
    row_noise(y, mean)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            fixed_plate,
            "site 'y' has the log density .*take the sizes of plates over rows from the data",
        ),
        (fixed_mask, "site 'y' has the log density .*pass everything"),
        (fixed_weights, "site 'y' has the log density"),
        (prior_of_rows, "site 'mean' has the log density"),
        (coupled, "site 'y' has the log density .*let no site depend on several rows"),
        (autoregressive, "site 'y' has the log density"),
        (standardised, "site 'y' has the log density"),
        (divided_factor, "site 'penalty' has the log density"),
    ],
)
def test_another_law_is_never_sampled_by_rows(model, message):
    """It is sampled as a whole, and the reason is given."""
    from numpyro.infer.util import potential_energy

    adapted = langevax.numpyro.posterior(model, Y)
    assert re.search(message, adapted.full_gradients)
    point = adapted.start(jax.random.key(0))
    with jax.numpy_dtype_promotion("standard"):
        theirs = potential_energy(model, (Y,), {}, point)
    np.testing.assert_allclose(adapted.problem.potential(point), theirs, rtol=2e-5)
    assert not jax.config.jax_enable_x64


def test_models_that_are_not_rows_are_refused():
    def silent(y):
        numpyro.sample("u", dist.Normal(0, 1))

    def discrete(y):
        k = numpyro.sample("k", dist.Bernoulli(0.5))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(k.astype(jnp.float32), 1), obs=y)

    for model, facts in (
        (
            subsampled,
            "'rows' 20 subsample_size",
        ),
        (silent, ""),
        (discrete, "'k'"),
    ):
        with (
            refuses(ValueError, facts),
            jax.numpy_dtype_promotion("standard"),
        ):
            langevax.numpyro.posterior(model, Y)
    with refuses(ValueError):
        langevax.numpyro.posterior(regression, X, Y[:5])


def mean_and_scale(y):
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    scale = numpyro.sample("scale", dist.HalfNormal(2))
    with numpyro.plate("rows", len(y)), handlers.mask(mask=~jnp.isnan(y)):
        numpyro.sample("y", dist.Normal(mean, scale), obs=y)


ROWS = Y[:40]


@pytest.mark.parametrize(
    ("start", "error", "facts"),
    [
        ({"mean": 0.0, "Scale": 0.0}, ValueError, "start['Scale'] 'scale'"),
        ({"mean": 0.0, "scale": 0.0, "q": 0.0}, ValueError, "start['q']"),
        ({"mean": jnp.zeros(2)}, ValueError, "start['mean'] (2,) ()"),
        (jnp.zeros(2), TypeError, "start dict"),
        (lambda key: {"mean": 0.0}, ValueError, "start ['scale']"),
    ],
)
def test_a_start_of_other_sites_is_refused(start, error, facts):
    adapted = langevax.numpyro.posterior(mean_and_scale, ROWS)
    with refuses(error, facts):
        langevax.sample(adapted, start, key=jax.random.key(0))


def test_sites_that_a_start_leaves_out_start_as_numpyros():
    """The mean is where it was put in every chain and the scale is not: it was drawn once, with a fixed key."""
    adapted = langevax.numpyro.posterior(mean_and_scale, ROWS)
    start = {"mean": jnp.float32(0.3)}
    resolved = Resolved.of(adapted, start, "auto", jax.random.key(0))
    problem = adapted.problem
    like = resolved.position
    flat = pilot_coordinates(problem, like, 1 / len(ROWS), True)
    started = dataclasses.replace(resolved.start, coordinates=flat)
    positions = flat.to_positions(started(jax.random.key(1), 4)[None])
    np.testing.assert_allclose(positions["mean"], 0.3, rtol=1e-5)
    assert np.ptp(positions["scale"]) > 0
    assert np.all(np.abs(positions["scale"]) < 2)


def test_a_model_and_its_arguments_are_a_target_and_masked_rows_are_left_out(tmp_path):
    """Draws for a fixed key are those of the observed rows alone; they are pickled, and written for ArviZ."""
    holed = np.where(np.arange(40) % 7 == 0, np.nan, ROWS)
    options = {"key": jax.random.key(0), "num_samples": 200}
    draws = langevax.sample(mean_and_scale, model_args=(holed,), **options)
    seen = holed[~np.isnan(holed)]
    alone = langevax.sample(
        langevax.numpyro.posterior(mean_and_scale, seen), {"mean": 0.0}, **options
    )
    whole = langevax.sample(
        mean_and_scale, {"mean": 0.0}, model_args=(seen,), **options
    )
    np.testing.assert_array_equal(alone.positions["mean"], whole.positions["mean"])
    assert alone.reason == draws.reason == "passes over 34 rows are cheap"
    mean = draws.positions["mean"]
    assert abs(mean.mean() - np.mean(seen)) < 0.1 * np.std(seen)
    np.testing.assert_allclose(np.std(mean), np.std(seen) / np.sqrt(34), rtol=0.2)
    assert draws.log_likelihood().shape == (4, 200, 34)
    again = pickle.loads(pickle.dumps(draws))
    np.testing.assert_array_equal(again.positions["mean"], mean)
    assert again.summary().equals(draws.summary())
    assert again.warnings == draws.warnings
    with refuses(AttributeError, "problem pickled"):
        again.extend(10, key=options["key"])
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    for tree in (again.to_datatree(), draws.to_datatree(log_likelihood=True)):
        tree.to_netcdf(tmp_path / "draws.nc")
        read = xarray.open_datatree(tmp_path / "draws.nc")
        np.testing.assert_array_equal(read["posterior"]["mean"], mean)
        read.close()


def masked_by_a_site(y):
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    with numpyro.plate("rows", len(y)), handlers.mask(mask=y > mean):
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def masked_at_one_site(y):
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        with handlers.mask(mask=y > 0):
            numpyro.sample("z", dist.Normal(mean, 1.0), obs=y)


def test_rows_that_a_mask_may_show_stay():
    """Where the mask depends on a latent site, or another site observes the row."""
    for model in (masked_by_a_site, masked_at_one_site):
        assert langevax.numpyro.posterior(model, ROWS).problem.size == 40


@pytest.mark.parametrize(
    ("target", "arguments", "facts"),
    [
        (mean_and_scale, ROWS, "model_args tuple (y,)"),
        (langevax.Function(jnp.sum), (ROWS,), "model_args target Function"),
        (mean_and_scale, None, "start model_args"),
    ],
)
def test_model_args_are_a_tuple_of_a_numpyro_model(target, arguments, facts):
    with refuses((TypeError, ValueError), facts):
        langevax.sample(target, model_args=arguments, key=jax.random.key(0))


def whole(y):
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    spread = numpyro.sample("spread", dist.HalfNormal(1))
    numpyro.sample("y", dist.Normal(mean + y.mean(), spread), obs=y)


@pytest.mark.parametrize("model", [mean_and_scale, whole])
def test_a_position_without_a_site_is_refused_by_the_density(model):
    """NumPyro would draw it within the model, once and for all."""
    problem = langevax.numpyro.posterior(model, ROWS).problem
    with refuses(ValueError, "site position ['mean']"):
        problem.potential({"mean": jnp.float32(0.0)})
