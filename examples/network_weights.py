"""Sample the weights of a network of your own: `langevax.optax` ends an optax chain, the network is Equinox's.

300 handwritten digits to learn from, 1,497 to predict. Adam, trained on, grows sure of its mistakes. The same loop with
`langevin` for Adam draws networks from the posterior, or from a colder law; their mean keeps getting better. Adam
stopped at the right time is ahead of both, but only the unseen digits tell when that is.

Run it: `python examples/network_weights.py`. It prints accuracy, loss, confidence; out/network_weights.png.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _shared import OUT, command, picture
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import langevax.optax
from langevax.figures import theme

ROWS, BATCH, PERIOD, RECORD = 300, 50, 12, 100
LOOK = {
    "Adam": (theme.GREY, "x"),
    "posterior": (theme.OKABE_ITO[0], "o"),
    "ten times colder": (theme.OKABE_ITO[1], "s"),
}


def train(
    optimizer: Any, X: jax.Array, y: jax.Array, unseen: jax.Array, steps: int
) -> np.ndarray:
    """Probabilities of the unseen rows after every RECORD steps, (records, rows, 10): a plain optax loop."""
    network = eqx.nn.MLP(64, 10, 32, 1, jax.nn.tanh, key=jax.random.key(0))
    start, rest = eqx.partition(network, eqx.is_array)
    logits = lambda params, X: jax.vmap(eqx.combine(params, rest))(X)
    loss = lambda params, X, y: optax.softmax_cross_entropy_with_integer_labels(
        logits(params, X), y
    ).mean()

    def step(carry: Any, key: jax.Array) -> Any:
        params, state = carry
        rows = jax.random.randint(key, (BATCH,), 0, ROWS)
        of_batch, of_all = (
            (lambda p: loss(p, X[rows], y[rows])),
            (lambda p: loss(p, X, y)),
        )  # what SVRG asks for
        grads = jax.grad(of_batch)(params)
        updates, state = optimizer.update(
            grads, state, params, value_fn=of_batch, full_value_fn=of_all
        )
        return (optax.apply_updates(params, updates), state), None

    def record(carry: Any, keys: jax.Array) -> Any:
        carry, _ = jax.lax.scan(step, carry, keys)
        return carry, jax.nn.softmax(logits(carry[0], unseen))

    keys = jax.random.split(jax.random.key(1), (steps // RECORD, RECORD))
    return np.asarray(
        jax.jit(
            lambda keys: jax.lax.scan(record, (start, optimizer.init(start)), keys)[1]
        )(keys)
    )


def sampler(colder: float) -> Any:
    """SVRG-LD: a posterior of n rows has temperature 1/n, and its prior N(0, I) the precision 1/n."""
    noise = langevax.optax.langevin(
        0.2, colder / ROWS, key=jax.random.key(2), precision=1 / ROWS
    )
    return optax.chain(langevax.optax.svrg(PERIOD), noise)


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Loss along the way, accuracy and confidence at the end."""
    table, labels = load_digits(return_X_y=True)
    table = ((table - table.mean(0)) / (8 * table.std(0) + 1e-3)).astype(np.float32)
    X, unseen, y, true = train_test_split(
        table, labels.astype(np.int32), train_size=ROWS, stratify=labels, random_state=0
    )
    steps = 3_000 if quick else 16_000
    adam = optax.with_extra_args_support(optax.adam(1e-3))
    runs = {"Adam": adam, "posterior": sampler(1.0), "ten times colder": sampler(0.1)}
    losses, ends, measured = {}, {}, {}
    for name, optimizer in runs.items():
        drawn = train(
            optimizer, jnp.asarray(X), jnp.asarray(y), jnp.asarray(unseen), steps
        )
        if name != "Adam":  # the mean of the later three quarters of the draws so far
            sums = np.concatenate(
                [np.zeros((1, *drawn.shape[1:])), np.cumsum(drawn, 0)]
            )
            last = np.arange(1, len(drawn) + 1)
            alone = float(np.mean(drawn[-1].argmax(1) == true))
            drawn = (sums[last] - sums[last // 4]) / (last - last // 4)[:, None, None]
            measured[f"{name}: accuracy of one draw"] = alone
        losses_of_draws = -np.log(
            np.maximum(drawn[:, np.arange(len(true)), true], 1e-30)
        )
        losses[name], ends[name] = losses_of_draws.mean(1), drawn[-1]
        right, sure = drawn[-1].argmax(1) == true, drawn[-1].max(1)
        measured |= {
            f"{name}: accuracy": right.mean(),
            f"{name}: sure": sure.mean(),
            f"{name}: loss": losses_of_draws[-1].mean(),
        }
        root = np.sqrt(len(true))
        score = f"accuracy {right.mean():.3f} ± {right.std() / root:.3f}, says {sure.mean():.3f}"
        loss = f"log loss {losses_of_draws[-1].mean():.3f} ± {losses_of_draws[-1].std() / root:.3f}"
        print(f"{name:<17} {score}; {loss}, least on the way {losses[name].min():.3f}")

    with picture(out / "network_weights.png", card=0) as (left, right):
        for name, (colour, marker) in LOOK.items():
            label = name if name == "Adam" else f"{name}, mean of draws"
            shown = np.unique(np.geomspace(4, steps // RECORD, 20).astype(int))
            left.plot(
                shown * RECORD,
                losses[name][shown - 1],
                color=colour,
                marker=marker,
                label=label,
            )
            bins = np.array_split(np.argsort(ends[name].max(1)), 6)
            sure = [ends[name][rows].max(1).mean() for rows in bins]
            hit = np.array(
                [np.mean(ends[name][rows].argmax(1) == true[rows]) for rows in bins]
            )
            error = np.sqrt(np.maximum(hit * (1 - hit), 0.002) / len(bins[0]))
            right.errorbar(
                sure, hit, error, color=colour, marker=marker, linewidth=1, capsize=2
            )
        left.set(
            xlabel="step",
            ylabel="log loss on unseen digits",
            xscale="log",
            ylim=(0, 0.8),
        )
        left.set_title("Trained on and on")
        left.xaxis.set_major_formatter("{x:,g}")
        left.xaxis.set_minor_formatter("")
        left.legend(loc="upper right")
        right.axline((0.9, 0.9), slope=1, color=theme.INK, linewidth=0.8)
        right.set(
            xlim=(0.3, 1.02),
            ylim=(0.3, 1.02),
            xlabel="how sure it says to be",
            ylabel="how often it is right",
        )
        right.set_title("Adam is too sure, the draws are not sure enough")
    return {name: float(value) for name, value in measured.items()}


if __name__ == "__main__":
    command(main)
