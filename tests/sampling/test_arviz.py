"""Draws of models as ArviZ reads them: names, dimensions, log likelihoods, and ArviZ's own functions on the tree."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
import langevax.numpyro
from langevax.run.result import draws_dataset

numpyro = pytest.importorskip("numpyro")
dist = pytest.importorskip("numpyro.distributions")
handlers = pytest.importorskip("numpyro.handlers")
pytest.importorskip("xarray")

pytestmark = pytest.mark.slow

GROUP = np.repeat(np.arange(6), 5)
Y = np.float32(
    np.random.default_rng(0).normal(size=6)[GROUP]
    + np.random.default_rng(1).normal(size=30)
)


def schools(group, y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.factor("tilt", -((mean - 1) ** 2))
    with numpyro.plate("school", 6):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        effect = numpyro.deterministic("effect", mean + scale * z)
    numpyro.deterministic("ratio", jnp.stack([mean / scale, scale]))
    with numpyro.plate("row", len(y)), handlers.mask(mask=~jnp.isnan(y)):
        numpyro.sample("y", dist.Normal(effect[group], 1.0), obs=y)


def own_effects(y):
    """Not a sum over rows: each has an effect."""
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("row", len(y)):
        effect = numpyro.sample("effect", dist.Normal(0.0, scale))
        numpyro.sample("y", dist.Normal(effect, 1.0), obs=y)


def draws_of(model, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", langevax.sampling.SamplingWarning)
        return langevax.sample(
            model, model_args=data, key=jax.random.key(0), num_samples=200
        )


def own_log_likelihood(model, draws, *data):
    from numpyro.infer import log_likelihood

    positions = jax.tree.map(jnp.asarray, draws.positions)
    with jax.numpy_dtype_promotion("standard"):
        return log_likelihood(model, positions, *data, batch_ndims=2)["y"]


@pytest.fixture(scope="module")
def draws():
    return draws_of(schools, GROUP, Y)


@pytest.fixture(scope="module")
def tree(draws):
    return draws.to_datatree(log_likelihood=True)


def test_a_tree_has_the_names_of_arviz(tree, draws):
    posterior = tree["posterior"]
    assert posterior["z"].dims == ("chain", "draw", "school")
    assert posterior["effect"].dims == ("chain", "draw", "school")
    assert posterior["ratio"].dims == ("chain", "draw", "ratio_dim_0")
    mean, scale = draws.positions["mean"], draws.positions["scale"]
    effect = mean[..., None] + scale[..., None] * draws.positions["z"]
    np.testing.assert_allclose(posterior["effect"], effect, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(posterior["ratio"][..., 0], mean / scale, rtol=1e-5)
    assert tree["observed_data"]["y"].dims == ("row",)
    np.testing.assert_array_equal(tree["observed_data"]["y"], Y)
    assert set(tree["log_likelihood"].data_vars) == {"y"}  # a factor observes nothing
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "row")
    np.testing.assert_allclose(
        tree["log_likelihood"]["y"],
        own_log_likelihood(schools, draws, GROUP, Y),
        rtol=1e-4,
        atol=1e-5,
    )


def test_statistics_of_nuts_are_of_each_draw(tree, draws):
    stats = tree["sample_stats"]
    depth, steps = stats["tree_depth"].values, stats["n_steps"].values
    assert np.all((2 ** (depth - 1) <= steps) & (steps < 2**depth))
    total = draws.result.counts["evaluations"] / len(Y)
    assert steps.sum() == pytest.approx(total, abs=4)  # and the first of each chain
    rate = stats["acceptance_rate"]
    assert np.all((rate >= 0) & (rate <= 1 + 1e-5))
    assert rate.mean() == pytest.approx(draws.result.metrics["acceptance"], abs=0.3)
    positions = jnp.asarray(draws.draws)
    potential = jax.vmap(jax.vmap(draws.problem.potential))(positions)
    np.testing.assert_allclose(stats["lp"], -potential / draws.temperature, rtol=1e-4)
    kinetic = stats["energy"] + stats["lp"]
    assert kinetic.mean() > draws.draws.shape[2] / 4  # d / 2 on average
    assert stats["diverging"].dtype == bool
    assert stats["diverging"].sum() == draws.result.counts["divergences"]


def test_divergences_are_marked_at_their_draws():
    neck = lambda p: (
        -(p["v"] ** 2) / 18 - jnp.sum(p["x"] ** 2 * jnp.exp(-p["v"]) / 2 + p["v"] / 2)
    )
    start = {"v": jnp.zeros(()), "x": jnp.zeros(9)}
    with pytest.warns(langevax.sampling.SamplingWarning):
        draws = langevax.sample(
            neck,
            start,
            key=jax.random.key(0),
            num_samples=300,
            algorithm=langevax.NUTS(target_accept=0.6),
        )
    diverging = draws.to_datatree()["sample_stats"]["diverging"].values
    assert diverging.sum() == draws.result.counts["divergences"] > 0
    is_new = np.diff(draws.result.trace.info["divergences"], prepend=0) > 0
    np.testing.assert_array_equal(diverging, is_new)


def test_numbers_that_a_mask_hides_are_left_out():
    holed = np.where(np.arange(30) % 7 == 0, np.nan, Y)
    draws = draws_of(schools, GROUP, holed)
    tree = draws.to_datatree(log_likelihood=True)
    shown = ~np.isnan(holed)
    np.testing.assert_array_equal(tree["observed_data"]["y"], holed[shown])
    own = own_log_likelihood(schools, draws, GROUP, holed)[..., shown]
    ours = tree["log_likelihood"]["y"]
    np.testing.assert_allclose(ours, own, rtol=1e-4, atol=1e-5)


def test_a_model_that_is_no_sum_over_rows_has_log_likelihoods():
    draws = draws_of(own_effects, Y)
    tree = draws.to_datatree(log_likelihood=True)
    assert tree["posterior"]["effect"].dims == ("chain", "draw", "row")
    own = -((Y - draws.positions["effect"]) ** 2) / 2 - np.log(2 * np.pi) / 2
    np.testing.assert_allclose(tree["log_likelihood"]["y"], own, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="to_datatree"):
        draws.log_likelihood()


@pytest.mark.filterwarnings("ignore")
def test_arviz_summarises_compares_and_draws_the_tree(tree, draws):
    arviz = pytest.importorskip("arviz")
    pytest.importorskip("matplotlib").use("Agg")
    is_former = arviz.__version__.startswith("0.")
    if is_former:
        tree = arviz.InferenceData.from_datatree(tree)
    table = arviz.summary(tree, round_to="none")
    ours = draws.summary()
    mean = np.float64(table["mean"])[: len(ours)]
    np.testing.assert_allclose(mean, ours["mean"], rtol=1e-4, atol=1e-5)
    elpd = arviz.loo(tree)
    assert -60 < (elpd.elpd_loo if is_former else elpd.elpd) < -30
    assert list(arviz.compare({"one": tree, "other": tree})["rank"]) == [0, 1]
    options = {"divergences": True} if is_former else {"visuals": {"divergence": True}}
    arviz.plot_pair(tree, var_names=["mean", "scale"], **options)


def test_an_axis_named_like_those_of_the_draws_is_numbered():
    dataset = draws_dataset({"y": np.zeros((2, 3, 4))}, 2, 3, {"y": ["draw"]})
    assert dataset["y"].dims == ("chain", "draw", "y_dim_0")
