"""One gradient step on the first layer of a two-layer network, then ridge regression: the experiment itself.

    x ~ N(0, I_d),   y = teacher(x_1) + noise xi,   f(x) = a . student(W^T x) / sqrt(N)
    W ~ N(0, 1/d) of shape (d, N), then
    W <- W - step_size sqrt(N) grad_W 1/(2 n0) sum_i (y_i - f(x_i))^2
    w  = argmin 1/n sum_i (y_i - w . student(W^T x_i))^2 + ridge |w|^2        on n further samples

(Ba et al., NeurIPS 2022.) Predictions of `langevax.theory.feature_learning` for n,
N, d to infinity are compared with it. Samples are drawn block by block and not stored: a run keeps W, its gradient and
the features' Gram matrix, d N + N^2 numbers in float64, whatever n is. Each block has its own key, so that blocks of
another size would draw other samples.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from langevax import checks, trees
from langevax._typing import PRNGKey
from langevax.keys import unrolled
from langevax.renamed import refuse_former
from langevax.teacher_student.errors import ROWS_PER_BLOCK

Readout = Literal["gaussian", "constant", "rademacher"]


class OneStepRuns(NamedTuple):
    """Results as NumPy arrays whose first axis counts runs."""

    risk: Float[np.ndarray, "runs *ridges"]
    """E (f(x) - f*(x))^2 on `num_test` new inputs, without the noise of labels."""
    training_error: Float[np.ndarray, "runs *ridges"]
    """Mean squared residual of the noisy training labels, without the penalty."""
    alignment: Float[np.ndarray, "runs times"]
    """Root mean square over neurons of the cosine between their weights and the teacher's direction, before the step
    and after it; 1 / sqrt(d) where nothing was learned."""
    weights: Float[np.ndarray, "runs d N"]
    """Trained."""

    @property
    def singular_values(self) -> Float[np.ndarray, "runs values"]:
        """Of the trained weights, descending."""
        return np.stack([np.linalg.svd(run, compute_uv=False) for run in self.weights])


@refuse_former
def simulate_one_step(
    *,
    key: PRNGKey,
    dim: int,
    samples_per_dim: float,
    neurons_per_dim: float,
    ridge: ArrayLike | Sequence[float],
    step_size: float,
    student: Callable[[Array], Array],
    teacher: Callable[[Array], Array],
    noise: float = 0.0,
    gradient_samples_per_dim: float | None = None,
    readout: Readout = "gaussian",
    num_runs: int = 10,
    num_test: int = 16_384,
) -> OneStepRuns:
    """Train and test `num_runs` independent networks, in float64.

    Args:
        key: the same key draws the same weights and samples whatever the step size, so that differences are paired.
        dim, samples_per_dim, neurons_per_dim: d, n / d and N / d, rounded to whole samples and neurons.
        ridge: a number, or several, which share a run's features.
        step_size: eta, as in the formula; of order 1 for a small step, of order sqrt(N) for a large one.
        student, teacher: elementwise functions of JAX, such as `jnp.tanh` or the `traced` of an
            `langevax.theory.feature_learning.activation`.
        noise: standard deviation of the labels' noise.
        gradient_samples_per_dim: n0 / d, that of the ridge by default.
        readout: the law of a: N(0, 1/N), 1 / sqrt(N), or that with a random sign.
        num_runs: independent networks.
        num_test: new samples for the risk.

    Raises:
        TypeError, ValueError: a mistake in an argument.

    Example:
        >>> setting = dict(dim=50, samples_per_dim=4.0, neurons_per_dim=2.0, ridge=1e-2, student=jnp.tanh, num_runs=4)
        >>> lazy, learned = (
        ...     simulate_one_step(key=random.key(0), step_size=eta, teacher=jnp.tanh, **setting) for eta in (0.0, 10.0)
        ... )
        >>> bool(np.all(learned.risk < lazy.risk)), bool(np.all(learned.alignment[:, 1] > lazy.alignment[:, 1]))
        (True, True)
    """
    checks.typed_key(key)
    counts = {"dim": dim, "num_runs": num_runs, "num_test": num_test}
    for name, count in counts.items():
        checks.positive_int(name, count)
    if gradient_samples_per_dim is None:
        gradient_samples_per_dim = samples_per_dim
    checks.number("samples_per_dim", samples_per_dim, positive=True)
    checks.number("neurons_per_dim", neurons_per_dim, positive=True)
    checks.number("gradient_samples_per_dim", gradient_samples_per_dim, positive=True)
    checks.number("step_size", step_size)
    checks.number("noise", noise)
    checks.one_of("readout", readout, get_args(Readout))
    for name, function in (("student", student), ("teacher", teacher)):
        checks.function(name, function, "(array) -> array")
    ridges = _ridges(ridge)
    neurons, samples, first = (
        max(round(float(ratio) * int(dim)), 1)
        for ratio in (neurons_per_dim, samples_per_dim, gradient_samples_per_dim)
    )
    with jax.enable_x64():
        results = _runs(
            _Setting(int(dim), neurons, student, teacher, readout, num_test),
            random.split(key, int(num_runs)),
            jnp.asarray(ridges),
            jnp.asarray(step_size, float),
            jnp.asarray(noise, float),
            (jnp.asarray(first, jnp.int32), jnp.asarray(samples, jnp.int32)),
        )
    runs = OneStepRuns(*map(np.asarray, results))
    if np.ndim(ridge):
        return runs
    one = {name: getattr(runs, name)[:, 0] for name in ("risk", "training_error")}
    return runs._replace(**one)


def _ridges(ridge: ArrayLike | Sequence[float]) -> Float[np.ndarray, " ridges"]:
    listed = isinstance(ridge, list | tuple)
    values = checks.plain_array("ridge", ridge) if listed else ridge
    checks.number("ridge", values, positive=True)
    ridges = np.atleast_1d(np.asarray(ridge, float))
    if ridges.ndim > 1:
        raise ValueError(
            f"ridge must be a number > 0 or a list of such, got {checks.shown(ridge)}; "
            "pass a float."
        )
    return ridges


class _Setting(NamedTuple):
    """Static settings of a program."""

    dim: int
    neurons: int
    student: Callable[[Array], Array]
    teacher: Callable[[Array], Array]
    readout: Readout
    num_test: int

    def num_parallel(self, num_runs: int, memory: int = 2**28) -> int:
        """Return how many runs hold at most so many bytes."""
        # three copies of weights, Gram matrix and block, in float64
        width = self.dim + self.neurons
        numbers = 3 * width * (self.neurons + ROWS_PER_BLOCK)
        return int(np.clip(memory // (8 * numbers), 1, num_runs))

    def start(self, key: PRNGKey) -> tuple[Array, Array]:
        """Return (a, W) before the first step."""
        readout_key, weights_key = random.split(key)
        weights = random.normal(
            weights_key, (self.dim, self.neurons), jnp.float64
        ) / np.sqrt(self.dim)
        if self.readout == "gaussian":
            outer = random.normal(readout_key, (self.neurons,), jnp.float64)
        elif self.readout == "constant":
            outer = jnp.ones(self.neurons, jnp.float64)
        else:
            outer = random.rademacher(readout_key, (self.neurons,), jnp.float64)
        return outer / np.sqrt(self.neurons), weights

    def draw(self, key: PRNGKey, noise: Array) -> tuple[Array, Array, Array]:
        """Return a block of inputs, labels without noise, labels."""
        inputs_key, noise_key = random.split(key)
        x = random.normal(inputs_key, (ROWS_PER_BLOCK, self.dim), jnp.float64)
        clean = self.teacher(x[:, 0])
        return (
            x,
            clean,
            clean + noise * random.normal(noise_key, (ROWS_PER_BLOCK,), jnp.float64),
        )

    def gradient(
        self,
        key: PRNGKey,
        outer: Array,
        weights: Array,
        samples: Array,
        noise: Array,
    ) -> Array:
        """grad_W 1/(2 n0) sum_i (y_i - f(x_i))^2."""
        root = np.sqrt(self.neurons)

        def block(key: PRNGKey, used: Array) -> Array:
            x, _, y = self.draw(key, noise)
            features, slopes = jax.jvp(
                self.student,
                (x @ weights,),
                (jnp.ones((ROWS_PER_BLOCK, self.neurons), jnp.float64),),
            )
            residual = used * (features @ outer / root - y) / root
            return x.T @ (residual[:, None] * outer * slopes)

        return _averaged(block, key, samples)

    def ridge_errors(
        self,
        key: PRNGKey,
        weights: Array,
        samples: Array,
        noise: Array,
        ridges: Array,
    ) -> tuple[Array, Array]:
        """Return (risk, training error) for each ridge."""
        fit_key, test_key = random.split(key)

        def block(key: PRNGKey, used: Array) -> tuple[Array, Array, Array]:
            x, _, y = self.draw(key, noise)
            features = self.student(x @ weights) * used[:, None]
            return features.T @ features, features.T @ y, jnp.sum(used * y * y)

        gram, products, square = _averaged(block, fit_key, samples)

        def solve(ridge: Array) -> Array:
            factor = jax.scipy.linalg.cho_factor(
                gram + ridge * jnp.eye(self.neurons, dtype=jnp.float64), lower=True
            )
            return jax.scipy.linalg.cho_solve(factor, products)

        outer = lax.map(solve, ridges)
        training = (
            square - 2 * outer @ products + jnp.sum((outer @ gram) * outer, axis=1)
        )

        def test(key: PRNGKey, used: Array) -> Array:
            x, clean, _ = self.draw(key, noise)
            return (
                (self.student(x @ weights) @ outer.T - clean[:, None]) ** 2
            ).T @ used

        return _averaged(
            test, test_key, jnp.asarray(self.num_test, jnp.int32)
        ), training


def _averaged(block: Callable[[Any, Array], Any], key: PRNGKey, samples: Array) -> Any:
    """Average `block(key, used)` over samples drawn in blocks; `used` is 0 for those beyond `samples`."""

    def add(k: Array, total: Any) -> Any:
        used = (
            k * ROWS_PER_BLOCK + jnp.arange(ROWS_PER_BLOCK, dtype=jnp.int32) < samples
        ).astype(jnp.float64)
        return trees.add(total, block(random.fold_in(key, k), used))

    shapes = jax.eval_shape(
        block, key, jax.ShapeDtypeStruct((ROWS_PER_BLOCK,), jnp.float64)
    )
    zero = trees.zeros_like(shapes)
    total = lax.fori_loop(
        jnp.int32(0), (samples + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK, add, zero
    )
    return jax.tree.map(lambda part: part / samples.astype(part.dtype), total)


@partial(jax.jit, static_argnums=0)
def _runs(
    setting: _Setting,
    keys: Key[Array, " runs"],
    ridges: Array,
    step_size: Array,
    noise: Array,
    samples: tuple[Array, Array],
) -> tuple[Any, ...]:
    def run(key: PRNGKey) -> tuple[Any, ...]:
        start_key, ridge_key, step_key = random.split(unrolled(key), 3)
        outer, before = setting.start(start_key)
        gradient = setting.gradient(step_key, outer, before, samples[0], noise)
        weights = before - step_size * np.sqrt(setting.neurons) * gradient
        alignment = jnp.stack([_alignment(before), _alignment(weights)])
        risk, training = setting.ridge_errors(
            ridge_key, weights, samples[1], noise, ridges
        )
        return risk, training, alignment, weights

    return lax.map(run, keys, batch_size=setting.num_parallel(len(keys)))


def _alignment(weights: Array) -> Array:
    shares = weights[0] ** 2 / jnp.sum(weights**2, axis=0)
    return jnp.sqrt(jnp.mean(shares))
