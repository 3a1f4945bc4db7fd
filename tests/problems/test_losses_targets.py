"""Targets that a loss takes, and its messages about others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import checks
from langevax.problems import losses
from tests.sentences import refuses


@pytest.mark.parametrize(
    ("loss", "targets", "output_shape", "error", "facts"),
    [
        (
            losses.logistic,
            np.array([1.0, 0.0, 1.0]),
            (),
            ValueError,
            "-1 +1 0.0 0/1",
        ),
        (losses.logistic, np.array([1.0, np.nan]), (), ValueError, "nan"),
        (
            losses.smoothed_hinge,
            np.array([2, 1]),
            (),
            ValueError,
            "SmoothedHinge 2 0/1 2*y-1",
        ),
        (
            losses.smoothed_hinge,
            np.array([True, False]),
            (),
            TypeError,
            "SmoothedHinge 0/1",
        ),
        (
            losses.logistic,
            np.ones(3),
            (2,),
            ValueError,
            "",
        ),
        (
            losses.logistic,
            np.ones((3, 1)),
            (),
            ValueError,
            "(3, 1)",
        ),
        (
            losses.softmax,
            np.array([0, 3]),
            (3,),
            ValueError,
            "0 3",
        ),
        (losses.softmax, np.array([-1, 1]), (3,), ValueError, "-1"),
        (
            losses.softmax,
            np.array([0.0, 1.0]),
            (3,),
            TypeError,
            "float64",
        ),
        (
            losses.softmax,
            np.eye(3, dtype=int),
            (3,),
            ValueError,
            "(3, 3)",
        ),
        (
            losses.softmax,
            np.array([0, 1]),
            (),
            ValueError,
            "num_outputs",
        ),
        (
            losses.squared,
            np.array([0.0, np.nan]),
            (),
            ValueError,
            "targets[1] nan",
        ),
        (
            losses.squared,
            np.ones((4, 2)),
            (3,),
            ValueError,
            "3 (4, 2)",
        ),
        (losses.squared, np.array(["a"]), (), TypeError, ""),
        (
            losses.log_score,
            np.zeros(3),
            (2,),
            ValueError,
            "LogScore (2,)",
        ),
        (
            losses.log_score,
            np.zeros((3, 1)),
            (),
            ValueError,
            "LogScore (3, 1)",
        ),
        (
            losses.log_score,
            np.array(["a"]),
            (),
            TypeError,
            "LogScore",
        ),
        (
            losses.linear,
            np.array([np.inf]),
            (),
            ValueError,
            "LinearLoss",
        ),
    ],
)
def test_unsuitable_targets_are_refused(loss, targets, output_shape, error, facts):
    with refuses(error, facts):
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
        with refuses(ValueError):
            losses.squared.check_targets(targets, (2,))

    jax.eval_shape(traced, zeros)


def test_labels_known_to_be_finite_are_looked_at_all_the_same():
    zeros = jnp.zeros(3)
    checks.mark_finite(zeros)
    with refuses(ValueError, "-1 +1 0"):
        losses.logistic.check_targets(zeros, ())


def test_numbers_known_to_be_finite_are_not_checked_again():
    targets = jnp.array([0.0, jnp.nan])
    checks.mark_finite(targets)
    losses.squared.check_targets(targets, ())
