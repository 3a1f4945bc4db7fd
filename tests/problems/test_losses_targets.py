"""Targets that a loss takes, and its messages about others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import checks
from langevax.problems import losses


@pytest.mark.parametrize(
    ("loss", "targets", "output_shape", "error", "message"),
    [
        (
            losses.logistic,
            np.array([1.0, 0.0, 1.0]),
            (),
            ValueError,
            "Logistic needs targets -1 or .1, found 0.0; map 0/1",
        ),
        (losses.logistic, np.array([1.0, np.nan]), (), ValueError, "found nan"),
        (
            losses.smoothed_hinge,
            np.array([2, 1]),
            (),
            ValueError,
            "SmoothedHinge needs .* found 2; map 0/1 with 2.y-1",
        ),
        (
            losses.smoothed_hinge,
            np.array([True, False]),
            (),
            TypeError,
            "dtype bool.*SmoothedHinge.*map 0/1",
        ),
        (
            losses.logistic,
            np.ones(3),
            (2,),
            ValueError,
            "Logistic needs scalar outputs.*softmax",
        ),
        (
            losses.logistic,
            np.ones((3, 1)),
            (),
            ValueError,
            r"Logistic must have shape \(n,\), got \(3, 1\)",
        ),
        (
            losses.softmax,
            np.array([0, 3]),
            (3,),
            ValueError,
            r"Softmax needs labels in \[0, 3\), found 3; number",
        ),
        (losses.softmax, np.array([-1, 1]), (3,), ValueError, "found -1"),
        (
            losses.softmax,
            np.array([0.0, 1.0]),
            (3,),
            TypeError,
            "dtype float64, but Softmax needs integer",
        ),
        (
            losses.softmax,
            np.eye(3, dtype=int),
            (3,),
            ValueError,
            r"Softmax must have shape \(n,\), got \(3, 3\)",
        ),
        (
            losses.softmax,
            np.array([0, 1]),
            (),
            ValueError,
            r"Softmax needs outputs of shape \(C,\), got \(\).*num_outputs",
        ),
        (
            losses.squared,
            np.array([0.0, np.nan]),
            (),
            ValueError,
            r"targets\[1\] is nan.*Squared needs finite",
        ),
        (
            losses.squared,
            np.ones((4, 2)),
            (3,),
            ValueError,
            r"Squared must have shape \(n, 3\), got \(4, 2\)",
        ),
        (losses.squared, np.array(["a"]), (), TypeError, "Squared needs numbers"),
        (
            losses.log_score,
            np.zeros(3),
            (2,),
            ValueError,
            r"LogScore needs scalar outputs, .* shape \(2,\); use a neuron",
        ),
        (
            losses.log_score,
            np.zeros((3, 1)),
            (),
            ValueError,
            r"LogScore must have shape \(n,\), got \(3, 1\)",
        ),
        (
            losses.log_score,
            np.array(["a"]),
            (),
            TypeError,
            "LogScore needs numbers, which it does not read; pass zeros",
        ),
        (
            losses.linear,
            np.array([np.inf]),
            (),
            ValueError,
            "LinearLoss needs a finite dual",
        ),
    ],
)
def test_unsuitable_targets_are_refused(loss, targets, output_shape, error, message):
    with pytest.raises(error, match=message):
        loss.check_targets(targets, output_shape)


def test_suitable_targets_pass():
    losses.logistic.check_targets(np.array([-1, 1]), ())
    losses.smoothed_hinge.check_targets(jnp.array([-1.0, 1.0]), ())
    losses.softmax.check_targets(np.array([0, 2], np.uint8), (3,))
    losses.squared.check_targets(np.arange(6).reshape(3, 2), (2,))
    losses.linear.check_targets(jnp.ones(3), ())


def test_values_of_tracers_are_not_read_but_their_shape_is():
    zeros = jax.ShapeDtypeStruct((3,), jnp.float32)  # no labels at all

    def traced(targets):
        losses.logistic.check_targets(targets, ())
        losses.squared.check_targets(targets, ())
        with pytest.raises(ValueError, match="must have shape"):
            losses.squared.check_targets(targets, (2,))

    jax.eval_shape(traced, zeros)


def test_labels_known_to_be_finite_are_looked_at_all_the_same():
    zeros = jnp.zeros(3)
    checks.mark_finite(zeros)
    with pytest.raises(ValueError, match=r"Logistic needs targets -1 or \+1, found 0"):
        losses.logistic.check_targets(zeros, ())


def test_numbers_known_to_be_finite_are_not_checked_again():
    targets = jnp.array([0.0, jnp.nan])
    checks.mark_finite(targets)
    losses.squared.check_targets(targets, ())
