"""Which neuron of a student learned which neuron of the teacher, and how far it still is.

A neuron is a sign and a vector, sgn(outer_j) and |outer_j| inner_j, since a relu(w . x) = relu(a w . x) for a > 0.
Pairs are chosen so that their squared distances add up to the least (the Hungarian method); between neurons of
different signs the squared distance is |u|^2 + |v|^2, as if one had to shrink to nothing and the other to grow from it.
Proposition 4.4 of Akiyama and Suzuki (ICLR 2023) says that after phase I each neuron of the student is close to a
distinct one of the teacher.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Matching(NamedTuple):
    """Pairs of neurons, in the teacher's order; fewer than the teacher has where the student is smaller."""

    teacher: Int[np.ndarray, " pairs"]
    student: Int[np.ndarray, " pairs"]
    same_sign: Bool[np.ndarray, " pairs"]
    angles: Float[np.ndarray, " pairs"]
    """Between the inner weights, in radians; 90 degrees where one of them is 0."""
    sizes: Float[np.ndarray, " pairs"]
    """|outer| |inner| of the student's over that of the teacher's neuron."""
    distances: Float[np.ndarray, " pairs"]
    """Between the neurons, relative to the teacher's size."""
    spare: Int[np.ndarray, " spare"]
    """Neurons of the student without a partner."""


def match_neurons(student: Any, teacher: Any) -> Matching:
    """Pair the neurons of two networks, each (outer, inner) of shapes (m,) and (m, d).

    Raises:
        ValueError: networks of several chains, or of other inputs.

    Example:
        >>> from langevax.teacher_student import ReLUNetwork
        >>> teacher = ReLUNetwork(np.array([1.0, -1.0]), np.eye(2))
        >>> student = ReLUNetwork(np.array([-2.0, 1.0]), np.array([[0.0, 0.5], [1.0, 1.0]]))
        >>> matching = match_neurons(student, teacher)
        >>> matching.student, np.degrees(matching.angles).round(), matching.distances.round(2)
        (array([1, 0]), array([45.,  0.]), array([1., 0.]))
    """
    from scipy.optimize import linear_sum_assignment

    (signs, vectors), (true_signs, true_vectors) = _neurons("student", student), _neurons("teacher", teacher)
    if vectors.shape[1] != true_vectors.shape[1]:
        raise ValueError(f"student has {vectors.shape[1]} inputs but teacher has {true_vectors.shape[1]}.")
    products = true_vectors @ vectors.T
    sizes, true_sizes = np.linalg.norm(vectors, axis=1), np.linalg.norm(true_vectors, axis=1)
    same = true_signs[:, None] == signs[None, :]
    squares = true_sizes[:, None] ** 2 + sizes[None, :] ** 2 - 2 * np.where(same, products, 0)
    rows, columns = linear_sum_assignment(squares)
    lengths = true_sizes[rows] * sizes[columns]
    cosines = np.divide(products[rows, columns], lengths, out=np.zeros(len(rows)), where=lengths > 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a teacher's neuron of size 0
        ratios = sizes[columns] / true_sizes[rows]
        distances = np.sqrt(np.maximum(squares[rows, columns], 0)) / true_sizes[rows]
    return Matching(
        rows,
        columns,
        same[rows, columns],
        np.arccos(np.clip(cosines, -1, 1)),
        ratios,
        distances,
        np.setdiff1d(np.arange(len(vectors)), columns),
    )


def _neurons(name: str, network: Any) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m d"]]:
    """(sgn outer, |outer| inner)."""
    outer, inner = (np.asarray(leaf, np.float64) for leaf in network)
    if outer.ndim != 1 or inner.ndim != 2 or len(outer) != len(inner):
        raise ValueError(
            f"{name} must be one network, outer (m,) and inner (m, d), got {outer.shape} and {inner.shape}; "
            "take one restart, such as fit.network."
        )
    return np.sign(outer), np.abs(outer)[:, None] * inner


def share_near(student: Any, teacher: Any, degrees: float) -> float:
    """The share of the student's total variation sum_j |outer_j| |inner_j| that lies close to the teacher.

    Close is within `degrees` of a neuron of the teacher's of the same sign. For students with many more neurons than
    the teacher, where whole groups of neurons stand for one.

    Example:
        >>> teacher = np.array([1.0]), np.array([[1.0, 0.0]])
        >>> share_near((np.ones(2), np.array([[3.0, 0.1], [0.0, 1.0]])), teacher, degrees=10)
        0.750...
    """
    (signs, vectors), (true_signs, true_vectors) = _neurons("student", student), _neurons("teacher", teacher)
    sizes, true_sizes = np.linalg.norm(vectors, axis=1), np.linalg.norm(true_vectors, axis=1)
    aligned = vectors @ true_vectors.T >= np.cos(np.radians(degrees)) * sizes[:, None] * true_sizes
    close = np.any(aligned & (signs[:, None] == true_signs), axis=1)
    return float(sizes[close].sum() / max(sizes.sum(), np.finfo(float).tiny))
