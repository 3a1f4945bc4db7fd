"""A NumPyro model sampled with minibatches, beside NUTS: how often people see a doctor.

The RAND health insurance experiment (in statsmodels): 20,190 person-years, counts that scatter far more than a Poisson
law, so a negative binomial model with nine columns. The model stands as NumPyro has it; `langevax.numpyro.posterior`
reads its likelihood row by row.

Run it: `python examples/doctor_visits.py`. It prints agreement and cost and writes out/doctor_visits.png.
"""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from _shared import OUT, command, picture
from statsmodels.datasets import randhie

import langevax as lx
import langevax.numpyro
from langevax.figures import theme

NAMES = {
    "lncoins": "coinsurance",
    "idp": "deductible",
    "lpi": "incentive paid",
    "fmde": "ceiling",
    "physlm": "limited",
    "disea": "chronic diseases",
    "hlthg": "health good",
    "hlthf": "health fair",
    "hlthp": "health poor",
}


def model(x: jax.Array, visits: jax.Array) -> None:
    """Counts of mean exp(intercept + x weights) and variance mean + mean^2 / concentration."""
    intercept = numpyro.sample("intercept", dist.Normal(0, 2))
    weights = numpyro.sample(
        "weights", dist.Normal(0, 1).expand([x.shape[-1]]).to_event(1)
    )
    concentration = numpyro.sample("concentration", dist.LogNormal(0, 1))
    with numpyro.plate("rows", len(visits)):
        numpyro.sample(
            "visits",
            dist.NegativeBinomial2(jnp.exp(intercept + x @ weights), concentration),
            obs=visits,
        )


def flat(sites: dict[str, np.ndarray]) -> np.ndarray:
    """Draws of all coefficients, (draws, 11), whatever chains they come from."""
    columns = [np.asarray(sites["weights"]).reshape(-1, len(NAMES))]
    columns += [
        np.asarray(sites[name]).reshape(-1, 1)
        for name in ("intercept", "concentration")
    ]
    return np.concatenate(columns, axis=1)


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Means and deviations of eleven coefficients by both, and what they cost."""
    table = randhie.load_pandas().data
    x, visits = (
        table[list(NAMES)].to_numpy(float),
        jnp.asarray(table["mdvis"].to_numpy(), jnp.float32),
    )
    x = jnp.asarray((x - x.mean(0)) / x.std(0), jnp.float32)
    if quick:
        x, visits = x[::20], visits[::20]

    posterior = lx.numpyro.posterior(model, x, visits)
    start = jax.tree.map(
        jnp.zeros_like, posterior.start(jax.random.key(0))
    )  # a draw of the prior may overflow exp
    svrg = lx.gradients.SVRG()
    effort = (
        {"num_samples": 200, "algorithm": lx.Langevin(gradient=svrg)}
        if not quick
        else {"num_samples": 50, "algorithm": lx.Langevin(0.1, gradient=svrg)}
    )
    draws = lx.sample(
        posterior.target,
        start,
        key=jax.random.key(1),
        run=lx.Run(progress=False),
        **effort,
    )
    ours = flat(posterior.constrain(draws.positions))
    print(
        f"SVRG-LD, step {draws.step_size:g}: {draws.evaluations / len(x):,.0f} passes, {draws.seconds:.0f} s"
    )
    print("SVRG-LD", draws.step_size_bias or "not tuned", *draws.warnings)

    began = time.perf_counter()
    kernel, lengths = numpyro.infer.NUTS(model), (100, 200) if quick else (200, 500)
    nuts = numpyro.infer.MCMC(
        kernel, num_warmup=lengths[0], num_samples=lengths[1], progress_bar=False
    )
    nuts.run(jax.random.key(2), x, visits, extra_fields=("num_steps",))
    passes = int(np.sum(nuts.get_extra_fields()["num_steps"]))
    print(
        f"NUTS {passes:,} passes after its warm-up, {time.perf_counter() - began:.0f} s in all"
    )
    theirs = flat(nuts.get_samples())
    off = (ours.mean(0) - theirs.mean(0)) / theirs.std(0)
    ratio = ours.std(0) / theirs.std(0)
    print(
        f"means off by at most {np.abs(off).max():.2f} sd; sd {ratio.min():.2f} to {ratio.max():.2f} of NUTS's"
    )

    order = np.argsort(theirs.mean(0)[: len(NAMES)])
    with picture(out / "doctor_visits.png", 1, figsize=(7.5, 4)) as axes:
        svrg, grey = theme.METHODS["SVRG-LD"], (theme.GREY, "x")
        for coefficients, (colour, marker), shift, label in (
            (theirs, grey, 0.14, "NUTS"),
            (ours, svrg, -0.14, "SVRG-LD"),
        ):
            mean, low, high = (
                coefficients.mean(0)[order],
                *np.quantile(coefficients[:, order], [0.05, 0.95], axis=0),
            )
            place = np.arange(len(order)) + shift
            axes.errorbar(
                mean,
                place,
                xerr=[mean - low, high - mean],
                fmt=marker,
                color=colour,
                label=label,
            )
        axes.axvline(0, color=theme.INK, linewidth=0.8)
        axes.set_yticks(range(len(order)), [list(NAMES.values())[i] for i in order])
        axes.set(
            xlabel="change of the log of visits with one sd of the column; mean and 90 % interval"
        )
        axes.set_title("What sends people to a doctor")
        axes.legend(loc="lower right")
    return {
        "off": float(np.abs(off).max()),
        "narrowest": float(ratio.min()),
        "widest": float(ratio.max()),
        "chronic diseases": float(ours.mean(0)[5]),
    }


if __name__ == "__main__":
    command(main)
