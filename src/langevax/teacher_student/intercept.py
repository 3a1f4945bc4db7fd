"""Squared errors of a network with a free intercept, which is never a parameter: it is solved for at every step.

    value(theta) = (1/2) sum_i w_i (e_i - mean)^2,    e_i = f(x_i) - y_i,    mean = sum_i w_i e_i,    sum_i w_i = 1

is the least over b of the squared errors of f + b, so that its gradient is that of the network at the best b = -mean.
An intercept with a step of its own has curvature 1, where that of neurons is m / d: it would bound everyone's step.
"""

from jaxtyping import Array, Float, Int, PyTree

from langevax.teacher_student.errors import NetworkErrors, projected
from langevax.teacher_student.networks import ReLUNetwork

ALL_ROWS = "a batch does not know the best intercept, which needs all rows; pass gradient=gradients.Full()."


class CentredErrors(NetworkErrors):
    """Half the variance of the errors over weighted rows; for gradients over all of them.

    Cost: a third product of matrices where there are several blocks.
    """

    def centre(self, network: ReLUNetwork) -> Float[Array, ""]:
        """The mean error, minus the best intercept. It moves with theta, but errors around it sum to 0: its own
        gradient drops out."""
        return self.mean(lambda block: block.weights @ projected(network, block)[1])

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        raise ValueError(ALL_ROWS)

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        raise ValueError(ALL_ROWS)
