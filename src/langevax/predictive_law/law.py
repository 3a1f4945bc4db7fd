"""The result of `predictive`: a distribution of the parameters, its scores, and what Bayes loses beside it."""

import math
import os
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.log_weights import log_mean_exp
from langevax.predictive_law import law_file
from langevax.predictive_law.law_certificate import LawCertificate, certify
from langevax.predictive_law.law_problem import LawProblem, PredictiveWarning
from langevax.predictive_law.models import model_of
from langevax.predictive_law.path import PredictivePath
from langevax.predictive_law.row_model import NamedModel, RowModel
from langevax.renamed import refuse_former
from langevax.run.identity import describe
from langevax.run.options import Run
from langevax.run.result import datatree_type, draws_dataset, named_leaves

if TYPE_CHECKING:
    import xarray


CLOSED_FORM = "leave-one-out in closed form"


@dataclass(frozen=True)
class BayesComparison:
    """Loss of the posterior predictive beside the chosen distribution, on rows that neither was fitted to."""

    nats: float
    """Mean log score of the chosen distribution over that of Bayes, a row."""
    standard_error: float
    """Paired over rows, and that over particles."""
    posterior_share: float
    num_rows: int
    method: str
    """How rows were left out."""

    def __str__(self) -> str:
        if self.posterior_share == 1:
            return (
                f"Bayes loses nothing that {self.num_rows:,} rows could show "
                f"({self.method}): no smaller share of it scores better by more than "
                "its standard error."
            )
        return (
            f"Bayes loses {self.nats:.3f} ± {self.standard_error:.3f} nats a row "
            f"({self.method}, {self.num_rows:,} rows): the distribution with a share "
            f"of {self.posterior_share:g} of Bayes makes a new row "
            f"{np.exp(self.nats):.2f} times as likely, as a geometric mean. The model "
            "is misspecified."
        )


@dataclass(frozen=True, repr=False)
class PredictiveLaw:
    """The distribution of the parameters that predicts new rows best, and the path on which it was chosen."""

    posterior_share: float
    """1 is the posterior."""
    path: PredictivePath
    positions: PyTree[np.ndarray]
    """Particles of equal weight, in the structure of the draws; values of the sites or variables of a NumPyro or PyMC
    model, from which `numpyro.infer.Predictive` and PyMC's `sample_posterior_predictive` draw new rows."""
    points: Float[np.ndarray, "particle d"]
    """The same, flat and unconstrained."""
    problem: LawProblem
    model: RowModel
    log_likelihoods: Float[np.ndarray, "particle n"]
    method: str
    """How the scores of the choice were made."""
    seconds: float
    """Without the draws; nan of that of an estimator that was loaded."""

    def __repr__(self) -> str:
        return (
            f"PredictiveLaw(posterior_share={self.posterior_share:g})\n"
            f"{self.compare()}\n"
            f"{self.path!r}"
        )

    def log_score(self, *new: Any) -> Float[np.ndarray, " n"]:
        """Return log mean p(row | theta) of every new row, which is in the form of the data.

        New rows of a PyMC model are one dictionary of its `pm.Data` and of what it observes, by name.

        Raises ValueError where structure or columns differ from those of the data.
        """
        logs = self.problem.log_likelihoods(self.points, self.model.rows(new))
        return log_mean_exp(logs, axis=0)

    def compare(self) -> BayesComparison:
        """Return what Bayes loses, in nats a row: `print(fit.compare())` is a sentence."""
        chosen = self.path.chosen
        gain = float(self.path.gain[chosen])
        error = float(self.path.gain_error[chosen])
        return BayesComparison(
            gain, error, self.posterior_share, self.path.scores.shape[1], self.method
        )

    @refuse_former
    def certificate(
        self,
        *,
        key: PRNGKey,
        effort: float | None = None,
        cpu_seconds: float | None = None,
        run: Run = Run(),
    ) -> LawCertificate:
        """Bound the least objective at the chosen share of Bayes from both sides: `print` of the result is a sentence.

        It is about J_a on the training rows, the score of its minimiser there, and this one beside it; not about new
        rows, nor about the choice of the share. It refuses where parameters far from the particles hold mass.

        Args:
            key: a typed JAX key.
            effort: gradients of the log likelihood of one row at one particle that it may spend; 1e9 by default. It
                ends sooner where the interval is narrow.
            cpu_seconds: instead of `effort`, converted by a rate that is measured; `effort` of the result repeats it.
            run: a `langevax.Run`; it saves nothing, and the share that `progress` shows is that of the effort.

        Raises:
            TypeError, ValueError: a budget that is not positive, or two budgets.

        Example:
            >>> import jax, jax.numpy as jnp, langevax
            >>> model = (lambda m: -(m**2) / 8, lambda m, y: -((y - m) ** 2) / 2, jnp.linspace(-4, 4, 60))
            >>> draws = jax.random.normal(jax.random.key(1), (256,)) / 7.8
            >>> options = {"draws": draws, "posterior_shares": (1.0, 0.5), "num_folds": None, "num_particles": 64}
            >>> law = langevax.predictive(*model, key=jax.random.key(0), **options)
            >>> certificate = law.certificate(key=jax.random.key(2), effort=3e8)
            >>> certificate.trustworthy, certificate.width < 1
            (True, True)
        """
        return certify(
            self.problem,
            self.posterior_share,
            self.points,
            effort,
            run,
            cpu_seconds,
            key=key,
        )

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the distribution, as sentences."""
        path = self.path
        messages = []
        if not path.is_converged[path.chosen]:
            messages.append(
                f"the draws at posterior_share {self.posterior_share:g} have not "
                f"converged after {path.num_moves[path.chosen]} iterations; pass more "
                "values of posterior_shares between it and 1, or centre and scale the "
                "parameters (a non-centred parametrisation), as for divergent "
                "transitions."
            )
        if path.has_many_parameters and self.method == CLOSED_FORM:
            messages.append(
                f"p_loo is {path.p_eff[path.chosen]:.0f} on {path.scores.shape[1]} "
                "rows, so that elpd_loo is unreliable, as with a Pareto k above 0.7; "
                "pass num_folds=10 for K-fold cross-validation."
            )
        size = path.scores.shape[1]
        values = len(np.unique(self.log_likelihoods[:8], axis=1).T)
        is_density = np.max(log_mean_exp(self.log_likelihoods, 0)) > 0
        if self.posterior_share < 1 and is_density and values < size / 2:
            messages.append(
                f"the {size} rows have only {values} different values, where a density "
                "can be as high as it likes: the elpd is that of these values alone. "
                "Use a discrete likelihood; of rounded data, the difference of the CDF "
                "at the ends of the interval that was rounded."
            )
        return messages

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the distribution as one file of arrays, without pickles; `langevax.predictive_law.load` reads it.

        Functions and data are not saved: of the prior there are its densities at the particles, of the rows a hash.
        """
        priors = self.problem.log_priors(self.points)
        saved = law_file.SavedLaw(
            np.asarray(self.points),
            np.asarray(self.log_likelihoods),
            priors,
            self.path,
            self.method,
            self.seconds,
            _described(self.problem),
        )
        law_file.write(file, saved)

    def to_datatree(self) -> "xarray.DataTree":
        """Return the groups `posterior` (the particles) and `log_likelihood`, in ArviZ's layout.

        `arviz.loo` is valid for a share of 1 only: with a smaller share the particles are not draws of the posterior.
        """

        def particles(arrays: dict[str, np.ndarray]) -> "xarray.Dataset":
            one_chain = {name: array[None] for name, array in arrays.items()}
            return draws_dataset(one_chain, 1, len(self.points))

        groups = {
            "posterior": particles(named_leaves(self.positions)),
            "log_likelihood": particles({"log_likelihood": self.log_likelihoods}),
        }
        tree = datatree_type().from_dict(groups)
        tree.attrs |= {"posterior_share": self.posterior_share, "method": self.method}
        return tree


def law_at(
    model: RowModel,
    problem: LawProblem,
    points: Float[np.ndarray, "particle d"],
    path: PredictivePath,
    method: str,
    seconds: float = math.nan,
) -> PredictiveLaw:
    """Return the law of these particles, at the share that the path chose."""
    return PredictiveLaw(
        float(path.posterior_share[path.chosen]),
        path,
        model.constrain(jax.vmap(problem.unravel)(jnp.asarray(points))),
        points,
        problem,
        model,
        problem.log_likelihoods(points),
        method,
        seconds,
    )


def load(
    file: str | os.PathLike[str],
    model: Any,
    *data: Any,
    start: PyTree | None = None,
) -> PredictiveLaw:
    """Return the distribution that `PredictiveLaw.save` wrote.

    Rows are compared by a hash, and log likelihoods and the prior's log densities at the particles with those in the
    file, so that it cannot be read for another model or other rows.

    Args:
        file: its name.
        model, data: those that it was fitted to, as `predictive` takes them; functions are not saved.
        start: any position in the structure of the draws; not needed for a NumPyro or PyMC model.

    Raises:
        TypeError, ValueError: no such file, one that is damaged, or one of another model, prior or data.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, langevax
        >>> model = (lambda m: -(m**2) / 8, lambda m, y: -((y - m) ** 2) / 2, jnp.linspace(-1, 1, 20))
        >>> draws = jax.random.normal(jax.random.key(1), (64,)) / 4.5
        >>> options = {"draws": draws, "posterior_shares": (1.0,), "num_folds": None, "num_particles": 16}
        >>> law = langevax.predictive(*model, key=jax.random.key(0), **options)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     law.save(f"{folder}/law.safetensors")
        ...     again = langevax.predictive_law.load(f"{folder}/law.safetensors", *model, start=jnp.array(0.0))
        >>> bool((again.log_score(jnp.zeros(3)) == law.log_score(jnp.zeros(3))).all())
        True
    """
    saved = law_file.read(file)
    row_model = model_of(model, data)
    if isinstance(row_model, NamedModel):
        start = row_model.start(random.key(0))
    elif start is None:
        raise ValueError(
            "start is missing: pass a position in the structure of the draws."
        )
    position = checks.arrays("start", start)
    points, logs = saved.points, saved.log_likelihoods
    problem = LawProblem.of(row_model.finite_sum, position, len(points))
    sizes = sum(np.size(leaf) for leaf in jax.tree.leaves(position)), problem.size
    known = points.shape[1], logs.shape[1]
    differing = _differing(problem, saved) if sizes == known else "sizes"
    if differing:
        raise ValueError(
            f"{str(file)!r} is a distribution of {known[0]} parameters and {known[1]} "
            f"rows, of another model or other data: {differing} differ; pass those "
            "that it was fitted to."
        )
    if saved.rows is None or saved.log_priors is None:
        warnings.warn(
            f"{str(file)!r} was written by a version that saved neither the prior's "
            "densities nor a hash of the rows: another prior cannot be refused; save "
            "it again.",
            PredictiveWarning,
            stacklevel=2,
        )
    return law_at(row_model, problem, points, saved.path, saved.method, saved.seconds)


def _described(problem: LawProblem) -> dict[str, str]:
    """Return types, shapes and hashes of rows and weights."""
    return describe({"rows": problem.rows, "weights": problem.row_weights})


def _differing(problem: LawProblem, saved: law_file.SavedLaw) -> str:
    """Return what a problem has or computes otherwise; nothing where all is equal, up to the machine."""
    if saved.rows is not None and saved.rows != _described(problem):
        return "rows"
    close = partial(np.allclose, rtol=1e-3, atol=1e-3)
    if not close(problem.log_likelihoods(saved.points), saved.log_likelihoods):
        return "log likelihoods of its particles"
    priors = saved.log_priors
    if priors is not None and not close(problem.log_priors(saved.points), priors):
        return "prior densities of its particles"
    return ""
