"""Regressions: in raw units, collinear, robust, of counts, classes, times and many rows."""

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
    vector,
)


def diabetes() -> Data:
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True, scaled=False)
    return np.asarray(X), np.asarray(y)


def standardised_diabetes() -> Data:
    X, y = diabetes()
    return (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()


@posterior(diabetes)
def raw_regression(X, y):  # columns of means 0.5 to 189
    w, intercept = vector("w", X.shape[1], 100.0), normal("intercept", 0, 1000.0)
    observed(y, dist.Normal(intercept + X @ w, half_normal("spread", 100.0)))


def longley() -> Data:
    from statsmodels.datasets import longley

    table = longley.load_pandas()
    return table.exog.to_numpy(), table.endog.to_numpy() / 1000


@posterior(longley)
def collinear_regression(X, y):  # columns of 1e2 to 1e6, of correlations beyond 0.99
    X = (X - X.mean(0)) / X.std(0)
    observed(
        y,
        dist.Normal(
            normal("intercept", 65, 10) + X @ vector("w", 6, 10.0),
            half_normal("spread", 2.0),
        ),
    )


def stackloss() -> Data:
    from statsmodels.datasets import stackloss

    table = stackloss.load_pandas()
    return table.exog.to_numpy(), table.endog.to_numpy()


@posterior(stackloss)
def robust_regression(X, y):
    degrees = numpyro.sample("degrees", dist.Gamma(2.0, 0.1))
    law = dist.StudentT(
        degrees,
        normal("intercept", 0, 50) + X @ vector("w", 3, 5.0),
        half_normal("spread", 10.0),
    )
    observed(y, law)


def engel() -> Data:
    from statsmodels.datasets import engel

    table = engel.load_pandas().data
    return table["income"].to_numpy(), table["foodexp"].to_numpy()


@posterior(engel)
def median_regression(income, expenditure):  # raw units, absolute deviations
    slope, intercept = normal("slope"), normal("intercept", 0, 500.0)
    observed(
        expenditure,
        dist.Laplace(intercept + slope * income, half_normal("spread", 200.0)),
    )


DUGONG_AGES = (
    *(1.0, 1.5, 1.5, 1.5, 2.5, 4.0, 5.0, 5.0, 7.0, 8.0, 8.5, 9.0, 9.5, 9.5),
    *(10.0, 12.0, 12.0, 13.0, 13.0, 14.5, 15.5, 15.5, 16.5, 17.0, 22.5, 29.0, 31.5),
)
DUGONG_LENGTHS = (
    *(
        1.80,
        1.85,
        1.87,
        1.77,
        2.02,
        2.27,
        2.15,
        2.26,
        2.47,
        2.19,
        2.26,
        2.40,
        2.39,
        2.41,
    ),
    *(2.50, 2.32, 2.32, 2.43, 2.47, 2.56, 2.65, 2.47, 2.64, 2.56, 2.70, 2.72, 2.57),
)


@posterior(lambda: (np.array(DUGONG_AGES), np.array(DUGONG_LENGTHS)))
def growth_curve(age, length):
    limit, deficit = half_normal("limit", 5.0), half_normal("deficit", 5.0)
    rate = numpyro.sample("rate", dist.Uniform(0.3, 1.0))
    observed(length, dist.Normal(limit - deficit * rate**age, half_normal("spread")))


def spector() -> Data:
    from statsmodels.datasets import spector

    table = spector.load_pandas()
    return table.exog.to_numpy(), table.endog.to_numpy()


@posterior(spector)
def raw_logistic(X, y):
    observed(
        y, dist.Bernoulli(logits=normal("intercept", 0, 10) + X @ vector("w", 3, 2.0))
    )


def breast_cancer() -> Data:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = np.asarray(X)
    return (X - X.mean(0)) / X.std(0), np.asarray(y)


@posterior(breast_cancer)
def logistic(X, y):
    observed(y, dist.Bernoulli(logits=X @ vector("w", X.shape[1])))


def synthetic_logistic(rows: int, columns: int) -> Data:
    rng = random_numbers(1)
    X = rng.normal(size=(rows, columns)) @ (np.eye(columns) + 0.3)
    return X, (
        rng.uniform(size=rows) < 1 / (1 + np.exp(-X @ rng.normal(size=columns) / 4))
    ).astype(np.int32)


@posterior(lambda: synthetic_logistic(100_000, 10))
def logistic_of_many_rows(X, y):
    observed(y, dist.Bernoulli(logits=X @ vector("w", X.shape[1])))


@posterior(lambda: synthetic_logistic(20_000, 5))
def logistic_of_20_000_rows(X, y):
    observed(y, dist.Bernoulli(logits=X @ vector("w", X.shape[1])))


def iris() -> Data:
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    return np.asarray(X), np.asarray(y)


@posterior(iris)
def softmax_regression(X, y):
    W = numpyro.sample("W", dist.Normal(0, 2).expand([4, 3]).to_event(2))
    observed(y, dist.Categorical(logits=X @ W))


def executions() -> Data:
    from statsmodels.datasets import cpunish

    table = cpunish.load_pandas()
    return table.exog.to_numpy()[:, [0, 1, 3]] * [
        1e-4,
        0.1,
        1e-3,
    ], table.endog.to_numpy().astype(np.int32)


@posterior(executions)
def negative_binomial(X, count):
    rate = jnp.exp(normal("intercept", 0, 3) + X @ vector("w", 3))
    observed(
        count,
        dist.NegativeBinomial2(
            rate, numpyro.sample("concentration", dist.Gamma(2.0, 0.5))
        ),
    )


COUNTS = (
    0,
    0,
    3,
    0,
    5,
    2,
    0,
    0,
    4,
    0,
    1,
    6,
    0,
    2,
    0,
    0,
    3,
    3,
    0,
    7,
    0,
    2,
    4,
    0,
    0,
    5,
    1,
    0,
    3,
    0,
)


@posterior(lambda: (np.array(COUNTS, np.int32),))
def zero_inflated(count):
    gate, rate = (
        numpyro.sample("gate", dist.Beta(1, 1)),
        numpyro.sample("rate", dist.Gamma(2, 0.5)),
    )
    observed(count, dist.ZeroInflatedPoisson(gate, rate))


def ordered_responses() -> Data:
    rng = random_numbers(2)
    x = rng.normal(size=120)
    return x, np.digitize(0.8 * x + rng.logistic(size=120), [-1.0, 0.0, 1.5]).astype(
        np.int32
    )


@posterior(ordered_responses)
def ordinal(x, response):
    cuts = dist.TransformedDistribution(
        dist.Normal(0, 3).expand([3]).to_event(1), dist.transforms.OrderedTransform()
    )
    observed(
        response,
        dist.OrderedLogistic(normal("slope", 0, 2) * x, numpyro.sample("cuts", cuts)),
    )


def transplants() -> Data:
    from statsmodels.datasets import heart

    table = heart.load_pandas()
    return (
        table.endog.to_numpy(float),
        table.censors.to_numpy(float),
        table.exog.to_numpy(float).ravel(),
    )


@posterior(transplants)
def censored_weibull(days, died, age):
    shape = half_normal("shape", 2.0)
    scale = jnp.exp(normal("intercept", 6, 2) + normal("slope") * (age - 45) / 10)
    scaled = days / scale
    log_hazard = jnp.log(shape / scale) + (shape - 1) * jnp.log(scaled)
    with numpyro.plate("rows", len(days)):
        numpyro.factor("y", died * log_hazard - scaled**shape)


@posterior(standardised_diabetes)
def horseshoe(X, y):  # half-Cauchy widths, as their logarithms: they have no deviations
    def logarithm(scale):
        return dist.TransformedDistribution(
            dist.HalfCauchy(scale), dist.transforms.ExpTransform().inv
        )

    log_tau = numpyro.sample("log_tau", logarithm(0.1))
    log_widths = numpyro.sample("log_widths", logarithm(jnp.ones(10)).to_event(1))
    w = numpyro.deterministic("w", jnp.exp(log_tau + log_widths) * vector("z", 10))
    observed(y, dist.Normal(X @ w, half_normal("spread")))
