"""Outputs of a trained network at new rows, in NumPy: two products of matrices and two tanh, with nothing to compile.

Fitted and loaded models predict by it alone. It needs no thread of JAX, so that it also runs in a forked process.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from langevax.problems.neurons import TanhTanh


def outputs(
    neuron: "TanhTanh",
    cloud: np.ndarray,
    inputs: np.ndarray,
    activations: int = 2**21,
) -> np.ndarray:
    """Return the mean of the neurons at standardised inputs, f(x) = E h(theta, x), (n,) or (n, C) float32.

    Args:
        neuron: scale, and number of outputs.
        cloud: (N, size) particles (a, w, b).
        inputs: (n, d).
        activations: neurons x rows at once, 8 MB.
    """
    columns = neuron.num_outputs or 1
    cloud = np.asarray(cloud, np.float32)
    factors = np.tanh(cloud[:, :columns]) * np.float32(neuron.scale)
    weights = np.ascontiguousarray(cloud[:, columns:-1].T)
    z = np.empty((len(inputs), columns), np.float32)
    length = max(1, activations // len(cloud))
    for start in range(0, len(inputs), length):
        features = inputs[start : start + length] @ weights
        features += cloud[:, -1]
        np.tanh(features, out=features)
        z[start : start + length] = features @ factors / np.float32(len(cloud))
    return z[:, 0] if neuron.num_outputs is None else z
