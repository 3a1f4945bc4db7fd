"""Functions on the nodes of a mesh, by finite elements: eigenvectors of stiffness and mass."""

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from langevax import checks
from langevax.spaces.nodes import (
    DENSE,
    MATRIX_ROUNDING,
    InMass,
    Matrix,
    checked_mass,
    in_mass,
    is_sparse_work,
    number_of_modes,
    symmetric,
)
from langevax.spaces.tabulated import with_fixed_signs


class FiniteElements(InMass):
    """`K v_k = lambda_k M v_k, f_k = v_k (1^T M 1)^{1/2}`: smooth ones first, orthonormal over the domain.

    Args:
        stiffness: K, (n, n), `K_ij = integral of grad phi_i . grad phi_j`, symmetric, without negative eigenvalues.
        mass: M, (n, n), `M_ij = integral of phi_i phi_j`, symmetric and positive definite; or (n,) where it is lumped.
        dim: dimension of the domain, 2 for a surface too; spectra use it.
        num_modes: N; by default n, which large meshes refuse.

    Both matrices are dense or of scipy.sparse, as scikit-fem, FEniCS and others assemble them. Boundaries are free as
    they come; leave out the rows and columns of nodes at which functions are zero. `frequencies` are `sqrt(lambda_k)`,
    so that `GaussianPrior(basis, spectra.matern(basis, ...))` is the Whittle-Matern law of the mesh (Lindgren, Rue,
    Lindstrom, J. R. Statist. Soc. B 2011), cut off after N modes. Points are numbers of nodes, values are those there.

    Costs O(n^3) up to 1,500 nodes, and one sparse factorisation beyond, with some solves for each mode; `synthesize`
    and `analyze` are a product with a matrix each.

    Raises:
        ValueError: matrices of different shapes, not finite, not symmetric, or interchanged; negative eigenvalues; more
            modes than nodes.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> left, right = np.eye(40, 41), np.eye(40, 41, 1)  # the ends of 40 elements of [0, 1]
        >>> stiffness = 40 * (right - left).T @ (right - left)
        >>> mass = (left.T @ left + right.T @ right + (left + right).T @ (left + right)) / 240
        >>> basis = spaces.FiniteElements(stiffness=stiffness, mass=mass, dim=1, num_modes=4)
        >>> (basis.frequencies / np.pi).round(2)
        array([0.  , 1.  , 2.  , 3.01])
        >>> prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.5))
        >>> prior.basis.synthesize(prior.eigenvalues).shape
        (41,)
    """

    per_mode: ClassVar[tuple[str, ...]] = ("matrix", "dual", "laplacian_eigenvalues")

    laplacian_eigenvalues: Float[np.ndarray, " modes"]
    size: float
    dimension: int

    def __init__(
        self,
        *,
        stiffness: Matrix,
        mass: Matrix,
        dim: int,
        num_modes: int | None = None,
    ):
        stiffness = symmetric("stiffness", stiffness)
        n = stiffness.shape[0]
        mass = checked_mass(mass, n)
        self.dimension = checks.whole("dim", dim)
        number = number_of_modes(num_modes, n, "mesh", is_large=n > DENSE)
        self.laplacian_eigenvalues, vectors = _smallest(stiffness, mass, number)
        self.size = float(mass.sum())
        self.points: np.ndarray = np.arange(n)
        self.matrix: np.ndarray = np.sqrt(self.size) * with_fixed_signs(vectors)
        self.dual: np.ndarray
        self.weights: np.ndarray
        self.dual, self.weights = in_mass(mass, self.matrix)

    @property
    def frequencies(self) -> np.ndarray:
        return np.sqrt(self.laplacian_eigenvalues)

    @property
    def dim(self) -> int:
        return self.dimension

    @property
    def volume(self) -> float:
        """1^T M 1."""
        return self.size


def _smallest(
    stiffness: Matrix,
    mass: Matrix,
    number: int,
    shift: float = 1e-6,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest eigenvalues, increasing and >= 0, and vectors (n, N), orthonormal in the mass.

    What is factorised is moved by `shift` of the mean eigenvalue, so that it is positive definite.
    """
    from scipy.linalg import LinAlgError, eigh
    from scipy.sparse import csc_array, diags_array, issparse
    from scipy.sparse.linalg import eigsh

    n = stiffness.shape[0]
    mass = diags_array(mass) if mass.ndim == 1 else mass
    level = float(stiffness.diagonal().sum() / mass.diagonal().sum())
    if is_sparse_work(n, number):
        start = np.random.default_rng(0).standard_normal(n)
        scale = diags_array(1 / np.sqrt(mass.diagonal()))
        scaled = scale @ mass @ scale  # well conditioned on any mesh
        options: dict[str, Any] = {
            "which": "SA",
            "v0": start,
            "tol": 0.01,
            "return_eigenvectors": False,
        }
        least = float(np.min(eigsh(scaled, 1, **options)))
        if not least > 0:
            raise ValueError(
                f"mass must be positive definite, but has an eigenvalue of {least:.3g} "
                "times its diagonal."
            )
        matrices = csc_array(stiffness), csc_array(mass)
        values, vectors = eigsh(
            matrices[0], number, matrices[1], sigma=-shift * level, v0=start
        )
        order = np.argsort(values)
        values = values[order]
        vectors = vectors[:, order]
    else:
        dense = [
            matrix.toarray() if issparse(matrix) else matrix
            for matrix in (stiffness, mass)
        ]
        try:
            values, vectors = eigh(*dense, subset_by_index=(0, number - 1))
        except LinAlgError as error:
            raise ValueError(
                f"mass must be positive definite, but it is not ({error})."
            ) from error
    if not values[0] >= -MATRIX_ROUNDING * level:
        raise ValueError(
            f"stiffness has the negative eigenvalue {values[0]:.3g} in the mass; pass "
            "the integrals of products of gradients, without a minus and without "
            "lower-order terms that are negative."
        )
    return np.maximum(values, 0.0), vectors
