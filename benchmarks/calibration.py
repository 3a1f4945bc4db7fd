"""Simulation-based calibration of `sample` on eleven models, three of them with batches.

Parameters are drawn from the prior, data from the model, and the rank of each parameter among draws of the posterior is
uniform where the sampler is right (Talts, Betancourt, Simpson, Vehtari and Gelman 2018). The ECDF of the ranks is held
against simultaneous bands (Säilynoja, Bürkner and Vehtari, Statistics and Computing 2022), whose level is found by
simulation; over all parameters of all models the level is divided by their number.
"""

import argparse
import functools
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binom

import langevax as lx

REPLICATES, DRAWS, CHAINS = 100, 25, 4  # draws of each chain whose ranks are taken
NUM_SAMPLES = 250
LEVEL = 0.05
SIMULATIONS = 4_000  # of uniform ranks, for the bands

Truth = dict[str, np.ndarray]
Rows = tuple[np.ndarray, ...]


class CalibratedModel(NamedTuple):
    """A prior, a law of data, and the posterior for `sample`."""

    name: str
    draw: Callable[[np.random.Generator], tuple[Truth, Rows]]
    """Parameters from the prior, and data given them."""
    posterior: Callable[[Rows], Any]
    options: dict[str, Any]


def least_probabilities(ranks: np.ndarray, num_draws: int) -> np.ndarray:
    """Return the smallest pointwise probability of each ECDF of ranks, (..., replicates), at values below num_draws.

    That of a count is twice the smaller tail of the binomial law.
    """
    ranks, size = np.asarray(ranks), np.shape(ranks)[-1]
    lower, upper = _tails(size, num_draws)
    levels = np.arange(num_draws)
    counts = np.stack([np.sum(ranks <= level, axis=-1) for level in levels], axis=-1)
    return np.min(2 * np.minimum(lower[levels, counts], upper[levels, counts]), axis=-1)


@functools.cache
def _tails(size: int, num_draws: int) -> tuple[np.ndarray, np.ndarray]:
    """P(count <= k) and P(count >= k) of `size` uniform ranks, at each value and for each k."""
    shares = (np.arange(num_draws) + 1)[:, None] / (num_draws + 1)
    counts = np.arange(size + 1)[None]
    return binom.cdf(counts, size, shares), binom.sf(counts - 1, size, shares)


@functools.cache
def null_law(size: int, num_draws: int) -> np.ndarray:
    """Return sorted least probabilities of uniform ranks, by simulation."""
    ranks = np.random.default_rng(0).integers(0, num_draws + 1, (SIMULATIONS, size))
    return np.sort(least_probabilities(ranks, num_draws))


def p_values(ranks: np.ndarray, num_draws: int) -> np.ndarray:
    """Return the probability of an ECDF as far out as that of these ranks, (parameter, replicate), for uniform ones.

    Below LEVEL the ECDF leaves the simultaneous bands of that level.
    """
    null = null_law(np.shape(ranks)[-1], num_draws)
    exceeded = np.searchsorted(
        null, least_probabilities(ranks, num_draws) * (1 + 1e-9), side="right"
    )
    return (1 + exceeded) / (1 + len(null))


def ranks_of(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return ranks of true parameters, (d,), among DRAWS evenly spaced draws of each chain, (chain, draw, d)."""
    spaced = draws[:, np.linspace(0, draws.shape[1] - 1, DRAWS).astype(int)]
    return np.sum(spaced < truth, axis=(0, 1))


def calibrate(
    model: CalibratedModel, replicates: int, seed: int, scales: Sequence[float] = (1.0,)
) -> np.ndarray:
    """Return ranks, (scale, parameter, replicate). Scales widen all draws about their mean, to test the test."""
    rng, ranks = np.random.default_rng(seed), []
    for replicate in range(replicates):
        truth, rows = model.draw(rng)
        rows = tuple(
            np.float32(a) if a.dtype.kind == "f" else np.int32(a) for a in rows
        )
        start = {name: jnp.zeros(np.shape(value)) for name, value in truth.items()}
        options = {
            "num_samples": NUM_SAMPLES,
            "num_chains": CHAINS,
            "run": lx.Run(progress=False),
        } | model.options
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", lx.sampling.SamplingWarning
            )  # fewer draws than it asks for
            samples = lx.sample(
                model.posterior(rows),
                start,
                key=jax.random.key(1000 * seed + replicate),
                **options,
            )
        draws: Any = samples.positions
        values = np.concatenate(
            [draws[name].reshape(CHAINS, NUM_SAMPLES, -1) for name in truth], axis=2
        )
        mean, true_values = (
            values.mean((0, 1)),
            np.concatenate([np.ravel(value) for value in truth.values()]),
        )
        ranks.append(
            [ranks_of(mean + scale * (values - mean), true_values) for scale in scales]
        )
    return np.moveaxis(np.array(ranks), 0, 2)


def with_design(
    columns: int,
    rows: int,
    outcome: Callable[[np.random.Generator, np.ndarray], np.ndarray],
    mixing: float = 0.3,
) -> Callable[[np.random.Generator], tuple[Truth, Rows]]:
    """Coefficients N(0, 1) and correlated columns."""

    def draw(rng: np.random.Generator) -> tuple[Truth, Rows]:
        w = rng.normal(size=columns)
        X = (
            rng.normal(size=(rows, columns))
            @ (np.eye(columns) + mixing)
            / np.sqrt(columns)
        )
        return {"w": w}, (X, outcome(rng, X @ w))

    return draw


def bernoulli(rng: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    return np.where(
        rng.uniform(size=len(logits)) < 1 / (1 + np.exp(-logits)), 1.0, -1.0
    )


def by_rows(
    log_likelihood: Callable[[Any, Any], jax.Array],
    log_prior: Callable[[Any], jax.Array] | None = None,
) -> Callable[[Rows], Any]:
    """Return the posterior with a prior N(0, 1) of each parameter, unless another is passed."""
    return lambda rows: lx.posterior(
        log_prior, log_likelihood, rows, prior_precision=0.0 if log_prior else 1.0
    )


logistic = by_rows(lambda p, row: -jax.nn.softplus(-row[1] * (row[0] @ p["w"])))
regression = by_rows(lambda p, row: -((row[1] - row[0] @ p["w"]) ** 2) / 2)
poisson = by_rows(lambda p, row: row[1] * (row[0] @ p["w"]) - jnp.exp(row[0] @ p["w"]))
student = by_rows(lambda p, row: -2.5 * jnp.log1p((row[1] - row[0] @ p["w"]) ** 2 / 4))


def draw_means(rng: np.random.Generator) -> tuple[Truth, Rows]:
    mean = rng.normal(size=50)
    return {"mean": mean}, (mean + rng.normal(size=(10, 50)),)


def draw_scale(rng: np.random.Generator) -> tuple[Truth, Rows]:
    mean, log_sd = rng.normal(), 0.5 * rng.normal()
    return {"mean": np.array(mean), "log_sd": np.array(log_sd)}, (
        mean + np.exp(log_sd) * rng.normal(size=30),
    )


def draw_groups(rng: np.random.Generator) -> tuple[Truth, Rows]:
    mean, log_width, z = rng.normal(), 0.5 * rng.normal(), rng.normal(size=6)
    effects = mean + np.exp(log_width) * z
    truth = {"mean": np.array(mean), "log_width": np.array(log_width), "z": z}
    group = np.repeat(np.arange(6), 8)
    return truth, (group, effects[group] + rng.normal(size=48))


def draw_series(rng: np.random.Generator) -> tuple[Truth, Rows]:
    logit, mean, values = rng.normal(), rng.normal(), [0.0]
    share = 2 / (1 + np.exp(-logit)) - 1
    for _ in range(40):
        values.append(mean + share * (values[-1] - mean) + rng.normal())
    return {"logit": np.array(logit), "mean": np.array(mean)}, (
        np.array(values[:-1]),
        np.array(values[1:]),
    )


def log_scale_likelihood(p: Any, row: Any) -> jax.Array:
    return -((row[0] - p["mean"]) ** 2) / (2 * jnp.exp(2 * p["log_sd"])) - p["log_sd"]


def group_likelihood(p: Any, row: Any) -> jax.Array:
    return -((row[1] - p["mean"] - jnp.exp(p["log_width"]) * p["z"][row[0]]) ** 2) / 2


def series_likelihood(p: Any, row: Any) -> jax.Array:
    share = 2 * jax.nn.sigmoid(p["logit"]) - 1
    return -((row[1] - p["mean"] - share * (row[0] - p["mean"])) ** 2) / 2


means = by_rows(lambda p, row: -jnp.sum((row[0] - p["mean"]) ** 2) / 2)
scales = by_rows(
    log_scale_likelihood, lambda p: -(p["mean"] ** 2) / 2 - 2 * p["log_sd"] ** 2
)
groups = by_rows(
    group_likelihood,
    lambda p: (
        -(p["mean"] ** 2) / 2 - 2 * p["log_width"] ** 2 - jnp.sum(p["z"] ** 2) / 2
    ),
)
series = by_rows(series_likelihood)

MODELS = (
    CalibratedModel("means", draw_means, means, {}),
    CalibratedModel(
        "regression",
        with_design(4, 40, lambda rng, mean: mean + rng.normal(size=len(mean))),
        regression,
        {},
    ),
    CalibratedModel("logistic", with_design(3, 100, bernoulli), logistic, {}),
    CalibratedModel(
        "poisson",
        with_design(3, 60, lambda rng, log: rng.poisson(np.exp(log)).astype(float)),
        poisson,
        {},
    ),
    CalibratedModel(
        "student",
        with_design(3, 60, lambda rng, mean: mean + rng.standard_t(4, size=len(mean))),
        student,
        {},
    ),
    CalibratedModel("mean and scale", draw_scale, scales, {}),
    CalibratedModel("groups", draw_groups, groups, {}),
    CalibratedModel("autoregression", draw_series, series, {"algorithm": lx.MALA()}),
    CalibratedModel(
        "logistic, SVRG",
        with_design(5, 4_000, bernoulli),
        logistic,
        {"algorithm": lx.Langevin(gradient=lx.gradients.SVRG(64))},
    ),
    CalibratedModel(
        "logistic, control variate",
        with_design(5, 4_000, bernoulli),
        logistic,
        {"algorithm": lx.Langevin(gradient=lx.gradients.ControlVariate(64))},
    ),
)


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table as Markdown, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks calibration", description=__doc__
    )
    names = [model.name for model in MODELS]
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"of {names}",
    )
    parser.add_argument(
        "--replicates",
        type=int,
        default=REPLICATES,
        help=f"of each model; {REPLICATES}",
    )
    parser.add_argument("--seed", type=int, default=0, help="of truths and data; 0")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="widens all draws, to see the bands left; 1",
    )
    options = parser.parse_args(arguments)
    models = [model for model in MODELS if model.name in options.only]
    print("| model | parameters | replicates | smallest p | CPU s |")
    print("|---|---|---|---|---|")
    smallest = []
    for model in models:
        began = time.process_time()
        p = p_values(
            calibrate(model, options.replicates, options.seed, [options.scale])[0],
            CHAINS * DRAWS,
        )
        smallest += list(p)
        seconds = time.process_time() - began
        print(
            f"| {model.name} | {len(p)} | {options.replicates} | {p.min():.4f} | {seconds:.0f} |",
            flush=True,
        )
    limit = LEVEL / len(smallest)
    outside = sum(p < limit for p in smallest)
    print(
        f"\n{outside} of {len(smallest)} parameters leave their bands, at a level of {LEVEL:g} over all of them."
    )
