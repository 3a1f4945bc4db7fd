"""Step sizes and ridges of the literature in the units of this package, so that no curves in unlike units are compared.

Here, as in Ba et al. (NeurIPS 2022), f(x) = a^T s(W^T x) / sqrt(N) with a ~ N(0, 1/N), the step is

    W1 = W0 - step_size sqrt(N) grad_W (1 / 2n) sum_i (y_i - f(x_i))^2

and the ridge that of 1/n |y - S w|^2 + ridge |w|^2 on features S = s(X W1): with Phi = S / sqrt(N) and
a = sqrt(N) w the same as 1/n |y - Phi a|^2 + (ridge / N) |a|^2.
"""

import numpy as np

from langevax.theory.feature_learning.arguments import Numbers, as_numpy, nonnegative, positive

STEP_SIZES = ("ba", "raw", "mean field", "cui", "giant step", "moniri")
RIDGES = ("ba", "kernel", "sum", "gcm", "random features")


def step_size_from(step_size: Numbers, convention: str, num_neurons: Numbers) -> float | np.ndarray:
    """The step size here that is `step_size` there; numbers broadcast.

        ba           itself; so Moniri et al. (2023), whose f has no 1 / sqrt(N): "moniri"
        raw          a rate in front of the gradient in W of the loss 1/2 E (y - f)^2:  / sqrt(N)
        giant step   Dandi et al. (2023), raw as well: eta = 2 p there is 2 sqrt(p) here
        mean field   f = 1/N sum a_i s(<w_i, x>), a_i ~ N(0, 1), a rate in front of N times the gradient:  sqrt(N)
        cui          Cui et al. (2024), a = 1 / sqrt(N), eta~:  sqrt(N)

    A raw rate of sqrt(N) is a step of 1 here, a raw rate of N the large step sqrt(N).

    >>> step_size_from(1000, "raw", num_neurons=1000) == step_size_from(1.0, "cui", num_neurons=1000) == 1000**0.5
    True
    """
    nonnegative(step_size=step_size)
    positive(num_neurons=num_neurons)
    step, root = np.asarray(step_size, float), np.sqrt(np.asarray(num_neurons, float))
    match convention:
        case "ba" | "moniri":
            return as_numpy(step + 0 * root)
        case "raw" | "giant step":
            return as_numpy(step / root)
        case "mean field" | "cui":
            return as_numpy(step * root)
    raise ValueError(f"convention is {convention!r}; pass one of {', '.join(STEP_SIZES)}.")


def ridge_from(ridge: Numbers, convention: str, num_neurons: Numbers, num_samples: Numbers) -> float | np.ndarray:
    """The ridge here that is `ridge` there; numbers broadcast.

        ba                itself: 1/n |y - Phi a|^2 + (ridge / N) |a|^2
        kernel            Phi Phi^T + ridge I:  N / n
        sum               |y - S w|^2 + ridge |w|^2, scikit-learn's Ridge on the features:  1 / n
        gcm               |y - S w / sqrt(N)|^2 + ridge |w|^2 of Loureiro, Cui, Dandi et al.:  N / n
        random features   Defilippis et al., the same:  N / n

    A curve in n at a fixed ridge of the last four is none at a fixed ridge here.

    >>> ridge_from(1.0, "gcm", num_neurons=200, num_samples=np.array([100, 400]))
    array([2. , 0.5])
    """
    positive(ridge=ridge, num_neurons=num_neurons, num_samples=num_samples)
    there, N, n = (np.asarray(v, float) for v in (ridge, num_neurons, num_samples))
    match convention:
        case "ba":
            return as_numpy(there + 0 * N * n)
        case "kernel" | "gcm" | "random features":
            return as_numpy(there * N / n)
        case "sum":
            return as_numpy(there / n + 0 * N)
    raise ValueError(f"convention is {convention!r}; pass one of {', '.join(RIDGES)}.")
