"""Loss of accuracy by products in bfloat16 and TF32, beside float32: of one gradient, and of a training run.

On CPUs both are emulated: operands are rounded to 7 or 10 bits after the leading one and multiplied in float32, which
is what matrix units do up to the order of sums. Elsewhere "tensorfloat32" is the device's own. A training run is
compared with the same run in float32, noise and all, and with one of another key: where rounding moves the outputs
less than the noise does, it costs nothing.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks import mfld_torch
from langevax.problems import matmul

SIZES = {"full": (1000, 20, 1024, 500), "smoke": (100, 5, 64, 20)}
PRECISIONS = "float32", "tensorfloat32", "bfloat16"
TF32_MANTISSA_BITS = 10


@contextlib.contextmanager
def products_in(name: str) -> Iterator[None]:
    """Products of neurons in a precision, emulated where the processor has none."""
    emulated = name == "tensorfloat32" and jax.default_backend() == "cpu"
    before = matmul.MANTISSA_BITS
    if emulated:
        matmul.MANTISSA_BITS = TF32_MANTISSA_BITS
    try:
        with jax.default_matmul_precision("bfloat16" if emulated else name):
            jax.clear_caches()  # the number of bits is not part of what distinguishes programs
            yield
    finally:
        matmul.MANTISSA_BITS = before
        jax.clear_caches()


def measured(
    rows: int, columns: int, particles: int, steps: int
) -> list[dict[str, Any]]:
    """Return, by precision, relative errors of outputs and gradient, and how far outputs of a run moved."""
    inputs, targets = mfld_torch.table(rows, columns)
    cloud = mfld_torch.cloud_of(columns, particles)
    exact = in_float64(inputs, targets, cloud)
    risk = lx.MeanFieldRisk(
        lx.neurons.Tanh(),
        lx.losses.squared,
        inputs,
        targets,
        precision=mfld_torch.PRECISION,
    )
    mfld = lx.meanfield.MFLD(
        step_size=mfld_torch.STEP_SIZE, temperature=mfld_torch.TEMPERATURE
    )

    def trained(seed: int) -> np.ndarray:
        run = lx.simulate(
            mfld,
            risk,
            jnp.asarray(cloud),
            key=jax.random.key(seed),
            num_steps=steps,
            run=lx.Run(progress=False),
        )
        with jax.default_matmul_precision("float32"):
            return np.asarray(risk.outputs(run.position), np.float64)

    results, ends = [], {}
    for name in PRECISIONS:
        with products_in(name):
            once = eqx.filter_jit(
                lambda risk, cloud: (risk.outputs(cloud), risk.gradient(cloud))
            )
            errors = [
                off(ours, theirs)
                for ours, theirs in zip(
                    once(risk, jnp.asarray(cloud)), exact, strict=True
                )
            ]
            ends[name] = trained(0)
            other = trained(1) if name == "float32" else None
        if other is not None:
            by_noise = rms(ends[name] - other)
        results.append(
            {
                "precision": name,
                "outputs": errors[0],
                "gradient": errors[1],
                "moved": rms(ends[name] - ends["float32"]),
                "moved_by_noise": by_noise,
                "loss": float(np.mean((ends[name] - targets) ** 2) / 2),
            }
        )
    return results


def in_float64(
    inputs: np.ndarray, targets: np.ndarray, cloud: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and gradient in NumPy."""
    x, y, theta = (np.asarray(array, np.float64) for array in (inputs, targets, cloud))
    activations = np.tanh(theta[:, :-1] @ x.T + theta[:, -1:])
    outputs = activations.mean(0)
    slopes = (1 - activations**2) * (outputs - y) / len(y)
    return outputs, np.column_stack([slopes @ x, slopes.sum(1)])


def rms(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def off(actual: Any, exact: np.ndarray) -> float:
    """Return the relative error in the root mean square."""
    return rms(np.asarray(actual, np.float64) - exact) / rms(exact)


def markdown(results: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table."""
    noise = results[0]["moved_by_noise"]
    lines = [
        "| products | error of outputs | of the gradient | outputs of a run moved by | loss at the end |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['precision']} | {r['outputs']:.1e} | {r['gradient']:.1e} | {r['moved']:.1e} | {r['loss']:.6f} |"
        for r in results
    ]
    return [*lines, "", f"Another key moves the outputs of the run by {noise:.1e}."]
