"""Hierarchies, centred and not; mixtures, series, processes; and awkward shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from benchmarks.posteriors.models import (
    Data,
    half_normal,
    normal,
    observed,
    posterior,
    random_numbers,
)

SCHOOLS = (
    np.array([28.0, 8, -3, 7, -1, 1, 18, 12]),
    np.array([15.0, 10, 16, 11, 9, 11, 10, 18]),
)
HITS = (18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7)
"""Of 45 at bats (Efron and Morris, JASA 1975)."""


@posterior(lambda: SCHOOLS)
def schools_non_centred(y, sigma):
    mu, tau = normal("mu", 0, 5), numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", 8):
        theta = numpyro.deterministic("theta", mu + tau * normal("z"))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


@posterior(lambda: SCHOOLS)
def schools_centred(y, sigma):
    mu, tau = normal("mu", 0, 5), numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", 8):
        numpyro.sample("y", dist.Normal(normal("theta", mu, tau), sigma), obs=y)


@posterior(lambda: (np.array(HITS, np.int32),))
def batting_averages(hits):
    mean = numpyro.sample("mean", dist.Beta(2, 4))
    size = jnp.exp(normal("log_size", 3, 1))
    with numpyro.plate("players", 18):
        share = numpyro.sample("share", dist.Beta(mean * size, (1 - mean) * size))
        numpyro.sample("hits", dist.Binomial(45, share), obs=hits)


def investments() -> Data:
    from statsmodels.datasets import grunfeld

    table = grunfeld.load_pandas().data
    firms = np.unique(table["firm"], return_inverse=True)[1].astype(np.int32)
    return (
        np.log(table["value"].to_numpy(float)),
        np.log(table["invest"].to_numpy(float)),
        firms,
    )


@posterior(investments)
def intercepts_centred(value, invest, firm):
    centre, width, slope = normal("centre", 0, 5), half_normal("width"), normal("slope")
    with numpyro.plate("firms", 11):
        intercept = normal("intercept", centre, width)
    observed(
        invest,
        dist.Normal(intercept[firm] + slope * (value - 6), half_normal("spread")),
    )


@posterior(investments)
def intercepts_non_centred(value, invest, firm):
    centre, width, slope = normal("centre", 0, 5), half_normal("width"), normal("slope")
    with numpyro.plate("firms", 11):
        intercept = numpyro.deterministic("intercept", centre + width * normal("z"))
    observed(
        invest,
        dist.Normal(intercept[firm] + slope * (value - 6), half_normal("spread")),
    )


def responses() -> Data:
    rng = random_numbers(3)
    ability, difficulty, slope = (
        rng.normal(size=60),
        rng.normal(size=8),
        rng.lognormal(0, 0.3, size=8),
    )
    person, item = (a.ravel().astype(np.int32) for a in np.indices((60, 8)))
    share = 1 / (1 + np.exp(-slope[item] * (ability[person] - difficulty[item])))
    return person, item, (rng.uniform(size=480) < share).astype(np.int32)


@posterior(responses)
def item_response(person, item, right):
    with numpyro.plate("persons", 60):
        ability = normal("ability")
    with numpyro.plate("items", 8):
        difficulty, slope = (
            normal("difficulty", 0, 2),
            numpyro.sample("slope", dist.LogNormal(0, 0.5)),
        )
    observed(
        right, dist.Bernoulli(logits=slope[item] * (ability[person] - difficulty[item]))
    )


def correlated_pairs() -> Data:
    rng = random_numbers(4)
    return (
        rng.normal(size=(40, 3))
        @ np.array([[1.0, 0.6, 0.0], [0.0, 0.8, -0.5], [0.0, 0.0, 2.0]]),
    )


@posterior(correlated_pairs)
def covariance(y):
    root = numpyro.sample("root", dist.LKJCholesky(3, 2.0))
    widths = numpyro.sample("widths", dist.HalfNormal(2).expand([3]).to_event(1))
    with numpyro.plate("rows", len(y)):
        numpyro.sample(
            "y",
            dist.MultivariateNormal(jnp.zeros(3), scale_tril=widths[:, None] * root),
            obs=y,
        )


# Mixtures and series


def two_clusters() -> Data:
    rng = random_numbers(5)
    return (
        np.concatenate([rng.normal(-1.5, 1.0, size=70), rng.normal(1.5, 0.7, size=50)]),
    )


@posterior(two_clusters)
def ordered_mixture(y):
    weight = numpyro.sample("weight", dist.Beta(2, 2))
    law = dist.TransformedDistribution(
        dist.Normal(0, 2).expand([2]).to_event(1), dist.transforms.OrderedTransform()
    )
    means, widths = (
        numpyro.sample("means", law),
        numpyro.sample("widths", dist.HalfNormal(2).expand([2]).to_event(1)),
    )
    mixing = dist.Categorical(jnp.stack([weight, 1 - weight]))
    observed(y, dist.MixtureSameFamily(mixing, dist.Normal(means, widths)))


def returns() -> Data:
    rng, variance, values = random_numbers(6), 1.0, []
    for _ in range(200):
        values.append(np.sqrt(variance) * rng.normal())
        variance = 0.3 + 0.25 * values[-1] ** 2 + 0.5 * variance
    return (np.array(values),)


@posterior(returns)
def garch(y):
    omega, alpha = half_normal("omega"), numpyro.sample("alpha", dist.Uniform(0, 1))
    beta = numpyro.sample("beta", dist.Uniform(0, 1 - alpha))

    def variance(before, value):
        after = omega + alpha * value**2 + beta * before
        return after, before

    _, variances = jax.lax.scan(variance, jnp.ones((), y.dtype), y)
    numpyro.sample("y", dist.Normal(normal("mean"), jnp.sqrt(variances)), obs=y)


def regimes() -> Data:
    rng, state, values = random_numbers(7), 0, []
    for _ in range(100):
        state = state if rng.uniform() < 0.9 else 1 - state
        values.append(rng.normal(3.0 * state, 1.0))
    return (np.array(values),)


@posterior(regimes)
def hidden_markov(y):
    stay = numpyro.sample("stay", dist.Beta(4, 1).expand([2]).to_event(1))
    low = normal("low", 0, 2)
    high = numpyro.deterministic("high", low + numpyro.sample("gap", dist.Gamma(3, 1)))
    transition = jnp.log(
        jnp.stack(
            [jnp.stack([stay[0], 1 - stay[0]]), jnp.stack([1 - stay[1], stay[1]])]
        )
    )
    log_densities = dist.Normal(jnp.stack([low, high]), 1.0).log_prob(y[:, None])

    def forward(log_alpha, row):
        return jax.nn.logsumexp(log_alpha[:, None] + transition, axis=0) + row, None

    log_alpha, _ = jax.lax.scan(
        forward, log_densities[0] - jnp.log(2.0), log_densities[1:]
    )
    numpyro.factor("y", jax.nn.logsumexp(log_alpha))


def nile() -> Data:
    from statsmodels.datasets import nile

    return (nile.load_pandas().data["volume"].to_numpy(float)[:60],)


@posterior(nile)
def autoregression(y):
    mean, share, spread = (
        normal("mean", 900, 200),
        numpyro.sample("share", dist.Uniform(-1, 1)),
        half_normal("s", 200),
    )
    numpyro.sample("y", dist.Normal(mean + share * (y[:-1] - mean), spread), obs=y[1:])


@posterior(nile)
def local_level(y):
    first, step, spread = (
        normal("first", 1000, 200),
        half_normal("step", 50),
        half_normal("spread", 200),
    )
    with numpyro.plate("years", len(y) - 1):
        z = normal("z")
    level = first + step * jnp.concatenate([jnp.zeros(1, z.dtype), jnp.cumsum(z)])
    numpyro.deterministic("last", level[-1])
    numpyro.sample("y", dist.Normal(level, spread), obs=y)


@posterior(returns)
def stochastic_volatility(y):
    y = y[:80]
    level, share = normal("level"), numpyro.sample("share", dist.Beta(20, 1.5))
    width = half_normal("width", 0.5)
    with numpyro.plate("times", len(y)):
        z = normal("z")

    def move(h, z):
        h = share * h + width * z
        return h, h

    _, h = jax.lax.scan(move, jnp.zeros((), z.dtype), z)
    numpyro.sample("y", dist.Normal(0, jnp.exp((level + h) / 2)), obs=y)


def sampled_curve() -> Data:
    x = np.linspace(-2, 2, 25)
    return x, np.sin(2 * x) + 0.3 * random_numbers(8).normal(size=25)


@posterior(sampled_curve)
def gaussian_process(x, y):
    scale = numpyro.sample("scale", dist.InverseGamma(5, 5))
    height, spread = half_normal("height", 2), half_normal("spread")
    kernel = height**2 * jnp.exp(
        -((x[:, None] - x) ** 2) / (2 * scale**2)
    ) + spread**2 * jnp.eye(len(x), dtype=x.dtype)
    numpyro.sample(
        "y", dist.MultivariateNormal(jnp.zeros(len(x), x.dtype), kernel), obs=y
    )


HARES = (
    *(30.0, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22.0, 25.4, 27.1),
    *(40.3, 57.0, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7),
)
LYNXES = (
    *(4.0, 6.1, 9.8, 35.2, 59.4, 41.7, 19.0, 13.0, 8.3, 9.1, 7.4),
    *(8.0, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6),
)
"""Pelts in thousands, 1900 to 1920, of the Hudson's Bay Company."""


@posterior(lambda: (np.array([HARES, LYNXES]).T,))
def lotka_volterra(pelts):
    growth = numpyro.sample(
        "growth", dist.LogNormal(jnp.log(jnp.array([0.6, 0.8])), 0.5).to_event(1)
    )
    meeting = numpyro.sample(
        "meeting", dist.LogNormal(jnp.log(jnp.array([0.028, 0.024])), 0.5).to_event(1)
    )
    first = numpyro.sample(
        "first", dist.LogNormal(jnp.log(10.0), 1).expand([2]).to_event(1)
    )
    spread = numpyro.sample("spread", dist.LogNormal(-1, 1).expand([2]).to_event(1))

    def slope(log_numbers):
        hares, lynxes = jnp.exp(log_numbers)
        return jnp.stack(
            [growth[0] - meeting[0] * lynxes, meeting[1] * hares - growth[1]]
        )

    def step(
        u, _
    ):  # the midpoint rule of Runge and Kutta's fourth order, a tenth of a year
        h = jnp.asarray(0.1, u.dtype)
        a = slope(u)
        b = slope(u + h / 2 * a)
        c = slope(u + h / 2 * b)
        d = slope(u + h * c)
        return u + h / 6 * (a + 2 * b + 2 * c + d), None

    def year(u, _):
        after, _ = jax.lax.scan(step, u, None, length=10)
        return after, after

    start = jnp.log(first)
    _, later = jax.lax.scan(year, start, None, length=len(pelts) - 1)
    numpyro.sample(
        "y",
        dist.LogNormal(jnp.concatenate([start[None], later]), spread).to_event(2),
        obs=pelts,
    )


# Awkward shapes


@posterior(lambda: (np.array([1.2, 0.7, 1.9]),))
def banana(y):
    a, b = normal("a", 0, 1), normal("b", 0, 3)
    observed(y, dist.Normal(b + 2 * a**2, 0.5))


@posterior(lambda: (np.zeros(1),))
def funnel(y):
    scale = jnp.exp(normal("log_scale", 0, 1) / 2)
    with numpyro.plate("coordinates", 5):
        normal("x", 0, scale)
    numpyro.sample("y", dist.Normal(normal("z"), 10.0), obs=y)


@posterior(lambda: (np.array([-1.0, 0.2, 0.4, 0.9, 8.0]),))
def cauchy_location(y):
    observed(y, dist.Cauchy(normal("place", 0, 10), half_normal("spread", 2)))


@posterior(lambda: (np.array([1.4, -0.3, 0.8, 2.1, 1.7]),))
def heavy_prior(y):
    observed(
        y,
        dist.Normal(
            numpyro.sample("mean", dist.StudentT(3, 0, 1)),
            numpyro.sample("width", dist.HalfCauchy(1)),
        ),
    )
