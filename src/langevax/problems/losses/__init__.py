"""Losses of one example, each with its convex conjugate: what mean-field training and its certificate ask for.

    l*(g) = sup_z  g z - l(z),      FY(z, g) = l(z) + l*(g) - g z >= 0,  zero where g = l'(z)

The dual objective, the duality gap as a mean of FY and the loss classes are those of Nitanda, Wu, Suzuki
(AISTATS 2022); the coordinate step is that of Oko, Suzuki, Nitanda, Wu (ICLR 2022). Ours: every gap is
written as a sum of non-negative terms with no subtraction of large numbers, so that float32 resolves gaps
far below the rounding of l(z).

Costs per call are a few elementary functions per output; only `Softmax.dual_step` runs a loop.

To read in this order: `loss` (the vocabulary), `squared` (its shortest instance), `margin`, `softmax`,
`linear`; `numerics` as it is met.
"""

from langevax.problems.losses.linear import Linear
from langevax.problems.losses.loss import Loss
from langevax.problems.losses.margin import Logistic, MarginLoss, SmoothedHinge
from langevax.problems.losses.softmax import Softmax
from langevax.problems.losses.squared import Squared

__all__ = [
    "Linear",
    "Logistic",
    "Loss",
    "MarginLoss",
    "SmoothedHinge",
    "Softmax",
    "Squared",
    "linear",
    "logistic",
    "smoothed_hinge",
    "softmax",
    "squared",
]

# Bound after the imports above, so that these names are the losses and not the files.
squared = Squared()
logistic = Logistic()
smoothed_hinge = SmoothedHinge()
softmax = Softmax()
linear = Linear()
