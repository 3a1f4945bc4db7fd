"""Certificates of predictive laws against grids: `python -m benchmarks predictive --certificates [--seeds N]`.

Models of one and two parameters, where damped Newton steps on a grid give the least objective to rounding. Every seed
is a law and a certificate of its own. An interval covers where it holds the grid's value; refused ones count as well,
and follow below the table in their own words.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

import langevax as lx
from tests.predictive_law.cases import COUNTS
from tests.predictive_law.grids import GALAXIES, cooled, solve

GROUPS = np.concatenate(
    [2 + 0.3 * np.linspace(-1.5, 1.5, 14), 4.3 + 0.4 * np.linspace(-1.5, 1.5, 26)]
)


@dataclass(frozen=True)
class GridCase:
    """A model of few parameters, its rows, and a grid on which its laws are exact."""

    name: str
    log_prior: Callable
    log_likelihood: Callable
    rows: np.ndarray
    axes: tuple[np.ndarray, ...]
    posterior_shares: tuple[float, ...]
    num_particles: int = 64
    effort: float = 1e8

    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points of the grid, log likelihoods (grid, row) and the log prior as it is written."""
        points = np.stack(
            [axis.ravel() for axis in np.meshgrid(*self.axes, indexing="ij")], axis=1
        )
        with jax.enable_x64():
            where, rows = jnp.asarray(points), jnp.asarray(self.rows)
            logs = jax.vmap(
                lambda x: jax.vmap(lambda row: self.log_likelihood(x, row))(rows)
            )(where)
            return points, np.asarray(logs), np.asarray(jax.vmap(self.log_prior)(where))

    def least(self, posterior_share: float) -> float:
        """Return min J_a of the continuous parameters, with the log prior as it is written."""
        _, logs, log_prior = self.table()
        volume = np.prod([axis[1] - axis[0] for axis in self.axes])
        (law,) = cooled(
            logs, log_prior, (1,), start=1000.0, posterior_share=posterior_share
        )
        assert abs(law.gap) < 1e-6
        return law.value - np.logaddexp.reduce(log_prior) - np.log(volume)

    def draws(self, count: int) -> np.ndarray:
        """Return posterior draws, with noise of the width of a cell."""
        points, logs, log_prior = self.table()
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(points), count, p=solve(logs, log_prior, 1.0).weights)
        widths = np.array([axis[1] - axis[0] for axis in self.axes])
        return (
            points[chosen] + widths * (rng.uniform(size=(count, len(widths))) - 0.5)
        ).astype(np.float32)


def _poisson(x: jax.Array, count: jax.Array) -> jax.Array:
    return count * x[0] - jnp.exp(x[0]) - gammaln(count + 1)


def _normal(x: jax.Array, y: jax.Array) -> jax.Array:
    return -((y - x[0]) ** 2) / 2 - jnp.log(2 * jnp.pi) / 2


def _scaled(x: jax.Array, y: jax.Array) -> jax.Array:
    return -(((y - x[0]) * jnp.exp(-x[1])) ** 2) / 2 - x[1] - jnp.log(2 * jnp.pi) / 2


CASES = (
    GridCase(
        "counts",
        lambda x: -(x[0] ** 2) / 2,
        _poisson,
        COUNTS,
        (np.linspace(-7, 5, 1201),),
        (1.0, 0.3, 0.05),
    ),
    GridCase(
        "galaxies",
        lambda x: -(((x[0] - 20) / 10) ** 2) / 2,
        _normal,
        (GALAXIES / 1000).astype(np.float32),
        (np.linspace(-15, 55, 1401),),
        (1.0, 0.3, 0.1, 0.05),
        num_particles=256,
        effort=3e8,
    ),
    GridCase(
        "two groups, free scale",
        lambda x: -((x[0] - 3) ** 2) / 8 - x[1] ** 2 / 2,
        _scaled,
        GROUPS.astype(np.float32),
        (np.linspace(-4, 10, 281), np.linspace(-4, 3, 141)),
        (1.0, 0.5, 0.2, 0.1),
    ),
)


def one_seed(
    case: GridCase, draws: np.ndarray, seed: int
) -> tuple[lx.predictive_law.LawCertificate, float]:
    """Return the certificate of one law, and CPU seconds."""
    began = time.process_time()
    law_key, key = jax.random.split(jax.random.key(seed))
    options = {
        "num_particles": case.num_particles,
        "num_folds": None,
        "posterior_shares": case.posterior_shares,
        "draws": draws,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        law = lx.predictive(
            case.log_prior, case.log_likelihood, case.rows, key=law_key, **options
        )
    return law.certificate(
        key=key, effort=case.effort, run=lx.Run(progress=False)
    ), time.process_time() - began


def main(seeds: int) -> None:
    """Print the table as Markdown."""
    print(
        "| case | rows | seeds | covered | certified | of these covered | median width | Bayes leaves | CPU s a seed |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    refusals = []
    for case in CASES:
        draws, least, lines = case.draws(1024), {}, []
        for seed in range(seeds):
            certificate, seconds = one_seed(case, draws, seed)
            share = certificate.posterior_share
            if share not in least:
                least[share] = case.least(share)
            covered = certificate.lower_bound <= least[share] <= certificate.upper_bound
            left = certificate.bayes_objective - least[share]
            lines.append(
                (covered, certificate.trustworthy, certificate.width, left, seconds)
            )
            if not certificate.trustworthy:
                refusals.append(f"- {case.name}, seed {seed}: {certificate}")
        covered, certified, width, left, seconds = np.array(lines, float).T
        chosen = certified == 1
        print(
            f"| {case.name} | {len(case.rows)} | {seeds} | {covered.sum():.0f} | {chosen.sum()} | "
            f"{covered[chosen].sum():.0f} | {np.median(width[chosen]):.2f} | {np.median(left[chosen]):.1f} | "
            f"{seconds.mean():.1f} |",
            flush=True,
        )
    print("\n" + ("\n".join(refusals) or "None was refused."))
