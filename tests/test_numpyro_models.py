"""NumPyro models of many styles: the density that is sampled is NumPyro's own, by rows or as a whole, or is refused.

`pytest -s` prints a line for each model: by rows, whole density or refused.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from tests.sentences import refuses

numpyro = pytest.importorskip("numpyro")
dist = pytest.importorskip("numpyro.distributions")
handlers = pytest.importorskip("numpyro.handlers")
from numpyro.contrib.control_flow import scan  # noqa: E402  after the skip
from numpyro.infer.reparam import LocScaleReparam  # noqa: E402
from numpyro.infer.util import potential_energy  # noqa: E402

import langevax.numpyro  # noqa: E402

pytestmark = pytest.mark.mostly_compiling

RNG = np.random.default_rng(0)
N = 12
X = RNG.normal(size=(N, 2)).astype(np.float32)
Y = (X @ [1.0, -2.0] + 0.5 + 0.7 * RNG.normal(size=N)).astype(np.float32)
SIGN = (Y > 0).astype(np.int32)
COUNT = RNG.poisson(3.0, N).astype(np.int32)
GROUP = np.arange(N, dtype=np.int32) % 3
USED = np.arange(N) % 4 > 0
OTHER = RNG.normal(size=N).astype(np.float32)
WITH_GAPS = np.where(USED, Y, np.nan).astype(np.float32)


def normal(name="mean", loc=0.0, scale=1.0):
    return numpyro.sample(name, dist.Normal(loc, scale))


def rows(y, loc, scale=1.0, name="y"):
    with numpyro.plate(f"{name} rows", len(y)):
        return numpyro.sample(name, dist.Normal(loc, scale), obs=y)


def regression(x, y):
    w = numpyro.sample("w", dist.Normal(0, 2).expand([2]).to_event(1))
    rows(y, x @ w + normal(), numpyro.sample("scale", dist.HalfNormal(1.0)))


def without_plate(x, y):
    w = numpyro.sample("w", dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)))
    numpyro.sample("y", dist.StudentT(4.0, x @ w, 1.0), obs=y)


def logistic(x, sign):
    w = numpyro.sample("w", dist.Laplace(0.0, 1.0).expand([2]))
    with numpyro.plate("rows", len(sign)):
        numpyro.sample("sign", dist.Bernoulli(logits=x @ w), obs=sign)


def poisson(x, count):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    numpyro.sample("count", dist.Poisson(jnp.exp(x @ w)), obs=count)


def categorical(x, group):
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2, 3]).to_event(2))
    numpyro.sample("group", dist.Categorical(logits=x @ w), obs=group)


def ordinal(x, group):
    cuts = numpyro.sample(
        "cuts",
        dist.TransformedDistribution(
            dist.Normal(0, 1).expand([2]).to_event(1),
            dist.transforms.OrderedTransform(),
        ),
    )
    numpyro.sample("group", dist.OrderedLogistic(normal() * x[:, 0], cuts), obs=group)


def mixture(y):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    locations = numpyro.sample("locations", dist.Normal(0, 2).expand([2]).to_event(1))
    parts = dist.Normal(locations, 1.0)
    numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(weights), parts), obs=y)


def zero_inflated(count):
    gate = numpyro.sample("gate", dist.Beta(1.0, 1.0))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    numpyro.sample("count", dist.ZeroInflatedPoisson(gate, rate), obs=count)


def negative_binomial(count):
    concentration = numpyro.sample("concentration", dist.HalfCauchy(1.0))
    numpyro.sample(
        "count", dist.NegativeBinomial2(jnp.exp(normal()), concentration), obs=count
    )


def grouped(y, group):
    spread = numpyro.sample("spread", dist.HalfCauchy(1.0))
    with numpyro.plate("groups", 3):
        effect = numpyro.sample("effect", dist.Normal(0, spread))
    rows(y, effect[group])


def non_centred(y, group):
    spread = numpyro.sample("spread", dist.LogNormal(0.0, 1.0))
    with (
        handlers.reparam(config={"effect": LocScaleReparam(0.0)}),
        numpyro.plate("groups", 3),
    ):
        effect = numpyro.sample("effect", dist.Normal(normal(), spread))
    rows(y, effect[group])


def correlated_effects(x, y, group):
    root = numpyro.sample("root", dist.LKJCholesky(2, 1.0))
    with numpyro.plate("groups", 3):
        effects = numpyro.sample(
            "effects", dist.MultivariateNormal(jnp.zeros(2), scale_tril=root)
        )
    rows(y, jnp.sum(effects[group] * x, axis=-1))


def weighted(y, weight):
    mean = normal()
    with numpyro.plate("rows", len(y)), handlers.scale(scale=weight):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def scaled_likelihood(y):
    mean = normal()
    with handlers.scale(scale=0.1):
        rows(y, mean)


def scaled_prior(y):
    with handlers.scale(scale=5.0):
        scale = numpyro.sample("scale", dist.HalfNormal(2.0))
    rows(y, 0.0, scale)


def masked_rows(y, used):
    mean = normal()
    with handlers.mask(mask=used):
        rows(y, mean)


def factor_prior(y):
    mean = numpyro.sample("mean", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.factor("pull", -10 * (mean - 3) ** 2)
    rows(y, mean)


def row_factors(y):
    mean = normal()
    with numpyro.plate("rows", len(y)):
        numpyro.factor("loss", -jnp.abs(y - mean))


def summed_factor(y):
    mean = normal()
    numpyro.factor("loss", -jnp.sum(jnp.abs(y - mean)))


def improper(y):
    mean = numpyro.sample("mean", dist.ImproperUniform(dist.constraints.real, (), ()))
    rows(
        y,
        mean,
        numpyro.sample(
            "scale", dist.ImproperUniform(dist.constraints.positive, (), ())
        ),
    )


def improper_vector(x, y):
    flat = dist.ImproperUniform(dist.constraints.real, (), ())
    rows(y, x @ numpyro.sample("w", flat.expand([2]).to_event(1)))


def improper_event(x, y):
    rows(
        y,
        x
        @ numpyro.sample(
            "w", dist.ImproperUniform(dist.constraints.real_vector, (), (2,))
        ),
    )


def drawn_bounds(y):
    low = normal("low")
    rows(y, numpyro.sample("high", dist.Uniform(low, low + 3.0)))


def with_deterministic(y):
    rows(y, 0.0, numpyro.deterministic("scale", jnp.exp(normal())))


def with_options(x, y=None, prior_scale=1.0, robust=False):
    w = numpyro.sample("w", dist.Normal(0, prior_scale).expand([2]).to_event(1))
    numpyro.sample(
        "y",
        dist.StudentT(3.0, x @ w, 1.0) if robust else dist.Normal(x @ w, 1.0),
        obs=y,
    )


def shared_precision(y, locations):
    numpyro.sample("y", dist.Normal(jnp.mean(locations) + normal(), 1.0), obs=y)


conditioned = handlers.condition(
    lambda y: rows(y, normal(loc=normal("centre"), scale=0.1)), {"mean": 2.0}
)


def two_outcomes(y, sign):
    mean = normal()
    rows(y, mean)
    with numpyro.plate("signs", len(sign)):
        numpyro.sample("sign", dist.Bernoulli(logits=mean), obs=sign)


def closed_over(y):
    mean = normal()
    rows(OTHER, mean, 0.5, "other")
    rows(y, mean)


def closed_over_rows(y):
    """The second likelihood has as many rows as the data, and no plate."""
    mean = normal()
    numpyro.sample("y", dist.Normal(mean, 1), obs=y)
    numpyro.sample("other", dist.Normal(mean * y, 1), obs=OTHER)


def prior_of_rows(y):
    rows(y, normal(loc=jnp.mean(y)))


def standardised(y):
    rows((y - y.mean()) / y.std(), normal())


def centred_columns(x, y):
    rows(
        y,
        (x - x.mean(0))
        @ numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1)),
    )


def divided_factor(y):
    mean = normal()
    numpyro.factor("penalty", -jnp.square(mean) / len(y))
    rows(y, mean)


def fixed_plate(y):
    mean = normal()
    with numpyro.plate("rows", N):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def fixed_mask(y):
    mean = normal()
    with handlers.mask(mask=USED):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def fixed_weights(y):
    mean = normal()
    with handlers.scale(scale=jnp.where(USED, 2.0, 1.0)):
        numpyro.sample("y", dist.Normal(mean, 1), obs=y)


def minibatch_scale(y, size):
    mean = normal()
    with handlers.scale(scale=size / len(y)):
        rows(y, mean)


def local_latents(y):
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(y)):
        u = numpyro.sample("u", dist.Normal(0, spread))
        numpyro.sample("y", dist.Normal(u, 0.5), obs=y)


def fixed_local_latents(y):
    with numpyro.plate("rows", N):
        u = numpyro.sample("u", dist.Gamma(2.0, 1.0))
    rows(y, u)


def measurement_error(x, y):
    true = numpyro.sample("true", dist.Normal(0, 1).expand([len(y)]).to_event(1))
    numpyro.sample("x", dist.Normal(true, 0.3), obs=x[:, 0])
    numpyro.sample("y", dist.Normal(normal() * true, 1.0), obs=y)


def missing_values(y):
    gaps = numpyro.sample(
        "gaps", dist.Normal(0, 1).expand([int(np.isnan(y).sum())]).mask(False)
    )
    complete = jnp.asarray(np.nan_to_num(y)).at[np.flatnonzero(np.isnan(y))].set(gaps)
    numpyro.sample("y", dist.Normal(normal(), 1), obs=complete)


def gaussian_process(x, y):
    length = numpyro.sample("length", dist.LogNormal(0.0, 1.0))
    distance = jnp.sum((x[:, None] - x) ** 2, axis=-1)
    covariance = jnp.exp(-distance / length**2) + 0.1 * jnp.eye(len(y))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(y)), covariance), obs=y)


def autoregression(y):
    before = jnp.concatenate([jnp.zeros(1), y[:-1]])
    rows(y, normal("slope") * before)


def shifted_autoregression(y):
    numpyro.sample("y", dist.Normal(normal("slope") * y[:-1], 1.0), obs=y[1:])


def random_walk(y):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    rows(y, numpyro.sample("walk", dist.GaussianRandomWalk(scale, num_steps=len(y))))


def scanned_autoregression(y):
    slope = normal("slope")

    def transition(before, now):
        numpyro.sample("y", dist.Normal(slope * before, 1.0), obs=now)
        return now, None

    scan(transition, 0.0, y)


def scanned_latents(y):
    slope = numpyro.sample("slope", dist.Uniform(-1.0, 1.0))

    def transition(before, now):
        level = numpyro.sample("level", dist.Normal(slope * before, 1.0))
        numpyro.sample("y", dist.Normal(level, 0.5), obs=now)
        return level, None

    scan(transition, 0.0, y)


def garch(y):
    alpha = numpyro.sample("alpha", dist.Uniform(0.0, 0.5))
    omega = numpyro.sample("omega", dist.HalfNormal(1.0))

    def variance(before, value):
        return omega + alpha * value**2 + 0.3 * before, before

    _, variances = jax.lax.scan(variance, omega, y)
    numpyro.sample("y", dist.Normal(0.0, jnp.sqrt(variances)), obs=y)


def hidden_markov(y):
    stay = numpyro.sample("stay", dist.Beta(2.0, 2.0))
    means = numpyro.sample("means", dist.Normal(0, 1).expand([2]).to_event(1))
    transition = jnp.log(jnp.array([[stay, 1 - stay], [1 - stay, stay]]))

    def forward(log_alpha, value):
        step = jax.nn.logsumexp(log_alpha[:, None] + transition, axis=0)
        return step + dist.Normal(means, 1.0).log_prob(value), None

    log_alpha, _ = jax.lax.scan(forward, jnp.full(2, -jnp.log(2.0)), y)
    numpyro.factor("likelihood", jax.nn.logsumexp(log_alpha))


def horseshoe(x, y):
    tau = numpyro.sample("tau", dist.HalfCauchy(1.0))
    widths = numpyro.sample("widths", dist.HalfCauchy(1.0).expand([2]).to_event(1))
    rows(y, x @ numpyro.sample("w", dist.Normal(0, tau * widths).to_event(1)))


def eight_schools(J, sigma, y=None):
    mu, tau = normal("mu", 0, 5), numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("J", J):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("obs", dist.Normal(theta, sigma), obs=y)


def item_response(person, item, sign):
    with numpyro.plate("persons", int(np.max(person)) + 1):
        ability = numpyro.sample("ability", dist.Normal(0, 1))
    with numpyro.plate("items", int(np.max(item)) + 1):
        difficulty = numpyro.sample("difficulty", dist.Normal(0, 1))
    numpyro.sample(
        "sign", dist.Bernoulli(logits=ability[person] - difficulty[item]), obs=sign
    )


def levels_of_data(y, group):
    levels, index = np.unique(np.asarray(group), return_inverse=True)
    with numpyro.plate("groups", len(levels)):
        effect = numpyro.sample("effect", dist.Normal(0, 1))
    rows(y, effect[index])


def binomial_totals(total, success):
    numpyro.sample("success", dist.Binomial(total, logits=normal()), obs=success)


def no_rows():
    numpyro.sample("y", dist.Normal(normal(), 1), obs=1.5)


def subsampled(y):
    mean = normal()
    with numpyro.plate("rows", len(y), subsample_size=4) as indices:
        numpyro.sample("y", dist.Normal(mean, 1), obs=jnp.asarray(y)[indices])


def discrete(y):
    k = numpyro.sample("k", dist.Bernoulli(0.5))
    rows(y, k.astype(jnp.float32))


def local_discrete(y):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("rows", len(y)):
        k = numpyro.sample(
            "k", dist.Categorical(weights), infer={"enumerate": "parallel"}
        )
        numpyro.sample("y", dist.Normal(2.0 * k, 1), obs=y)


def observes_nothing(y):
    normal()


def random_density(y):
    noise = jax.random.normal(numpyro.prng_key())
    rows(y, normal() + noise)


def all_observed(y):
    rows(y, 0.0)


ROWS = [
    (regression, (X, Y)),
    (without_plate, (X, Y)),
    (logistic, (X, SIGN)),
    (poisson, (X, COUNT)),
    (categorical, (X, GROUP)),
    (ordinal, (X, GROUP)),
    (mixture, (Y,)),
    (zero_inflated, (COUNT,)),
    (negative_binomial, (COUNT,)),
    (grouped, (Y, GROUP)),
    (non_centred, (Y, GROUP)),
    (correlated_effects, (X, Y, GROUP)),
    (weighted, (Y, 1.0 + USED.astype(np.float32))),
    (scaled_likelihood, (Y,)),
    (scaled_prior, (Y,)),
    (masked_rows, (Y, USED)),
    (factor_prior, (Y,)),
    (row_factors, (Y,)),
    (summed_factor, (Y,)),
    (improper, (Y,)),
    (improper_vector, (X, Y)),
    (improper_event, (X, Y)),
    (drawn_bounds, (Y,)),
    (with_deterministic, (Y,)),
    (shared_precision, (Y, np.float32([0.5, 1.5]))),
    (conditioned, (Y,)),
    (two_outcomes, (Y, SIGN)),
    (closed_over, (Y,)),
    (horseshoe, (X, Y)),
    (binomial_totals, (COUNT + 5, COUNT)),
]
WHOLE = [
    (closed_over_rows, (Y,), "site 'other' has the log density"),
    (prior_of_rows, (Y,), "site 'mean' has the log density"),
    (standardised, (Y,), "site 'y' has the log density"),
    (centred_columns, (X, Y), "site 'y' has the log density"),
    (divided_factor, (Y,), "site 'penalty' has the log density"),
    (fixed_plate, (Y,), "site 'y' has the log density"),
    (fixed_mask, (Y,), "site 'y' has the log density"),
    (fixed_weights, (Y,), "site 'y' has the log density"),
    (minibatch_scale, (Y, 2 * N), "site 'y' has the log density"),
    (local_latents, (Y,), "latent sites ['u'] change with the number of rows"),
    (fixed_local_latents, (Y,), "site 'y' has the log density"),
    (measurement_error, (X, Y), "latent sites ['true'] change"),
    (missing_values, (WITH_GAPS,), "latent sites ['gaps'] change"),
    (gaussian_process, (X, Y), "site 'y' has the log density"),
    (autoregression, (Y,), "site 'y' has the log density"),
    (shifted_autoregression, (Y,), ""),
    (random_walk, (Y,), "latent sites ['walk'] change"),
    (scanned_autoregression, (Y,), "site 'y' has the log density"),
    (scanned_latents, (Y,), "latent sites ['level'] change"),
    (garch, (Y,), "site 'y' has the log density"),
    (hidden_markov, (Y,), "site 'likelihood' has the log density"),
    (eight_schools, (N, np.ones(N, np.float32), Y), "site 'obs' has the log density"),
    (
        item_response,
        (GROUP, np.arange(N, dtype=np.int32) // 6, SIGN),
        "with one row at a time",
    ),
    (levels_of_data, (Y, GROUP), "latent sites ['effect'] change"),
    (no_rows, (), "no array with several rows"),
]
REFUSED = [
    (subsampled, "'rows' 4"),
    (discrete, "'k'"),
    (local_discrete, "'k'"),
    (observes_nothing, ""),
    (random_density, ""),
    (all_observed, ""),
]


QUICK = {
    regression,
    zero_inflated,
    scaled_prior,
    factor_prior,
    improper_event,
    with_deterministic,
    closed_over,
}
QUICK |= {
    closed_over_rows,
    prior_of_rows,
    standardised,
    minibatch_scale,
    local_latents,
    levels_of_data,
    no_rows,
}
"""Models whose densities are compared in the quick suite; the others take minutes to compile."""


def parameters(models):
    return [
        pytest.param(*row, marks=() if row[0] in QUICK else pytest.mark.slow)
        for row in models
    ]


def name_of(value):
    return getattr(value, "__name__", "" if isinstance(value, tuple | str) else None)


def assert_numpyros(adapted, model, data):
    """Potentials agree, constants included, at positions that the adapter did not look at."""

    @jax.jit
    def potentials(key):
        point = adapted.start(key)
        with jax.numpy_dtype_promotion("standard"), numpyro.validation_enabled(False):
            theirs = potential_energy(handlers.seed(model, 0), data, {}, point)
        return adapted.problem.potential(point) / adapted.target.temperature, theirs

    for seed in (10, 11):
        ours, theirs = potentials(jax.random.key(seed))
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize(("model", "data"), parameters(ROWS), ids=name_of)
def test_a_sum_over_rows_has_numpyros_density(model, data):
    adapted = langevax.numpyro.posterior(model, *data)
    print(f"{name_of(model)}: by rows")
    assert adapted.full_gradients is None
    assert_numpyros(adapted, model, data)


@pytest.mark.parametrize(("model", "data", "reason"), parameters(WHOLE), ids=name_of)
def test_any_other_model_is_sampled_by_its_whole_density(model, data, reason):
    adapted = langevax.numpyro.posterior(model, *data)
    print(f"{name_of(model)}: whole density")
    assert adapted.full_gradients is not None
    assert reason in adapted.full_gradients
    assert_numpyros(adapted, model, data)


@pytest.mark.parametrize(("model", "facts"), REFUSED, ids=name_of)
def test_what_has_no_density_of_its_own_is_refused(model, facts):
    with refuses(ValueError, facts):
        langevax.numpyro.posterior(model, Y)
    print(f"{name_of(model)}: refused")


def test_most_styles_are_sampled():
    assert len(ROWS) + len(WHOLE) + len(REFUSED) >= 40
    assert len(REFUSED) <= (len(ROWS) + len(WHOLE)) / 4


@pytest.mark.slow
def test_options_and_short_arrays_are_held_fixed():
    """By keyword, with a Python flag that decides on the likelihood."""
    adapted = langevax.numpyro.posterior(
        with_options, X, y=Y, prior_scale=2.0, robust=True
    )
    assert adapted.full_gradients is None
    point = {"w": jnp.array([0.3, -0.2])}
    options = {"y": Y, "prior_scale": 2.0, "robust": True}
    with jax.numpy_dtype_promotion("standard"):
        theirs = potential_energy(with_options, (X,), options, point)
    np.testing.assert_allclose(adapted.problem.potential(point) * N, theirs, rtol=1e-5)
