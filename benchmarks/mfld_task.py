"""The mean-field step that all candidates take; without JAX, for processes that are PyTorch's alone."""

import numpy as np

SHAPES = [(1000, 20, 1024), (442, 10, 1024), (2000, 50, 2048), (500, 10, 10240)]
STEP_SIZE, TEMPERATURE, PRECISION = 0.1, 0.01, 0.01


def table(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal inputs over sqrt(d), and a bounded target."""
    rng = np.random.default_rng(0)
    inputs = (rng.standard_normal((n, d)) / np.sqrt(d)).astype(np.float32)
    return inputs, np.tanh(inputs[:, 0] * 3).astype(np.float32)


def cloud_of(d: int, num_particles: int) -> np.ndarray:
    """Where all begin: a draw of the prior."""
    return np.random.default_rng(1).standard_normal((num_particles, d + 1), np.float32)


def spread(temperature: float) -> float:
    """Of a step's noise."""
    return (2 * STEP_SIZE * temperature) ** 0.5
