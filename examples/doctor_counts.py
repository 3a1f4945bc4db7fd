"""Is my model wrong, and what does that cost: a Poisson regression of visits to a doctor, and the law that repairs it.

In the RAND health insurance experiment (in statsmodels) the variance of visits is several times their mean, which no
Poisson law has. `predictive` takes any law of the model's own parameters between the posterior and the one that
predicts best, by leave-one-out scores, and says what the posterior loses, in nats a person.

Run it: `python examples/doctor_counts.py`. It prints the loss and writes out/doctor_counts.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import CARD, OUT, command, label, picture
from scipy.stats import poisson
from statsmodels.datasets import randhie

import langevax as lx
from langevax.figures import theme

COLUMNS = ["lncoins", "physlm", "disea", "hlthp"]


def log_prior(w: jax.Array) -> jax.Array:
    """N(0, 2^2) for the intercept and every slope."""
    return -jnp.sum(w**2) / 8


def log_likelihood(w: jax.Array, row: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Poisson, with the logarithm of its mean linear in the columns."""
    x, visits = row
    log_mean = x @ w
    return visits * log_mean - jnp.exp(log_mean) - jax.scipy.special.gammaln(visits + 1)


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """What Bayes loses, on the rows by leave-one-out and on unseen ones."""
    table = randhie.load_pandas().data.sample(2000, random_state=0)
    x = table[COLUMNS].to_numpy()
    x = np.column_stack([np.ones(len(x)), (x - x.mean(0)) / x.std(0)]).astype(
        np.float32
    )
    visits = table["mdvis"].to_numpy(np.float32)
    rows, x_test, true = (
        (x[: 200 if quick else 400], visits[: 200 if quick else 400]),
        x[500:],
        visits[500:],
    )
    options = (
        {"num_particles": 64, "posterior_shares": (1.0, 0.1)}
        if quick
        else {"posterior_shares": (1.0, 0.3, 0.1, 0.0)}
    )
    target = lx.posterior(log_prior, log_likelihood, rows)
    posterior = lx.sample(
        target,
        jnp.array([1.0, 0, 0, 0, 0]),
        key=jax.random.key(0),
        num_samples=100,
        run=lx.Run(progress=False),
    )
    fit = lx.predictive(
        target, draws=posterior, key=jax.random.key(1), num_folds=None, **options
    )
    print(fit.compare())

    laws = {
        "Bayes": posterior.positions.reshape(-1, 5),
        "chosen": np.asarray(fit.positions),
    }
    means = {
        name: np.exp(x_test @ law.T) for name, law in laws.items()
    }  # (person, draw)
    scores = {
        name: np.log(poisson.pmf(true[:, None], mean).mean(1))
        for name, mean in means.items()
    }
    gain = scores["chosen"] - scores["Bayes"]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print(
        f"on {len(gain):,} unseen people the gain is {gain.mean():.3f} ± {error:.3f} nats"
    )

    counts = np.arange(13)
    shares = {
        name: np.array([poisson.pmf(count, mean).mean() for count in counts])
        for name, mean in means.items()
    }
    observed = np.array([np.mean(true == count) for count in counts])
    blue, grey = theme.OKABE_ITO[0], theme.GREY
    with picture(out / "doctor_counts.png", 1, figsize=CARD) as axes:
        axes.bar(counts, observed, 0.75, color=theme.LIGHT["grid"])
        axes.plot(counts, shares["Bayes"], color=grey, marker="x")
        axes.plot(counts, shares["chosen"], color=blue, marker="o")
        axes.annotate(
            "bars: unseen people",
            (12.4, observed.max()),
            ha="right",
            va="top",
            color=theme.LIGHT["soft"],
        )
        label(axes, "Poisson, posterior", (3.3, shares["Bayes"][3]), (4, 4), color=grey)
        label(
            axes,
            "Poisson, law that predicts best",
            (0.6, shares["chosen"][0]),
            (10, 0),
            color=blue,
        )
        axes.set(xlabel="visits to a doctor in a year", ylabel="share of people")
        axes.set_title(f"Bayes loses {gain.mean():.2f} nats a person")
    return {
        "share": fit.posterior_share,
        "loss": float(fit.compare().nats),
        "unseen": float(gain.mean()),
        "none, off": float(shares["chosen"][0] - observed[0]),
        "Bayes: none, off": float(shares["Bayes"][0] - observed[0]),
    }


if __name__ == "__main__":
    command(main)
