"""One gradient step on the first layer of a two-layer network, then ridge regression: the experiment itself.

    x ~ N(0, I_d),   y = teacher(x_1, ..., x_k) + noise xi,   f(x) = a . student(W^T x) / sqrt(N)
    W ~ N(0, 1/d) of shape (d, N), then `num_steps` times, on new samples each,
    W <- W - step_size sqrt(N) grad_W 1/(2 n0) sum_i (y_i - f(x_i))^2
    w  = argmin 1/n sum_i (y_i - w . student(W^T x_i))^2 + ridge |w|^2        on n further samples

(Ba et al., NeurIPS 2022; several steps: Dandi et al., 2023.) Predictions of `langevax.theory.feature_learning` for n,
N, d to infinity are compared with it. Samples are drawn block by block and not stored: a run keeps W, its gradient and
the features' Gram matrix, d N + N^2 numbers in float64, whatever n is.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from langevax import checks
from langevax.keys import unrolled

BLOCK = 1024
TEST_SAMPLES = 16_384
MEMORY = 2**28
"""Bytes that runs in parallel may hold."""

Readout = Literal["gaussian", "constant", "rademacher"]
READOUTS = ("gaussian", "constant", "rademacher")


class OneStepRuns(NamedTuple):
    """Results as NumPy arrays whose first axis counts runs."""

    risk: Float[np.ndarray, "runs *ridges"]
    """E (f(x) - f*(x))^2 on `num_test` new inputs, without the noise of labels."""
    training_error: Float[np.ndarray, "runs *ridges"]
    """Mean squared residual of the noisy training labels, without the penalty."""
    alignment: Float[np.ndarray, "runs times directions"]
    """Root mean square over neurons of the cosine between their weights and a direction of the teacher, before the
    first step and after each; 1 / sqrt(d) where nothing was learned."""
    gradient_norm: Float[np.ndarray, "runs steps"]
    """sqrt(N) |gradient|, the largest singular value, of each step."""
    singular_values: Float[np.ndarray, "runs values"] | None
    """Of the trained weights, descending; with `spectra=True`."""
    leading: Float[np.ndarray, "runs directions"] | None
    """Cosines, without sign, of their leading left singular vector with the teacher's directions."""
    weights: Float[np.ndarray, "runs d N"] | None
    """With `keep_weights=True`."""


def staircase(projections: Float[Array, "samples k"]) -> Float[Array, " samples"]:
    """x_1 + x_1 x_2 + x_1 x_2 x_3 + ...: each direction is found once those before it are (Abbe et al., 2022).

    >>> staircase(jnp.array([[2.0, 3.0, -1.0]]))
    Array([2.], dtype=float32)
    """
    return jnp.sum(jnp.cumprod(projections, axis=1), axis=1)


def simulate_one_step(
    *,
    key: Key[Array, ""],
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
    num_steps: int = 1,
    num_directions: int = 1,
    unit_rows: bool = False,
    num_test: int = TEST_SAMPLES,
    spectra: bool = False,
    keep_weights: bool = False,
) -> OneStepRuns:
    """Train and test `num_runs` independent networks, in float64.

    Args:
        key: the same key draws the same weights and samples whatever the step size, so that differences are paired.
        dim, samples_per_dim, neurons_per_dim: d, n / d and N / d, rounded to whole samples and neurons.
        ridge: a number, or several, which share a run's features.
        step_size: eta, as in the formula; of order 1 for a small step, of order sqrt(N) for a large one.
        student, teacher: elementwise functions of JAX, such as `jnp.tanh` or the `traced` of an
            `langevax.theory.feature_learning.activation`. With `num_directions` k > 1 the teacher is a function
            (samples, k) -> (samples,) of the first k inputs, such as `staircase`.
        noise: standard deviation of the labels' noise.
        gradient_samples_per_dim: n0 / d, that of the ridge by default.
        readout: the law of a: N(0, 1/N), 1 / sqrt(N), or that with a random sign.
        unit_rows: neurons of length 1 at the start, where their lengths vary by 1 / sqrt(d) otherwise.
        num_test: new samples for the risk.
        spectra: whether to decompose the trained weights.
        keep_weights: whether to return them.

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
    counts = {
        "dim": dim,
        "num_runs": num_runs,
        "num_directions": num_directions,
        "num_test": num_test,
    }
    for name, value in (counts | {"num_steps": num_steps}).items():
        checks.positive_int(name, value)
    if num_directions > dim:
        raise ValueError(
            f"num_directions is {num_directions}, but there are only dim = {dim} inputs."
        )
    checks.number("samples_per_dim", samples_per_dim, positive=True)
    checks.number("neurons_per_dim", neurons_per_dim, positive=True)
    checks.number("step_size", step_size)
    checks.number("noise", noise)
    if gradient_samples_per_dim is None:
        gradient_samples_per_dim = samples_per_dim
    checks.number("gradient_samples_per_dim", gradient_samples_per_dim, positive=True)
    if readout not in READOUTS:
        raise ValueError(
            f"readout must be one of {', '.join(READOUTS)}, got {checks.shown(readout)}."
        )
    for name, function in (("student", student), ("teacher", teacher)):
        checks.function(name, function, "(array) -> array")
    for name, value in (
        ("unit_rows", unit_rows),
        ("spectra", spectra),
        ("keep_weights", keep_weights),
    ):
        checks.flag(name, value)
    checks.number(
        "ridge",
        checks.plain_array("ridge", ridge)
        if isinstance(ridge, list | tuple)
        else ridge,
        positive=True,
    )
    ridges = np.atleast_1d(np.asarray(ridge, float))
    if ridges.ndim > 1:
        raise ValueError(
            f"ridge must be a number > 0 or a list of such, got {checks.shown(ridge)}; pass a float."
        )
    dim, num_runs = int(dim), int(num_runs)
    neurons, samples, first = (
        max(round(float(ratio) * dim), 1)
        for ratio in (neurons_per_dim, samples_per_dim, gradient_samples_per_dim)
    )
    with jax.enable_x64():
        setting = _Setting(
            dim,
            neurons,
            student,
            teacher,
            num_directions,
            readout,
            unit_rows,
            num_steps,
            num_test,
        )
        bytes_of_run = 8 * (
            3 * neurons * neurons + 3 * dim * neurons + 3 * BLOCK * (dim + neurons)
        )
        num_parallel = int(np.clip(MEMORY // bytes_of_run, 1, num_runs))
        results = _runs(
            setting,
            num_parallel,
            spectra or keep_weights,
            random.split(key, num_runs),
            jnp.asarray(ridges),
            jnp.asarray(step_size, float),
            jnp.asarray(noise, float),
            (jnp.asarray(first, jnp.int32), jnp.asarray(samples, jnp.int32)),
        )
    risk, training, aligned, norms, weights = jax.tree.map(np.asarray, results)
    values, leading = _spectra(weights, num_directions) if spectra else (None, None)
    runs = OneStepRuns(
        risk,
        training,
        aligned,
        norms,
        values,
        leading,
        weights if keep_weights else None,
    )
    return (
        runs
        if np.ndim(ridge)
        else runs._replace(
            risk=runs.risk[:, 0], training_error=runs.training_error[:, 0]
        )
    )


class _Setting(NamedTuple):
    """Static settings of a program."""

    dim: int
    neurons: int
    student: Callable[[Array], Array]
    teacher: Callable[[Array], Array]
    num_directions: int
    readout: Readout
    unit_rows: bool
    num_steps: int
    num_test: int

    def start(self, key: Key[Array, ""]) -> tuple[Array, Array]:
        """Return (a, W) before the first step."""
        readout_key, weights_key = random.split(key)
        weights = random.normal(
            weights_key, (self.dim, self.neurons), jnp.float64
        ) / np.sqrt(self.dim)
        if self.unit_rows:
            weights = weights / jnp.linalg.norm(weights, axis=0)
        if self.readout == "gaussian":
            outer = random.normal(readout_key, (self.neurons,), jnp.float64)
        elif self.readout == "constant":
            outer = jnp.ones(self.neurons, jnp.float64)
        else:
            outer = random.rademacher(readout_key, (self.neurons,), jnp.float64)
        return outer / np.sqrt(self.neurons), weights

    def draw(self, key: Key[Array, ""], noise: Array) -> tuple[Array, Array, Array]:
        """Return a block of inputs, labels without noise, labels."""
        inputs_key, noise_key = random.split(key)
        x = random.normal(inputs_key, (BLOCK, self.dim), jnp.float64)
        clean = self.teacher(
            x[:, 0] if self.num_directions == 1 else x[:, : self.num_directions]
        )
        return x, clean, clean + noise * random.normal(noise_key, (BLOCK,), jnp.float64)

    def gradient(
        self,
        key: Key[Array, ""],
        outer: Array,
        weights: Array,
        samples: Array,
        noise: Array,
    ) -> Array:
        """grad_W 1/(2 n0) sum_i (y_i - f(x_i))^2."""
        root = np.sqrt(self.neurons)

        def block(key: Key[Array, ""], used: Array) -> Array:
            x, _, y = self.draw(key, noise)
            features, slopes = jax.jvp(
                self.student,
                (x @ weights,),
                (jnp.ones((BLOCK, self.neurons), jnp.float64),),
            )
            residual = used * (features @ outer / root - y) / root
            return x.T @ (residual[:, None] * outer * slopes)

        return _averaged(block, key, samples)

    def ridge_errors(
        self,
        key: Key[Array, ""],
        weights: Array,
        samples: Array,
        noise: Array,
        ridges: Array,
    ) -> tuple[Array, Array]:
        """Return (risk, training error) for each ridge."""
        fit_key, test_key = random.split(key)

        def block(key: Key[Array, ""], used: Array) -> tuple[Array, Array, Array]:
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

        def test(key: Key[Array, ""], used: Array) -> Array:
            x, clean, _ = self.draw(key, noise)
            return (
                (self.student(x @ weights) @ outer.T - clean[:, None]) ** 2
            ).T @ used

        return _averaged(
            test, test_key, jnp.asarray(self.num_test, jnp.int32)
        ), training


def _averaged(
    block: Callable[[Any, Array], Any], key: Key[Array, ""], samples: Array
) -> Any:
    """Average `block(key, used)` over samples drawn in blocks; `used` is 0 for those beyond `samples`."""

    def add(k: Array, total: Any) -> Any:
        used = (k * BLOCK + jnp.arange(BLOCK, dtype=jnp.int32) < samples).astype(
            jnp.float64
        )
        return jax.tree.map(jnp.add, total, block(random.fold_in(key, k), used))

    shapes = jax.eval_shape(block, key, jax.ShapeDtypeStruct((BLOCK,), jnp.float64))
    zero = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    total = lax.fori_loop(jnp.int32(0), (samples + BLOCK - 1) // BLOCK, add, zero)
    return jax.tree.map(lambda part: part / samples.astype(part.dtype), total)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _runs(
    setting: _Setting,
    num_parallel: int,
    keep_weights: bool,
    keys: Key[Array, " runs"],
    ridges: Array,
    step_size: Array,
    noise: Array,
    samples: tuple[Array, Array],
) -> tuple[Any, ...]:
    def run(key: Key[Array, ""]) -> tuple[Any, ...]:
        start_key, ridge_key, *step_keys = random.split(
            unrolled(key), 2 + setting.num_steps
        )
        outer, weights = setting.start(start_key)
        aligned, norms = [_alignment(weights, setting.num_directions)], []
        root = np.sqrt(setting.neurons)
        for step_key in step_keys:
            gradient = setting.gradient(step_key, outer, weights, samples[0], noise)
            weights = weights - step_size * root * gradient
            norms.append(root * _norm(gradient))
            aligned.append(_alignment(weights, setting.num_directions))
        risk, training = setting.ridge_errors(
            ridge_key, weights, samples[1], noise, ridges
        )
        return (
            risk,
            training,
            jnp.stack(aligned),
            jnp.stack(norms),
            weights if keep_weights else None,
        )

    return lax.map(run, keys, batch_size=num_parallel)


def _alignment(weights: Array, directions: int) -> Array:
    return jnp.sqrt(
        jnp.mean(weights[:directions] ** 2 / jnp.sum(weights**2, axis=0), axis=1)
    )


def _norm(gradient: Array) -> Array:
    """Return the largest singular value by power iteration, fast as the gradient is nearly of rank one."""

    def power_step(_: Array, v: Array) -> Array:
        v = gradient.T @ (gradient @ v)
        return v / jnp.maximum(jnp.linalg.norm(v), jnp.finfo(v.dtype).tiny)

    start = jnp.sum(gradient * gradient[:, :1].sum(), axis=0)
    v = lax.fori_loop(0, 50, power_step, start + 1e-3 * jnp.linalg.norm(start))
    return jnp.linalg.norm(gradient @ v)


def _spectra(weights: np.ndarray, directions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return singular values and cosines of the leading left vector, in NumPy, run by run to save memory."""
    values, leading = [], []
    for run in weights:
        left, singular, _ = np.linalg.svd(run, full_matrices=False)
        values.append(singular)
        leading.append(np.abs(left[:directions, 0]))
    return np.stack(values), np.stack(leading)
