"""Losses of one example, with the convex conjugates that dual methods and certificates use.

    l*(g) = sup_z  g z - l(z),      FY(z, g) = l(z) + l*(g) - g z >= 0,  zero where g = l'(z)

An output `z` is a scalar `()` or a vector `(C,)`. A dual `g` has its shape and is a derivative l'(z): a negative dual
pushes the output up (many SDCA texts use -g).

The dual objective, the duality gap as a mean of FY and the classes of regression and classification are those of
Nitanda, Wu, Suzuki (AISTATS 2022); the coordinate step is that of Oko, Suzuki, Nitanda, Wu (ICLR 2022). Every gap is
written as a sum of non-negative terms with no subtraction of large numbers, so that float32 resolves gaps far below the
rounding of l(z). Costs per call are a few elementary functions per output; only `Softmax.dual_step` runs a loop.
"""

from langevax.problems.losses.log_score import LogScore
from langevax.problems.losses.loss import Loss
from langevax.problems.losses.margins import Logistic, MarginLoss, SmoothedHinge
from langevax.problems.losses.softmax import Softmax
from langevax.problems.losses.squared import LinearLoss, Squared

squared: Squared = Squared()
logistic: Logistic = Logistic()
smoothed_hinge: SmoothedHinge = SmoothedHinge()
softmax: Softmax = Softmax()
linear: LinearLoss = LinearLoss()
log_score: LogScore = LogScore()

__all__ = [
    "LinearLoss",
    "LogScore",
    "Logistic",
    "Loss",
    "MarginLoss",
    "SmoothedHinge",
    "Softmax",
    "Squared",
    "linear",
    "log_score",
    "logistic",
    "smoothed_hinge",
    "softmax",
    "squared",
]
__dir__: object = __all__.copy
