"""When does a transformer begin to fit noise: its learning coefficient along a training.

Four tokens are followed by the same four, of which one in four is drawn anew. A transformer of 341 weights learns
within 300 steps to look back by four places, and its loss hardly falls from then on. Its learning coefficient, how many
parameters it uses, goes on growing: what it learns from there is the noise of its 512 sequences, and the loss of others
rises. `learning_coefficient` estimates it inside the training loop; far from a minimum it refuses, and the error bar
at step 300 is the fall that descent still finds there.

The localization of 100 counts directions that matter within about 0.1. With 300 the coefficients from step 500 on are
4.9, 6.0, 7.4 and 10.9: they depend on it, their growth does not.

Run it: `python examples/transformer.py`. It prints losses and coefficients, and writes out/transformer.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _shared import CARD, OUT, command, label, picture

import langevax as lx
from langevax.figures import theme

TOKENS, HALF, WIDTH = 5, 4, 8
LOCALIZATION = 100.0  # weights stay within about 0.1
FREQUENCIES = jnp.array([0.4, 0.25, 0.15, 0.1, 0.1])
SHAPES = {
    "token": (TOKENS, WIDTH),
    "place": (2 * HALF, WIDTH),
    "query": (WIDTH, WIDTH),
    "key": (WIDTH, WIDTH),
    "value": (WIDTH, WIDTH),
    "out": (WIDTH, TOKENS),
}


def sequences(key, count: int):
    """Four tokens, and the same with one in four drawn anew."""
    first_key, noise_key, which_key = jax.random.split(key, 3)
    first, noise = (
        jax.random.categorical(k, jnp.log(FREQUENCIES), shape=(count, HALF))
        for k in (first_key, noise_key)
    )
    return jnp.concatenate(
        [
            first,
            jnp.where(jax.random.uniform(which_key, first.shape) < 0.25, noise, first),
        ],
        1,
    )


def initial(key) -> dict:
    """Weights before the training."""
    keys = jax.random.split(key, len(SHAPES))
    scales = {
        name: 0.5 if name in ("token", "place") else 0.5 / WIDTH**0.5 for name in SHAPES
    }
    weights = {
        name: scales[name] * jax.random.normal(k, SHAPES[name])
        for k, name in zip(keys, SHAPES, strict=True)
    }
    return weights | {"bias": jnp.zeros(TOKENS)}


def loss(w, tokens):
    """Minus the log probability of the second half of a sequence: one layer of attention."""
    x = w["token"][tokens[:-1]] + w["place"][:-1]
    scores = (x @ w["query"]) @ (x @ w["key"]).T / WIDTH**0.5
    scores = jnp.where(jnp.tril(jnp.ones_like(scores, bool)), scores, -jnp.inf)
    x = x + jax.nn.softmax(scores) @ (x @ w["value"])
    log_probabilities = jax.nn.log_softmax(x @ w["out"] + w["bias"])[HALF - 1 :]
    return -jnp.sum(jnp.take_along_axis(log_probabilities, tokens[HALF:, None], 1))


@jax.jit
def mean_loss(w, rows):
    """Of all rows."""
    return jnp.mean(jax.vmap(loss, (None, 0))(w, rows))


def draw(steps, estimates, ours: np.ndarray, theirs: np.ndarray, out: Path) -> None:
    """Losses above, coefficients below."""
    values, errors = estimates
    place = np.where(steps == 0, steps[1] / 2, steps)  # 0 has no logarithm
    refused = np.isnan(values)
    with picture(
        out / "transformer.png", (2, 1), figsize=(CARD[0], 4.4), sharex=True
    ) as (upper, lower):
        upper.plot(place, theirs, "s-", color=theme.OKABE_ITO[1])
        upper.plot(place, ours, "o-", color=theme.OKABE_ITO[0])
        label(
            upper,
            "other sequences",
            (place[-1], theirs[-1]),
            (0, 8),
            color=theme.OKABE_ITO[1],
            ha="right",
        )
        label(
            upper,
            "its own",
            (place[-1], ours[-1]),
            (0, -14),
            color=theme.OKABE_ITO[0],
            ha="right",
        )
        upper.set(
            ylabel="loss in nats",
            ylim=(2, None),
            title="The loss has fallen, and the coefficient goes on growing",
        )
        lower.errorbar(
            place,
            values,
            2 * errors,
            fmt="o-",
            color=theme.OKABE_ITO[0],
            capsize=3,
        )
        lower.plot(place[refused], np.zeros(refused.sum()), "x", color=theme.GREY)
        label(lower, "no minimum nearby", (place[0], 0), (0, 8), color=theme.GREY)
        lower.set(
            xscale="log", xlabel="step of the training", ylabel="learning coefficient"
        )


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Loss of the rows, loss of others, and coefficients along the training."""
    rows, others = sequences(jax.random.key(0), 512), sequences(jax.random.key(2), 5000)
    steps = [0, 300, 1000] if quick else [0, 50, 100, 200, 300, 500, 1000, 2000, 4000]
    options = (
        {"num_samples": 50, "num_warmup": 50}
        if quick
        else {"num_samples": 100, "num_warmup": 100}
    )
    options |= {
        "num_chains": 2,
        "run": lx.Run(progress=False),
        "localization": LOCALIZATION,
    }
    optimiser = optax.adam(2e-3)
    weights = initial(jax.random.key(1))
    state, losses, estimates = optimiser.init(weights), [], []

    @jax.jit
    def train(weights, state, count):
        def step(_, carry):
            weights, state = carry
            updates, state = optimiser.update(
                jax.grad(mean_loss)(weights, rows), state, weights
            )
            return optax.apply_updates(weights, updates), state

        return jax.lax.fori_loop(0, count, step, (weights, state))

    for step, following in zip(steps, [*steps[1:], steps[-1]], strict=True):
        losses.append(
            (float(mean_loss(weights, rows)), float(mean_loss(weights, others)))
        )
        key = jax.random.fold_in(jax.random.key(1), step)
        try:
            one = lx.learning_coefficient(loss, weights, rows, key=key, **options)
        except ValueError:  # these weights are not near a minimum
            estimates.append((np.nan, np.nan))
            shown = "not near a minimum"
        else:
            estimates.append((one.value, one.standard_error))
            shown = f"coefficient {one.value:5.2f} ± {one.standard_error:.2f}"
        mine, other = losses[-1]
        print(
            f"step {step:>5,}: loss {mine:.3f}, of other sequences {other:.3f}, {shown}"
        )
        weights, state = train(weights, state, following - step)
    ours, theirs = np.array(losses).T
    values, errors = np.array(estimates).T
    draw(np.array(steps), (values, errors), ours, theirs, out)
    return {
        "refused": float(np.isnan(values).sum()),
        "learned": ours[-1],
        "grows": float(values[-1] / values[steps.index(300)]),
        "errors": float(np.nanmax(errors / values)),
    }


if __name__ == "__main__":
    command(main)
