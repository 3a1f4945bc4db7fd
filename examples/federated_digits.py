"""Ten clients who have each seen one digit only: FedAvg against FLEDGE, counted by exchanges and by vectors sent.

Softmax regression on scikit-learn's digits, a quarter held out. Local steps pull each client to its own digit, so that
FedAvg settles away from the optimum, the further the longer its steps. FLEDGE sends gradients too, asks three clients a
round, and goes on to the optimum.

Run it: `python examples/federated_digits.py`. It prints where both end and writes out/federated_digits.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _shared import OUT, command, picture
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import langevax as lx
from langevax.data import partitions
from langevax.figures import theme

RIDGE, LOCAL = 1e-2, {"num_local_steps": 16, "batch_size": 16}
METHODS = {
    "FedAvg, step 0.1": (lx.federated.FedAvg(0.1, **LOCAL), 1, (theme.GREY, "x")),
    "FedAvg, step 0.03": (
        lx.federated.FedAvg(0.03, **LOCAL),
        1,
        (theme.OKABE_ITO[4], "v"),
    ),
    "FLEDGE, step 0.1": (
        lx.federated.FLEDGE(0.1, **LOCAL, clients_per_round=3),
        2,
        (theme.OKABE_ITO[0], "o"),
    ),
}  # exchanges of a round, and how it is drawn


def loss(weights: jax.Array, row: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Of one digit, with weight decay."""
    pixels, label = row
    entropy = optax.softmax_cross_entropy_with_integer_labels(pixels @ weights, label)
    return entropy + RIDGE / 2 * jnp.sum(weights**2)


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Loss above the optimum along the exchanges, and what was sent."""
    table, labels = load_digits(return_X_y=True)
    table = np.column_stack([table / 16, np.ones(len(table))]).astype(np.float32)
    X, unseen, y, true = train_test_split(
        table, labels.astype(np.int32), stratify=labels, random_state=0
    )
    parts = partitions.by_concentration(
        y, num_clients=10, concentration=1.0, key=jax.random.key(0)
    )
    federation = lx.Federation(loss, *partitions.stack((X, y), parts))

    central = LogisticRegression(
        C=1 / (RIDGE * len(X)), fit_intercept=False, tol=1e-8, max_iter=1000
    ).fit(X, y)
    optimum = float(
        federation.value(jnp.asarray(central.coef_.T, jnp.float32))
    )  # of all rows in one place
    print(f"all rows in one place: accuracy {central.score(unseen, true):.3f}")
    exchanges, chains = (100, 3) if quick else (400, 8)
    curves, measured = {}, {}
    for name, (method, a_round, _) in METHODS.items():
        result = lx.simulate(
            method,
            federation,
            jnp.zeros((65, 10)),
            key=jax.random.key(0),
            num_steps=exchanges // a_round,
            num_chains=chains,
            record=lambda problem, state: problem.value(state.position),
            record_every=1,
        )
        counts = {
            key: np.asarray(result.trace.info[key])[0]
            for key in ("exchanges", "vectors")
        }
        above = np.asarray(result.positions) - optimum
        curves[name] = counts, above
        accuracy = np.mean(
            np.argmax(unseen @ np.asarray(result.position), axis=2) == true, axis=1
        )
        root, spent = (
            np.sqrt(chains),
            f"{counts['exchanges'][-1]} exchanges, {counts['vectors'][-1]:,} vectors",
        )
        loss_above = f"{above[:, -1].mean():.2g} ± {above[:, -1].std(ddof=1) / root:.1g} above the optimum"
        score = f"accuracy {accuracy.mean():.3f} ± {accuracy.std(ddof=1) / root:.3f}"
        print(f"{name:<18} {spent}: {loss_above}, {score}")
        measured |= {
            f"{name}: above": above[:, -1].mean(),
            f"{name}: accuracy": accuracy.mean(),
        }
        measured[f"{name}: vectors"] = counts["vectors"][-1]

    with picture(out / "federated_digits.png", card=0, sharey=True) as both:
        for axes, kind in zip(both, ("exchanges", "vectors"), strict=True):
            for name, (_, _, (colour, marker)) in METHODS.items():
                counts, above = curves[name]
                shown = (
                    np.unique(np.geomspace(1, len(counts[kind]), 16).astype(int)) - 1
                )
                mean, error = (
                    above.mean(0)[shown],
                    above.std(0, ddof=1)[shown] / np.sqrt(chains),
                )
                axes.errorbar(
                    counts[kind][shown],
                    mean,
                    error,
                    color=colour,
                    marker=marker,
                    label=name,
                    capsize=2,
                )
            axes.set(xscale="log", yscale="log", xlabel=kind)
            axes.xaxis.set_major_formatter("{x:,g}")
        both[0].set(ylabel="loss above the optimum", title="Ten clients, a digit each")
        both[1].set_title("The same, by what is sent")
        both[0].legend(loc="lower left")
    return {name: float(value) for name, value in measured.items()}


if __name__ == "__main__":
    command(main)
