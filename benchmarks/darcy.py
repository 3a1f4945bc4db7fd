"""Groundwater on a square, by finite volumes, and a UM-Bridge server of it: `python -m benchmarks.darcy PORT`.

    -div(exp(f) grad p) = 1 on (0, 1)^2,      p = 0 on the boundary,      data: p at 16 wells

f is constant in each cell. A face between two cells conducts as the mean of both, one on the boundary, half a cell
from the centre, as twice its cell.
"""

import functools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

CELLS = 16  # on each side
WELLS = np.array([i * CELLS + j for i in (2, 6, 10, 13) for j in (2, 5, 9, 13)])
NAME = "darcy"


class Darcy:
    """Heads at the wells from f in the cells, and the transposed derivative times a residual."""

    def __init__(self) -> None:
        ends, inner = (
            np.eye(CELLS + 1, CELLS) - np.eye(CELLS + 1, CELLS, -1),
            np.eye(CELLS),
        )
        mean = np.abs(ends) / 2
        mean[[0, -1]] *= 4  # half a cell from centre to boundary
        kron = lambda a, b: sparse.csr_array(sparse.kron(a, b))
        self.differences = (
            sparse.vstack([kron(ends, inner), kron(inner, ends)]).tocsr() * CELLS
        )
        self.means = sparse.vstack([kron(mean, inner), kron(inner, mean)]).tocsr()

    def __call__(self, f: np.ndarray) -> np.ndarray:
        """Return the heads at the wells."""
        return self._solve(f)[0][WELLS]

    def adjoint(self, f: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return the transposed derivative at f times a residual."""
        p, factors = self._solve(f)
        q = factors.solve(
            np.bincount(WELLS, np.asarray(residual, float), minlength=CELLS**2)
        )
        return -np.exp(f) * (
            self.means.T @ ((self.differences @ p) * (self.differences @ q))
        )

    def _solve(self, f: np.ndarray):
        conductances = self.means @ np.exp(np.asarray(f, np.float64))
        stiffness = self.differences.T @ self.differences.multiply(
            conductances[:, None]
        )
        factors = splu(
            sparse.csc_matrix(stiffness),
            permc_spec="MMD_AT_PLUS_A",
            options={"SymmetricMode": True},
        )
        return factors.solve(np.ones(CELLS**2)), factors


def serve(port: int) -> None:
    """Answer on this machine's own address until the process ends."""
    import umbridge
    from aiohttp import web

    darcy = Darcy()

    class Model(umbridge.Model):
        def get_input_sizes(self, config):
            return [CELLS**2]

        def get_output_sizes(self, config):
            return [len(WELLS)]

        def supports_evaluate(self):
            return True

        def supports_gradient(self):
            return True

        def __call__(self, parameters, config):
            return [darcy(np.array(parameters[0])).tolist()]

        def gradient(self, out_wrt, in_wrt, parameters, sens, config):
            return darcy.adjoint(np.array(parameters[0]), np.array(sens)).tolist()

    web.run_app = functools.partial(
        web.run_app, host="127.0.0.1", print=None
    )  # the package would listen to everyone
    umbridge.serve_models([Model(NAME)], port)


@contextmanager
def serving(seconds: float = 120.0) -> Iterator[str]:
    """Yield the url of a server in a process of its own."""
    from langevax.sampling import UMBridgeModel

    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.darcy", str(port)]
    server, end = (
        subprocess.Popen(command, stdout=subprocess.DEVNULL),
        time.monotonic() + seconds,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                UMBridgeModel(url, NAME)
                break
            except ConnectionError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
