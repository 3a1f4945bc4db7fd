"""A non-convex classification risk: which method comes near its minimum with the fewest gradients.

The experiment of Kinoshita and Suzuki (NeurIPS 2022):

    F(theta) = (1/n) sum_i -tanh(y_i <theta, x_i>) + |theta|^2,      gamma = 1e4,  theta_0 = 0,  B = m = floor(sqrt n)

on the breast cancer table of scikit-learn, 569 rows and 30 standardised columns with a constant: the paper's tables
(Messidor, EEG Eye State) are not bundled. There the paper took eta = 1e-5 on columns as large as they came; on
standardised ones 1e-5 would not move, so that each method runs at each of `STEP_SIZES` (the curvature of the
regulariser is 2). The regulariser is the quadratic part of the problem with precision 2, the temperature 1/gamma.

Otherwise than in the paper's scripts all methods are recorded against the component gradients that they have used (2B
for a corrected step), so that SVRG's and SARAH's curves are not shifted; columns are standardised by the training rows
alone and labels never; and the minimum is known, by L-BFGS from many starts.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from langevax import gradients
from langevax.problems.finite_sum import FiniteSum
from langevax.run import simulate
from langevax.samplers import Langevin
from langevax.studies.classification.figure import draw
from langevax.studies.classification.verdict import judge
from langevax.studies.study import Config, Study

if TYPE_CHECKING:
    import xarray

GAMMA, TRAIN_SHARE = 1e4, 0.7
STEP_SIZES = (0.01, 0.03, 0.1, 0.3)
SHOWN = 0.1  # in the figure, and where methods are held against each other
WITHIN = 0.01  # of the reference risk
SIZES: dict[str, dict[str, int]] = {
    "full": {"repetitions": 16, "epochs": 60},
    "small": {"repetitions": 4, "epochs": 30},
}
LOOKS = 240
"""Records along a run."""
STARTS = 8


def loss(theta: Any, example: Any) -> Any:
    """Of one row; the regulariser stands apart."""
    x, y = example
    return -jnp.tanh(y * (x @ theta))


def split(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test rows, standardised by the training rows, with a constant; labels -1 and 1."""
    from sklearn.datasets import load_breast_cancer

    table: Any = load_breast_cancer()
    x, y = table.data, table.target
    order = random.permutation(len(x))
    train, test = np.split(order, [int(TRAIN_SHARE * len(x))])
    x = (x - x[train].mean(0)) / x[train].std(0)
    x, y = np.column_stack([x, np.ones(len(x))]), 2.0 * y - 1
    return x[train], y[train], x[test], y[test]


def risk(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """F at each of `theta` (..., d)."""
    return -np.tanh(theta @ (x.T * y)).mean(-1) + (theta**2).sum(-1)


def least_risk(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> float:
    """min F as L-BFGS finds it from 0 and from random starts."""
    from scipy.optimize import minimize

    signed = x * y[:, None]

    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        t = np.tanh(signed @ theta)
        return theta @ theta - t.mean(), 2 * theta - ((1 - t**2)[:, None] * signed).mean(0)

    starts = [np.zeros(x.shape[1]), *random.normal(size=(STARTS - 1, x.shape[1]))]
    return min(float(minimize(value_and_gradient, s, jac=True, method="L-BFGS-B").fun) for s in starts)


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """Every method at every step on every split."""
    import xarray

    size, seed = config.size, config.seed
    repetitions, epochs = SIZES[size].values()
    random = np.random.default_rng(seed)
    splits = [split(random) for _ in range(repetitions)]
    n = len(splits[0][0])
    batch = int(np.sqrt(n))
    budget = epochs * (n + 2 * batch * (batch - 1))
    methods = {
        "LD": (gradients.Full(), n),
        "SGLD": (gradients.Minibatch(batch_size=batch), batch),
        "SVRG-LD": (gradients.SVRG(batch_size=batch, period=batch), budget / (epochs * batch)),
        "SARAH-LD": (gradients.SARAH(batch_size=batch, period=batch), budget / (epochs * batch)),
    }
    shape = (len(methods), len(STEP_SIZES), repetitions, LOOKS + 1)
    used, found, accuracy = np.zeros((len(methods), LOOKS + 1)), np.full(shape, np.nan), np.full(shape, np.nan)
    least = np.zeros(repetitions)
    for r, (x, y, test_x, test_y) in enumerate(splits):
        least[r] = least_risk(x, y, random)
        problem = FiniteSum(loss, (jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)), precision=2.0)
        for i, (gradient, cost) in enumerate(methods.values()):
            every = max(1, int(budget / cost / LOOKS))
            looks = min(LOOKS, int(budget / cost / every))
            for j, step_size in enumerate(STEP_SIZES):
                run: Any = simulate(
                    Langevin(step_size, 1 / GAMMA, gradient),
                    problem,
                    jnp.zeros(x.shape[1], jnp.float32),
                    key=jax.random.fold_in(jax.random.key(seed), r * len(methods) + i),
                    num_steps=every * looks,
                    record_every=every,
                    progress=progress,
                )
                theta = np.concatenate([np.zeros((1, x.shape[1])), np.asarray(run.positions, np.float64)])
                used[i, 1 : looks + 1] = run.trace.info["evaluations"]
                used[i, looks + 1 :] = np.nan
                found[i, j, r, : looks + 1] = risk(theta, x, y) - least[r]
                accuracy[i, j, r, : looks + 1] = (np.sign(theta @ test_x.T) == test_y).mean(-1)
    accuracy[..., 0] = np.nan  # at theta = 0 nothing is predicted
    every_run = ("sampler", "step_size", "repetition", "record")
    return xarray.Dataset(
        {
            "gradients": (("sampler", "record"), used, {"units": "component gradients"}),
            "excess": (every_run, found, {"units": "1", "long_name": "F - min F"}),
            "accuracy": (every_run, accuracy, {"units": "1", "long_name": "test accuracy"}),
            "least": (("repetition",), least, {"units": "1", "long_name": "min F by L-BFGS"}),
        },
        coords={"sampler": list(methods), "step_size": ("step_size", list(STEP_SIZES), {"units": "1"})},
        attrs={"n": n, "batch_size": batch, "period": batch, "gamma": GAMMA, "within": WITHIN, "shown": SHOWN}
        | {"table": "breast cancer (scikit-learn)", "seed": seed, "size": size, "repetitions": repetitions}
        | {"gibbs_excess": splits[0][0].shape[1] / (2 * GAMMA)},
    )


STUDY = Study(
    name="classification",
    part="gradient",
    brief="Stays within 1 % of the minimum, where SGLD cannot.",
    claim="On a non-convex classification risk F of n rows and d weights, at the temperature 1 / gamma, SVRG-LD and "
    "SARAH-LD come within 1 % of the minimum and stay there at a step where the noise of its batches keeps SGLD away. "
    "Not that they are first: this table has few rows.",
    formula=r"F(\theta) = -\frac{1}{n} \sum_{i=1}^n \tanh(y_i \langle \theta, x_i \rangle) + \|\theta\|^2, \qquad "
    r"E\,F(\theta_k) - \min F \to \frac{d}{2 \gamma}",
    source="Kinoshita and Suzuki, NeurIPS 2022, Theorem 3 and the classification experiment, on another table.",
    measure=measure,
    draw=draw,
    judge=judge,
    see="Left: test accuracy is the same for all within its spread over splits. Middle: at one step all but SGLD fall "
    "to the excess of the Gibbs law. Right: gradients until 1 %; SGLD is first at small steps and fails at large ones.",
)
