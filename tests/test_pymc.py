"""The adapter from PyMC: PyMC's own log density, row by row; laws of its models; what cannot be separated."""

import warnings
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax as lx
import langevax.pymc

pytestmark = pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS")

RNG = np.random.default_rng(0)
N = 40
X = RNG.normal(size=(N, 3))
Y = X @ [1.0, 2.0, -1.0] + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(0.3 * X[:, 0] + 1))
CLASSES = RNG.integers(0, 3, N)


def test_without_pymc_the_line_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pymc", None)
    foreign = type("Model", (), {"__module__": "pymc.model.core", "observed_RVs": ()})()
    for call in (
        lambda: lx.pymc.posterior(foreign),
        lambda: lx.predictive(foreign, key=jax.random.key(0)),
    ):
        with pytest.raises(
            ImportError,
            match="needs the package pymc, which is not installed; run: pip install pymc",
        ):
            call()
    with pytest.raises(TypeError, match="data belong to a PyMC model"):
        lx.predictive(foreign, X, key=jax.random.key(0))


@pytest.fixture(scope="module")
def pm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            "pymc", reason="PyMC is not installed: pip install pymc"
        )


def own_density(model):
    """PyMC's own log density, by SciPy, of a position of langevax."""
    from pytensor.compile.mode import Mode  # pyright: ignore[reportMissingImports]

    density = model.compile_logp(mode=Mode(linker="py", optimizer=None))
    names = [variable.name for variable in model.value_vars]
    return lambda position: float(
        density(
            {
                name: np.asarray(value, float)
                for name, value in zip(names, position.values(), strict=True)
            }
        )
    )


def normal(pm):
    level, slopes, noise = (
        pm.Normal("level", 0, 1),
        pm.Normal("slopes", 0, 1, shape=3),
        pm.HalfCauchy("noise", 1),
    )
    pm.Normal("y", level + pm.math.dot(X, slopes), noise, observed=Y)


def groups(pm):
    spread = pm.HalfNormal("spread", 1)
    effects = pm.Normal("effects", 0, spread, shape=3)
    level = pm.Uniform("level", -1, 2)
    counts, group = pm.Data("counts", COUNTS), pm.Data("group", CLASSES)
    pm.NegativeBinomial(
        "y", mu=pm.math.exp(level + effects[group]), alpha=2.0, observed=counts
    )


def classes(pm):
    weights = pm.Normal("weights", 0, 1, shape=(3, 3))
    pm.Categorical("y", p=pm.math.softmax(X @ weights, axis=1), observed=CLASSES)


def vectors(pm):
    factor, _, _ = pm.LKJCholeskyCov(
        "factor", n=3, eta=2, sd_dist=pm.Exponential.dist(1.0)
    )
    pm.MvNormal("x", pm.Normal("mean", 0, 1, shape=3), chol=factor, observed=X)


def mixture(pm):
    means = pm.Normal("means", [-1, 1], 1, shape=2)
    pm.NormalMixture("y", pm.Dirichlet("shares", np.ones(2)), means, 1.0, observed=Y)


def two_observed(pm):
    mean = pm.Normal("mean", 0, 1)
    pm.Potential("prior", -(mean**4))
    pm.Normal("y", mean * pm.math.ones(N), np.abs(X[:, 0]) + 1, observed=Y)
    pm.Normal("x", mean, 1.0, observed=X)


@pytest.mark.parametrize(
    "write", [normal, groups, classes, vectors, mixture, two_observed]
)
def test_the_log_density_is_pymcs_and_its_gradient_is_finite(pm, write):
    with pm.Model() as model:
        write(pm)
    adapted = lx.pymc.posterior(model)
    assert (
        repr(adapted)
        == f"ModelPosterior({N} rows; fields: target, start, constrain, describe)"
    )
    assert jnp.result_type(float) == jnp.float32  # PyTensor's compiler to JAX sets it
    own = own_density(model)
    for seed in range(3):
        position = adapted.start(jax.random.key(seed))
        ours = -float(adapted.problem.potential(position)) / adapted.target.temperature
        assert ours == pytest.approx(own(position), rel=2e-6)
        assert all(
            np.isfinite(leaf).all()
            for leaf in jax.tree.leaves(adapted.problem.gradient(position))
        )
        constrained = adapted.constrain(jax.tree.map(lambda a: a[None], position))
        back = lx.pymc.unconstrained(model, constrained)
        for name, value in position.items():
            np.testing.assert_allclose(back[name][0], value, atol=2e-6)


def local_effects(pm):
    effects = pm.Normal("effects", 0, 1, shape=N)
    pm.Normal("y", effects, 1.0, observed=Y)


def time_series(pm):
    pm.AR(
        "y",
        rho=[0, pm.Normal("slope", 0, 1)],
        constant=True,
        sigma=1.0,
        init_dist=pm.Normal.dist(0, 1),
        observed=Y,
    )


def potential_of_rows(pm):
    mean = pm.Normal("mean", 0, 1)
    pm.Potential("sum", pm.math.sum(mean * X))
    pm.Normal("y", mean, 1.0, observed=Y)


def centred_within(pm):
    x = pm.Data("x", X[:, 0])
    pm.Normal("y", pm.Normal("slope", 0, 1) * (x - x.mean()), 1.0, observed=Y)


def other_lengths(pm):
    mean = pm.Normal("mean", 0, 1)
    pm.Normal("y", mean, 1.0, observed=Y)
    pm.Normal("x", mean, 1.0, observed=X[:10])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (local_effects, "the model cannot be computed for one row"),
        (
            time_series,
            r"variable 'y' has a log density of shape \(\) at one of its 40 rows",
        ),
        (potential_of_rows, "potential 'sum' depends on the data"),
        (
            centred_within,
            r"variable 'y' has the log density -.* used for several rows at once \(such as its mean\)",
        ),
        (
            other_lengths,
            r"the observed variables have \{'y': 40, 'x': 10\} entries along axis 0",
        ),
    ],
)
def test_models_whose_rows_cannot_be_separated_have_full_gradients_and_no_law(
    pm, write, words
):
    with pm.Model() as model:
        write(pm)
    adapted = lx.pymc.posterior(model)
    position = adapted.start(jax.random.key(0))
    assert -float(adapted.problem.potential(position)) == pytest.approx(
        own_density(model)(position), rel=1e-5
    )
    with pytest.raises(
        ValueError,
        match=f"model is not a sum over rows, which the score of a predictive distribution needs, .*: .*{words}.*; ",
    ):
        lx.predictive(model, key=jax.random.key(0))


def discrete(pm):
    pm.Normal("y", pm.Poisson("number", 2), 1.0, observed=Y)


def minibatch(pm):
    pm.Normal(
        "y",
        pm.Normal("mean", 0, 1),
        1.0,
        observed=pm.Minibatch(Y, batch_size=10),
        total_size=N,
    )


def without_jax(pm):
    pm.Censored(
        "y",
        pm.Normal.dist(pm.Normal("mean", 0, 1), 1),
        lower=None,
        upper=2.0,
        observed=np.minimum(Y, 2.0),
    )


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (discrete, "variable 'number' is discrete, and has no gradient; sum it out"),
        (lambda pm: pm.Normal("mean", 0, 1), "the model observes nothing"),
        (lambda pm: pm.Normal("y", 0, 1, observed=Y), "the model has no free variable"),
        (without_jax, r"the model cannot be computed in JAX \(NotImplementedError: "),
        (minibatch, "variable 'y' has a total_size, which scales its log density"),
        (
            lambda pm: pm.Exponential("y", pm.HalfNormal("rate", 1), observed=Y),
            "is finite at none of the positions",
        ),
    ],
)
def test_models_without_a_density_to_sample_are_refused(pm, write, words):
    with pm.Model() as model:
        write(pm)
    with pytest.raises(ValueError, match=words):
        lx.pymc.posterior(model)


def flat(pm):
    pm.Normal("y", pm.Normal("mean", 0, 5), pm.HalfFlat("noise"), observed=Y)


def flat_but_for_a_potential(pm):
    mean = pm.Flat("mean")
    pm.Potential("prior", -(mean**2) / 2)
    pm.Normal("y", mean, 1.0, observed=Y)


def test_an_improper_prior_is_refused_unless_a_potential_makes_it_proper(pm):
    options = {"num_particles": 16, "posterior_shares": (1.0,), "num_folds": None}
    with pm.Model() as model:
        flat(pm)
    draws = {
        "mean": 0.3 * RNG.normal(size=64),
        "noise": np.exp(0.1 * RNG.normal(size=64)),
    }
    with pytest.raises(
        ValueError,
        match="the prior of model is improper: along 'noise' its logarithm changes by",
    ):
        lx.predictive(model, key=jax.random.key(0), draws=draws, **options)
    with pm.Model() as model:
        flat_but_for_a_potential(pm)
    draws = {"mean": Y.sum() / (N + 1) + RNG.normal(size=256) / np.sqrt(N + 1)}
    assert (
        lx.predictive(
            model, key=jax.random.key(0), draws=draws, **options
        ).posterior_share
        == 1
    )


def test_a_model_is_a_target_and_variables_that_a_start_leaves_out_start_anywhere(pm):
    with pm.Model() as model:
        level, noise = pm.Normal("level", 0, 5), pm.HalfNormal("noise", 2)
        pm.Normal("y", level, noise, observed=Y)
    draws = lx.sample(model, {"level": 0.0}, key=jax.random.key(0), num_samples=200)
    level = draws.positions["level"]
    assert abs(level.mean() - Y.mean()) < 0.1 * Y.std()
    np.testing.assert_allclose(level.std(), Y.std() / np.sqrt(N), rtol=0.2)
    options = {"key": jax.random.key(0)}
    with pytest.raises(ValueError, match="did you mean 'level'"):
        lx.sample(model, {"levle": 0.0}, **options)
    with pytest.raises(TypeError, match="model_args are the arguments of a NumPyro"):
        lx.sample(model, model_args=(Y,), **options)


@pytest.mark.filterwarnings("ignore:Data in y contains missing values")
def test_missing_values_that_pymc_draws_are_named(pm):
    with pm.Model() as model:
        holed = np.where(np.arange(N) < 2, np.nan, Y)
        pm.Normal("y", pm.Normal("level", 0, 5) * X[:, 0], 1.0, observed=holed)
    reason = lx.pymc.posterior(model).full_gradients
    assert "PyMC draws missing values as the variable 'y_unobserved'" in reason


def test_what_is_not_a_model_is_refused(pm):
    with pytest.raises(
        TypeError, match=r"model must be a pymc.Model, got 3; pass the model itself"
    ):
        lx.pymc.posterior(3)


@pytest.fixture(scope="module")
def visits(pm):
    """A model of 200 counts that spread more than Poisson's, its law, and 400 new rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    y = rng.poisson(np.exp(x @ [0.5, -0.3, 0.1] + 0.9 * rng.normal(size=600)))
    with pm.Model(coords={"person": range(200)}) as model:
        columns, counts = (
            pm.Data("x", x[:200], dims=("person", "column")),
            pm.Data("counts", y[:200]),
        )
        mean = pm.math.exp(
            pm.Normal("level", 0, 2) + columns @ pm.Normal("slopes", 0, 1, shape=3)
        )
        pm.Poisson("visits", mean, observed=counts)
    options = {
        "num_particles": 128,
        "posterior_shares": (1.0, 0.3, 0.1),
        "num_folds": None,
    }
    return (
        model,
        lx.predictive(model, key=jax.random.key(0), **options),
        {"x": x[200:], "counts": y[200:]},
    )


def test_a_law_scores_new_rows_as_scipy_does_and_gains_over_bayes(visits):
    from scipy import stats

    _, law, new = visits
    assert law.posterior_share == 0.1
    assert law.compare().nats > 0.05
    assert not law.model.has_density_floor  # counts
    eta = law.positions["level"][:, None] + law.positions["slopes"] @ new["x"].T
    known = np.log(stats.poisson.pmf(new["counts"], np.exp(eta)).mean(axis=0))
    np.testing.assert_allclose(law.log_score(new), known, atol=2e-4)


def test_new_rows_are_drawn_by_pymc_at_the_particles(pm, visits):
    model, law, new = visits
    particles = law.to_datatree()["posterior"].to_dataset()
    with model:
        before = model["x"].get_value(), model["counts"].get_value()
        values = {"x": new["x"][:20], "counts": np.zeros(20, before[1].dtype)}
        pm.set_data(values, coords={"person": range(20)})
        options = {
            "random_seed": 1,
            "return_inferencedata": False,
            "progressbar": False,
        }
        drawn = pm.sample_posterior_predictive(particles, **options)["visits"][0]
        pm.set_data(
            dict(zip(values, before, strict=True)), coords={"person": range(200)}
        )
    assert drawn.shape == (len(law.points), 20)
    means = np.exp(
        law.positions["level"][:, None] + law.positions["slopes"] @ new["x"][:20].T
    )
    errors = np.sqrt((means.mean(axis=0) + means.var(axis=0)) / len(means))
    assert np.all(np.abs(drawn.mean(axis=0) - means.mean(axis=0)) < 5 * errors)


def test_a_law_is_kept_in_a_file_for_its_model(visits, tmp_path):
    model, law, _ = visits
    law.save(tmp_path / "law.npz")
    again = lx.predictive_law.load(tmp_path / "law.npz", model)
    np.testing.assert_array_equal(again.points, law.points)


def test_draws_of_pm_sample_are_taken_with_their_chains(visits):
    arviz = pytest.importorskip("arviz")  # which PyMC brings
    _, law, _ = visits
    level = np.linspace(-1, 1, 64).reshape(2, 32)
    posterior = {
        "level": level,
        "slopes": np.stack([level, level**2, level**3], axis=-1),
    }
    for draws in (SimpleNamespace(posterior=posterior), arviz.from_dict(posterior)):
        read = law.model.positions_of(draws)
        np.testing.assert_allclose(read["slopes"][:, 1], level.ravel() ** 2, rtol=1e-6)
        assert read["level"].shape == (64,)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (
            {"x": X},
            r"new must be one dictionary of \['counts', 'x'\], got ",
        ),
        (
            X,
            r"new must be one dictionary of \['counts', 'x'\], got ",
        ),
        (
            {"x": X[:, :2], "counts": COUNTS},
            r"new has rows of shape .*'x': \(2,\)}, but data had .*'x': \(3,\)}",
        ),
    ],
)
def test_new_rows_of_another_form_are_refused(visits, new, words):
    with pytest.raises((TypeError, ValueError), match=words):
        visits[1].log_score(new)


def test_arrays_without_a_name_have_no_new_rows(pm):
    with pm.Model() as model:
        normal(pm)
    law = lx.predictive(
        model,
        key=jax.random.key(0),
        num_particles=16,
        posterior_shares=(1.0,),
        num_folds=None,
    )
    with pytest.raises(
        ValueError,
        match=r"arrays without a name with one entry per row \(of shape \(40, 3\)\)",
    ):
        law.log_score({"y": jnp.zeros(3)})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning")
def test_a_tree_has_the_models_own_axes_and_what_it_computes(pm):
    group = np.arange(N) % 4
    coords = {"school": ["a", "b", "c", "d"], "row": np.arange(N)}
    with pm.Model(coords=coords) as model:
        mean = pm.Normal("mean", 0.0, 5.0)
        scale = pm.HalfNormal("scale", 1.0)
        effect = pm.Normal("effect", mean, 1.0, dims="school")
        centred = pm.Deterministic("centred", effect - mean, dims="school")
        pm.Normal("y", mean + centred[group], scale, observed=Y, dims="row")
    draws = lx.sample(model, key=jax.random.key(0), num_samples=100)
    tree = draws.to_datatree(log_likelihood=True)
    of_draws = draws.positions
    assert tree["posterior"]["centred"].dims == ("chain", "draw", "school")
    assert list(tree["posterior"]["school"].values) == coords["school"]
    centred = of_draws["effect"] - of_draws["mean"][..., None]
    np.testing.assert_allclose(tree["posterior"]["centred"], centred, atol=1e-5)
    np.testing.assert_allclose(tree["observed_data"]["y"], Y)
    scale = of_draws["scale"][..., None]
    residual = (Y - of_draws["effect"][..., group]) / scale
    own = -(residual**2) / 2 - np.log(scale) - np.log(2 * np.pi) / 2
    np.testing.assert_allclose(tree["log_likelihood"]["y"], own, rtol=1e-3, atol=1e-4)
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "row")
    assert {"diverging", "lp", "energy"} <= set(tree["sample_stats"].data_vars)
