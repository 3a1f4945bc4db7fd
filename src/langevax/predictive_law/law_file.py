"""Saved laws: one .npz file of arrays and a JSON header. Nothing is ever unpickled.

Functions and data are not saved. `load` takes them again and compares the log likelihoods of the first particles with
those in the file, so that a law cannot be read for another model or other rows.
"""

import io
import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from langevax import checks
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.predictive_law.law import PredictiveLaw
from langevax.predictive_law.law_problem import LawProblem
from langevax.predictive_law.models import NamedModel, model_of
from langevax.predictive_law.path import PredictivePath
from langevax.run.checkpoint import write_atomically
from langevax.run.result import named_leaves

FORMAT = 1
NUM_COMPARED = 8
"""Particles whose log likelihoods are computed again."""
TOLERANCE = 1e-3
"""Of log likelihoods, relative and in nats, beyond the rounding of another machine."""
ARRAYS = "points", "log_likelihoods"
NUMBERS = "bayes_share", "method", "seconds"
FAULTS = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError)


def save(law: PredictiveLaw, file: str | os.PathLike[str]) -> None:
    """Write a law; an earlier file of that name stays whole until the new one is complete."""
    checks.local_path("file", file)
    header = {name: getattr(law, name) for name in NUMBERS}
    arrays = {name: np.asarray(getattr(law, name)) for name in ARRAYS}
    arrays |= {
        f"path_{field.name}": np.asarray(getattr(law.path, field.name))
        for field in fields(PredictivePath)
    }
    text = json.dumps(
        header
        | {"format": FORMAT, "version": __version__, "sites": _shapes(law.positions)}
    )
    content = io.BytesIO()
    np.savez_compressed(
        content, header=np.frombuffer(text.encode(), np.uint8), **arrays
    )  # pyright: ignore[reportArgumentType]
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getbuffer())


def load(
    file: str | os.PathLike[str], model: Any, *data: Any, start: PyTree | None = None
) -> PredictiveLaw:
    """Return the law that `PredictiveLaw.save` wrote.

    Args:
        file: its name.
        model, data: those that the law was fitted to, as `predictive` takes them; functions are not saved.
        start: any position in the structure of the draws; not needed for a NumPyro or PyMC model.

    Raises:
        TypeError, ValueError: no such file, one that is damaged, or a law of another model or of other data.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, langevax
        >>> model = (lambda m: -(m**2) / 8, lambda m, y: -((y - m) ** 2) / 2, jnp.linspace(-1, 1, 20))
        >>> draws = jax.random.normal(jax.random.key(1), (64,)) / 4.5
        >>> options = {"draws": draws, "bayes_shares": (1.0,), "num_folds": None, "num_particles": 16}
        >>> law = langevax.predictive(*model, key=jax.random.key(0), **options)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     law.save(f"{folder}/law.npz")
        ...     again = langevax.predictive_law.load(f"{folder}/law.npz", *model, start=jnp.array(0.0))
        >>> bool((again.log_score(jnp.zeros(3)) == law.log_score(jnp.zeros(3))).all())
        True
    """
    checks.local_path("file", file)
    if not Path(file).is_file():
        raise ValueError(
            f"{str(file)!r} does not exist; pass the file that save() wrote."
        )
    try:
        with np.load(
            io.BytesIO(Path(file).read_bytes()), allow_pickle=False
        ) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays["header"].tobytes())
        number, sites, saved = (
            header["format"],
            header["sites"],
            {name: header[name] for name in NUMBERS},
        )
        path = PredictivePath(
            **{
                field.name: arrays[f"path_{field.name}"]
                for field in fields(PredictivePath)
            }
        )
        points, logs = (arrays[name] for name in ARRAYS)
    except FAULTS as error:
        raise ValueError(
            f"{str(file)!r} is damaged or not a law of langevax ({error}); save it again."
        ) from error
    if number != FORMAT:
        raise ValueError(
            f"{str(file)!r} has format {number}, this langevax reads {FORMAT}; fit again."
        )
    row_model = model_of(model, data)
    if isinstance(row_model, NamedModel):
        start = row_model.start(random.key(0))
    elif start is None:
        raise ValueError(
            "start is missing: pass a position in the structure of the draws."
        )
    position = checks.arrays("start", start)
    problem = LawProblem.of(row_model.finite_sum, position, len(points))
    size = sum(np.size(leaf) for leaf in named_leaves(position).values())
    if size != points.shape[1] or problem.size != logs.shape[1]:
        raise ValueError(
            f"{str(file)!r} is a law of {points.shape[1]} parameters and {logs.shape[1]} rows, but model and data have "
            f"{size} and {problem.size}; pass those that it was fitted to."
        )
    again = problem.log_likelihoods(points[:NUM_COMPARED])
    if not np.allclose(again, logs[:NUM_COMPARED], rtol=TOLERANCE, atol=TOLERANCE):
        raise ValueError(
            f"{str(file)!r} is a law of another model or other data: log likelihoods of its particles differ; pass "
            "those that it was fitted to."
        )
    positions = row_model.constrain(jax.vmap(problem.unravel)(jnp.asarray(points)))
    if _shapes(positions) != sites:
        raise ValueError(
            f"{str(file)!r} is a law of {sites}, but start is of {_shapes(positions)}; pass those names."
        )
    return PredictiveLaw(
        path=path,
        positions=positions,
        points=points,
        problem=problem,
        model=row_model,
        log_likelihoods=logs,
        **saved,
    )


def _shapes(positions: PyTree) -> dict[str, list[int]]:
    """Return the shape of each array of a position, by its name."""
    return {
        name: list(np.shape(leaf)[1:]) for name, leaf in named_leaves(positions).items()
    }
