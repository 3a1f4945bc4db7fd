"""Heat in a plate, by scikit-fem, with its adjoint: one more solver in NumPy for `inverse`.

    -div(exp(f) grad u) = 1 on the unit square, u = 0 at its edge,      data: u at nine nodes

on a mesh of triangles with linear elements for f and for u.
"""

from typing import Any

import numpy as np

import langevax as lx

REFINED = 4  # 289 nodes
PLACES = 0.25, 0.5, 0.75


class Plate:
    """Temperatures at nine nodes from f at all nodes, and the transposed derivative times a residual."""

    def __init__(self) -> None:
        import skfem
        from skfem.helpers import dot, grad
        from skfem.models.poisson import laplace, mass, unit_load

        mesh = skfem.MeshTri().refined(REFINED)
        self.basis = skfem.Basis(mesh, skfem.ElementTriP1())
        self.stiffness, self.mass = (
            laplace.assemble(self.basis),
            mass.assemble(self.basis),
        )
        self.load = unit_load.assemble(self.basis)
        self.edge, self.solved = self.basis.get_dofs(), skfem.solve
        self.condense = skfem.condense
        places = np.array([(x, y) for x in PLACES for y in PLACES])
        distances = np.abs(mesh.p.T[:, None] - places).sum(-1)
        self.measured = np.argmin(distances, axis=0)
        self.at_nodes: Any = mesh.p

        @skfem.BilinearForm
        def conduction(u: Any, v: Any, w: Any) -> Any:
            return np.exp(w["f"]) * dot(grad(u), grad(v))

        @skfem.LinearForm
        def sensitivity(v: Any, w: Any) -> Any:
            return -np.exp(w["f"]) * dot(grad(w["u"]), grad(w["p"])) * v

        self.conduction, self.sensitivity = conduction, sensitivity

    def _solve(self, f: np.ndarray, load: np.ndarray) -> np.ndarray:
        matrix = self.conduction.assemble(
            self.basis, f=self.basis.interpolate(np.asarray(f, np.float64))
        )
        return self.solved(*self.condense(matrix, load, D=self.edge))

    def __call__(self, f: np.ndarray) -> np.ndarray:
        """Return the temperatures."""
        return self._solve(f, self.load)[self.measured]

    def adjoint(self, f: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return the transposed derivative at f times a residual."""
        weights = np.bincount(
            self.measured, np.asarray(residual, float), minlength=len(self.load)
        )
        u, p = self._solve(f, self.load), self._solve(f, weights)
        fields = {"f": np.asarray(f, float), "u": u, "p": p}
        at_points = {
            name: self.basis.interpolate(values) for name, values in fields.items()
        }
        return self.sensitivity.assemble(self.basis, **at_points)


def plate_problem() -> tuple[Plate, np.ndarray, float, lx.spaces.GaussianPrior]:
    """Return the solver, data, noise, and the Whittle-Matern prior of the mesh in 48 modes."""
    plate, noise = Plate(), 0.001
    basis = lx.spaces.FiniteElements(
        stiffness=plate.stiffness, mass=plate.mass, dim=2, num_modes=48
    )
    prior = lx.spaces.GaussianPrior(
        basis, lx.spaces.spectra.matern(basis, length_scale=0.3)
    )
    x, y = plate.at_nodes
    truth = np.where((x - 0.6) ** 2 + (y - 0.4) ** 2 < 0.05, -1.0, 0.5)
    return (
        plate,
        plate(truth) + noise * np.random.default_rng(3).normal(size=9),
        noise,
        prior,
    )
