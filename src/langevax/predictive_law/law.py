"""The result of `predictive`: a law of the parameters, its scores, and what Bayes loses beside it."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.figures import charts, theme
from langevax.log_weights import log_mean_exp
from langevax.predictive_law import law_file
from langevax.predictive_law.agreement import LawAgreement, agreement
from langevax.predictive_law.law_certificate import LawCertificate, certify
from langevax.predictive_law.law_problem import LawProblem, new_log_likelihoods
from langevax.predictive_law.models import model_of
from langevax.predictive_law.path import PredictivePath
from langevax.predictive_law.row_model import NamedModel, RowModel, Sampler
from langevax.run.progress import ProgressOption
from langevax.run.result import named_leaves

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


class PredictiveWarning(UserWarning):
    """Reasons to doubt a predictive law, those of `PredictiveLaw.warnings`."""


@dataclass(frozen=True)
class BayesComparison:
    """Loss of the posterior predictive beside the chosen law, on rows that neither was fitted to."""

    nats: float
    """Mean log score of the chosen law over that of Bayes, a row."""
    standard_error: float
    """Paired over rows, and that over particles."""
    bayes_share: float
    num_rows: int
    method: str
    """How rows were left out."""

    def __str__(self) -> str:
        if self.bayes_share == 1:
            return (
                f"Bayes loses nothing that {self.num_rows:,} rows could show ({self.method}): no smaller share of it "
                "scores better by more than its standard error."
            )
        return (
            f"Bayes loses {self.nats:.3f} ± {self.standard_error:.3f} nats a row ({self.method}, {self.num_rows:,} "
            f"rows): the law with a share of {self.bayes_share:g} of Bayes makes a new row {np.exp(self.nats):.2f} "
            "times as likely, as a geometric mean. The model is misspecified."
        )


@dataclass(frozen=True, repr=False)
class PredictiveLaw:
    """The law of the parameters that predicts new rows best, and the path on which it was chosen."""

    bayes_share: float
    """1 is the posterior."""
    path: PredictivePath
    positions: PyTree[np.ndarray]
    """Particles of equal weight, in the structure of the draws; values of the sites or variables of a NumPyro or PyMC
    model."""
    points: Float[np.ndarray, "particle d"]
    """The same, flat and unconstrained."""
    problem: LawProblem
    model: RowModel
    log_likelihoods: Float[np.ndarray, "particle n"]
    method: str
    """How the scores of the choice were made."""
    seconds: float
    """Without the draws; nan of the law of an estimator that was loaded."""

    def __repr__(self) -> str:
        return f"PredictiveLaw(bayes_share={self.bayes_share:g})\n{self.compare()}\n{self.path!r}"

    def log_score(self, *new: Any) -> Float[np.ndarray, " n"]:
        """Return log mean p(row | theta) of every new row, which is in the form of the data.

        New rows of a PyMC model are one dictionary of its `pm.Data` and of what it observes, by name.

        Raises ValueError where structure or columns differ from those of the data.
        """
        logs = new_log_likelihoods(self.problem, self.model.rows(new), self.points)
        return log_mean_exp(logs, axis=0)

    def sample_predictive(
        self, *new: Any, key: PRNGKey, sampler: Sampler | None = None
    ) -> PyTree[np.ndarray]:
        """Return draws of new rows, (particle, row, ...), each row with particles of its own.

        Args:
            new: arguments of a NumPyro model, with None for what it observes; a dictionary of the `pm.Data` of a PyMC
                model, without what it observes; or rows, in the form of the data.
            key: a typed JAX key.
            sampler: `sampler(key, position, row) -> a draw`, for models that are a log likelihood.
        """
        checks.typed_key(key)
        draw_key, order_key = random.split(key)
        unraveled = jax.vmap(self.problem.unravel)(jnp.asarray(self.points))
        drawn = self.model.simulated(unraveled, new, sampler, key=draw_key)
        return jax.tree.map(
            lambda a: np.asarray(
                random.permutation(order_key, a, axis=0, independent=True)
            ),
            drawn,
        )

    def compare(self) -> BayesComparison:
        """Return what Bayes loses, in nats a row: `print(fit.compare())` is a sentence."""
        chosen = self.path.chosen
        gain = float(self.path.gain[chosen])
        error = float(self.path.gain_error[chosen])
        return BayesComparison(
            gain, error, self.bayes_share, self.path.scores.shape[1], self.method
        )

    def agreement(self, others: Sequence["PredictiveLaw"]) -> LawAgreement:
        """Return how far laws of other keys agree with this one: `print` of the result is a sentence.

        Args:
            others: what `predictive` returned for other keys, of the same model, data and `bayes_shares`; best with
                draws of their own.

        Raises ValueError where `others` is empty, or of other parameters, rows or shares.

        Example:
            >>> import jax, jax.numpy as jnp, langevax
            >>> model = (lambda m: -(m**2) / 8, lambda m, y: -((y - m) ** 2) / 2, jnp.linspace(-4, 4, 60))
            >>> draws = jax.random.normal(jax.random.key(1), (256,)) / 7.8
            >>> options = {"draws": draws, "bayes_shares": (1.0, 0.5), "num_folds": None, "num_particles": 64}
            >>> laws = [langevax.predictive(*model, key=jax.random.key(seed), **options) for seed in (0, 1, 2)]
            >>> laws[0].agreement(laws[1:]).agree
            True
        """
        return agreement(self, others)

    def certificate(
        self,
        *,
        key: PRNGKey,
        effort: float | None = None,
        cpu_seconds: float | None = None,
        others: Sequence["PredictiveLaw"] = (),
        progress: ProgressOption = "auto",
    ) -> LawCertificate:
        """Bound the least objective at the law's share of Bayes from both sides: `print` of the result is a sentence.

        It is about J_a on the training rows, the score of its minimiser there, and this law beside it; not about new
        rows, nor about the choice of the share. It refuses where parameters far from the law hold mass.

        Args:
            key: a typed JAX key.
            effort: gradients of the log likelihood of one row at one particle that it may spend; 1e9 by default. It
                ends sooner where the interval is narrow.
            cpu_seconds: instead of `effort`, converted by a rate that is measured; `effort` of the result repeats it.
            others: laws of other keys, from whose particles modes are searched for as well.
            progress: show a progress bar; "auto" shows it on a terminal. Or a function of (words, share of effort).

        Raises:
            TypeError, ValueError: a budget that is not positive, two budgets, laws of other parameters.

        Example:
            >>> import jax, jax.numpy as jnp, langevax
            >>> model = (lambda m: -(m**2) / 8, lambda m, y: -((y - m) ** 2) / 2, jnp.linspace(-4, 4, 60))
            >>> draws = jax.random.normal(jax.random.key(1), (256,)) / 7.8
            >>> options = {"draws": draws, "bayes_shares": (1.0, 0.5), "num_folds": None, "num_particles": 64}
            >>> law = langevax.predictive(*model, key=jax.random.key(0), **options)
            >>> certificate = law.certificate(key=jax.random.key(2), effort=1e8)
            >>> certificate.trustworthy, certificate.width < 1
            (True, True)
        """
        return certify(self, effort, others, progress, cpu_seconds, key=key)

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the law, as sentences."""
        path = self.path
        messages = []
        if not path.is_converged[path.chosen]:
            messages.append(
                f"the law with a share of {self.bayes_share:g} of Bayes still drifts after "
                f"{path.num_moves[path.chosen]} moves; pass more bayes_shares between it and 1."
            )
        if path.has_many_parameters and not np.isfinite(path.held_out).all():
            messages.append(
                f"the law has {path.p_eff[path.chosen]:.0f} effective parameters on {path.scores.shape[1]} rows, where "
                "the closed form of leave-one-out is unsafe; pass num_folds."
            )
        size = path.scores.shape[1]
        values = self._number_of_values()
        if self.bayes_share < 1 and values < size / 2:
            messages.append(
                f"the {size} rows have only {values} different values, on which a density can put "
                "spikes: the gain is that of these values, and a new one may have next to no density. Use a likelihood "
                "of counts, or of the intervals that were rounded."
            )
        return messages

    def _number_of_values(self) -> int:
        """Return the number of different rows, by their densities; that of all rows where these may be probabilities.

        A NumPyro model says what its rows have; otherwise a logarithm above 0 is one of a density.
        """
        few = self.log_likelihoods[:8]
        is_density = self.model.has_density_floor
        if not isinstance(self.model, NamedModel):
            is_density = (
                is_density and np.max(log_mean_exp(self.log_likelihoods, 0)) > 0
            )
        return len(np.unique(few, axis=1).T) if is_density else few.shape[1]

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Plot the misspecification curve: gain over Bayes against the share of Bayes, with standard errors."""
        path = self.path
        axes = charts.new_axes(axes)
        places = np.arange(len(path.bayes_share))
        colour = theme.METHODS["MFLD"][0]
        axes.axhline(0, color=theme.GREY, linewidth=1)
        low = path.gain - path.gain_error
        high = path.gain + path.gain_error
        axes.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
        for chosen, face in ((False, "white"), (True, colour)):
            shown = (places == path.chosen) == chosen
            style: dict[str, Any] = {
                "fmt": "D",
                "color": colour,
                "markerfacecolor": face,
            }
            axes.errorbar(
                places[shown], path.gain[shown], path.gain_error[shown], **style
            )
        axes.annotate(
            "chosen",
            (path.chosen, high[path.chosen]),
            (0, 6),
            textcoords="offset points",
            ha="center",
            color=colour,
        )
        labels = [
            f"{share:g}\n{size:.0f}"
            for share, size in zip(path.bayes_share, path.p_eff, strict=True)
        ]
        axes.set_xticks(places, labels)
        axes.margins(x=0.08, y=0.18)
        axes.set(
            xlabel="share of Bayes, and effective parameters below it",
            ylabel="gain over Bayes, nats a row",
            title="Misspecification curve",
        )
        return axes

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the law as one .npz file without pickles; `langevax.predictive_law.load` reads it.

        Functions and data are not saved.
        """
        header = {name: getattr(self, name) for name in ("bayes_share", "method")}
        header |= {"seconds": self.seconds, "sites": _shapes(self.positions)}
        arrays = {"points": self.points, "log_likelihoods": self.log_likelihoods}
        for field in fields(PredictivePath):
            arrays[f"path_{field.name}"] = np.asarray(getattr(self.path, field.name))
        law_file.write(file, header, arrays)

    def to_datatree(self) -> "xarray.DataTree":
        """Return the groups `posterior` (the law's particles), `log_likelihood` and `path`, in ArviZ's layout.

        `arviz.loo` is valid for a share of 1 only: with a smaller share the particles are not draws of the posterior.
        """
        with checks.needs("xarray", "to_datatree"):
            import xarray

        def particles(arrays: dict[str, np.ndarray]) -> "xarray.Dataset":
            variables = {
                name: (
                    [
                        "chain",
                        "draw",
                        *(f"{name}_dim_{i}" for i in range(array.ndim - 1)),
                    ],
                    np.asarray(array)[None],
                )
                for name, array in arrays.items()
            }
            return xarray.Dataset(
                variables, {"chain": [0], "draw": np.arange(len(self.points))}
            )

        path = self.path
        names = (
            "fit",
            "fit_error",
            "loo",
            "held_out",
            "gain",
            "gain_error",
            "p_eff",
            "gap",
            "num_moves",
        )
        curve = {
            name: (["bayes_share"], np.asarray(getattr(path, name))) for name in names
        }
        groups = {
            "posterior": particles(named_leaves(self.positions)),
            "log_likelihood": particles({"log_likelihood": self.log_likelihoods}),
            "path": xarray.Dataset(curve, {"bayes_share": path.bayes_share}),
        }
        tree = xarray.DataTree.from_dict(groups)
        tree.attrs |= {"bayes_share": self.bayes_share, "method": self.method}
        return tree


def law_at(
    model: RowModel,
    position: PyTree,
    points: Float[np.ndarray, "particle d"],
    path: PredictivePath,
    method: str,
    seconds: float = math.nan,
) -> PredictiveLaw:
    """Return a law that was saved: its particles, in the structure of `position`, on the rows of its model."""
    problem = LawProblem.of(
        model.finite_sum, jax.tree.map(jnp.asarray, position), len(points)
    )
    logs = problem.log_likelihoods(points)
    return law_of(model, problem, path, points, logs, method, seconds)


def law_of(
    model: RowModel,
    problem: LawProblem,
    path: PredictivePath,
    points: Float[np.ndarray, "particle d"],
    log_likelihoods: Float[np.ndarray, "particle n"],
    method: str,
    seconds: float,
) -> PredictiveLaw:
    """Return the law of these particles, at the share that the path chose."""
    return PredictiveLaw(
        float(path.bayes_share[path.chosen]),
        path,
        model.constrain(jax.vmap(problem.unravel)(jnp.asarray(points))),
        points,
        problem,
        model,
        log_likelihoods,
        method,
        seconds,
    )


def load(
    file: str | os.PathLike[str], model: Any, *data: Any, start: PyTree | None = None
) -> PredictiveLaw:
    """Return the law that `PredictiveLaw.save` wrote.

    Log likelihoods of the first particles are compared with those in the file, so that a law cannot be read for another
    model or other rows.

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
    entries = {"format", "bayes_share", "method", "seconds", "sites"}
    names = {field.name: f"path_{field.name}" for field in fields(PredictivePath)}
    header, arrays = law_file.read(
        file, entries, {"points", "log_likelihoods", *names.values()}
    )
    points = arrays["points"]
    logs = arrays["log_likelihoods"]
    path = PredictivePath(**{name: arrays[key] for name, key in names.items()})
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
    few = slice(0, 8)
    again = problem.log_likelihoods(points[few])
    if not np.allclose(again, logs[few], rtol=1e-3, atol=1e-3):  # of another machine
        raise ValueError(
            f"{str(file)!r} is a law of another model or other data: log likelihoods of its particles differ; pass "
            "those that it was fitted to."
        )
    method = header["method"]
    seconds = header["seconds"]
    law = law_of(row_model, problem, path, points, logs, method, seconds)
    if (sites := _shapes(law.positions)) != header["sites"]:
        raise ValueError(
            f"{str(file)!r} is a law of {header['sites']}, but start is of {sites}; pass those names."
        )
    return law


def _shapes(positions: PyTree) -> dict[str, list[int]]:
    """Return the shape of each array of a position, by its name."""
    return {
        name: list(np.shape(leaf)[1:]) for name, leaf in named_leaves(positions).items()
    }
