"""Former names: an old name, argument or option is refused with what to use instead, from one table.

A package ends with `__getattr__ = renamed.getattr_of(__name__)`, and a function whose arguments have other names is
decorated by `@renamed.refuse_former`, as is a class. `langevax.app.main` looks up commands and options.
"""

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, Never, TypeVar

FORMER_NAMES: dict[str, str] = {
    "langevax.federated.MethodChoice": "compare methods by simulate; docs/federated.md has a table",
    "langevax.federated.choose_method": "compare methods by simulate; docs/federated.md has a table",
    "langevax.federated.CollapseError": "compare federation.value(result.position) with that of the start",
    "langevax.federated.CollapseWatch": "pass a callback that returns True where the loss of its state is too large",
    "langevax.flower.FederatedStrategy(stop_at_collapse=)": "pass best=BestModel(stop_after=), or a callback that returns True",
    "langevax.federated.FLEDGE(table=)": "the server holds the table; leave it out",
    "langevax.ReplicaExchange(anchor_period=)": "swaps take the energies of all rows; leave it out",
    "langevax.ReplicaExchange(batch_size=)": "swaps take the energies of all rows; leave it out",
    "langevax.ReplicaExchange(swap_period=)": "neighbours swap at every step; leave it out",
    "langevax.flower.PersonalLeaves": "train parts that stay on a client in a Flower app of your own",
    "langevax.flower.FederatedStrategy(aggregation=)": "Flower's FedMedian, FedTrimmedAvg and Krum aggregate so",
    "langevax.flower.FederatedStrategy(best_metric=)": "pass best=BestModel(metric, mode, stop_after)",
    "langevax.flower.FederatedStrategy(best_mode=)": "pass best=BestModel(metric, mode, stop_after)",
    "langevax.flower.FederatedStrategy(num_clients=)": "pass clients=ClientRules(number)",
    "langevax.flower.FederatedStrategy(weights=)": "pass clients=ClientRules(weights=)",
    "langevax.flower.FederatedStrategy(deadline=)": "pass clients=ClientRules(deadline=)",
    "langevax.flower.FederatedStrategy(join_seconds=)": "pass clients=ClientRules(join_seconds=)",
    "langevax.flower.FederatedStrategy(patience=)": "pass clients=ClientRules(patience=)",
    "langevax.flower.FederatedStrategy(compression=)": "replies are sent as they are; leave it out",
    "langevax.flower.FederatedStrategy(norm_ratio=)": "it is 1000; leave it out",
    "langevax.flower.FederatedStrategy(poll_seconds=)": "set the attribute poll_seconds",
    "langevax.flower.FederatedStrategy(select_connected=)": "a client that is not connected is a drop-out; leave it out",
    "langevax.flower.FederatedStrategy(stop_after=)": "pass best=BestModel(metric, mode, stop_after)",
    "langevax.flower.Task(personal=)": "train parts that stay on a client in a Flower app of your own",
    "langevax.flower.engines": "start the app by Flower's `flwr run`, as docs/flower.md shows",
    "langevax.flower.client_app(mods=)": "Flower's mods change the arrays of its own strategies; leave it out",
    "langevax.learning_coefficient(descend=)": "descend first, by optax or SciPy, and pass the end as params",
    "langevax.learning_coefficient(observe=)": "sample a posterior with the localization as prior, and evaluate at its draws",
    "langevax.learning_coefficient(select=)": "close over the arrays that stay: loss=lambda part, row: ...",
    "langevax.gradients.PAGE": "use langevax.gradients.SARAH, whose full passes are at fixed steps",
    "langevax.gradients.SAGA": "use langevax.gradients.SLEDGE",
    "langevax.gradients.SLEDGE(initial_table=)": "the table is filled before the first step; leave it out",
    "langevax.gradients.SLEDGE(resync=)": "it is n / batch_size; leave it out",
    "langevax.likelihoods.Bernoulli": "use langevax.losses.logistic",
    "langevax.likelihoods.Categorical": "use langevax.losses.softmax",
    "langevax.likelihoods.Quantile": (
        "use scikit-learn's QuantileRegressor, or a langevax.likelihoods.Likelihood of "
        "your own"
    ),
    "langevax.optax.saga": "use langevax.optax.storm, or langevax.Langevin with langevax.gradients.SLEDGE",
    "langevax.optax.sledge": "use langevax.optax.storm, or langevax.Langevin with langevax.gradients.SLEDGE",
    "langevax.meanfield.anneal": "call simulate at each temperature, from the result of the one before",
    "langevax.meanfield.halving": "write the temperatures down: last * 2**k",
    "langevax.meanfield.train_at_temperatures": "call simulate at each temperature, from the result of the one before",
    "langevax.optimize.anneal(kl_tolerance=)": "pass step_size=langevax.theory.bounds.ld(target).step_size(accuracy)",
    "langevax.optimize.anneal(polish=)": "ends are polished; draws at one temperature come from langevax.simulate",
    "langevax.optimize.anneal(schedule=)": "pass temperature=Logarithmic(scale), or lambda step: T for one temperature",
    "langevax.optimize.anneal(theorem_constants=)": "pass step_size=langevax.theory.bounds.ld(target).step_size(accuracy)",
    "langevax.data.partitions.shards": "use by_concentration or dirichlet",
    "langevax.neurons.ClippedReLU": "write a Scaled neuron of its formula, as docs/extending.md shows",
    "langevax.spaces.Legendre": "use spaces.Cosine, or spaces.MatrixBasis of polynomials at your points",
    "langevax.teacher_student.Directions": "simulate_one_step takes teachers of one direction",
    "langevax.teacher_student.share_near": "use langevax.teacher_student.match_neurons",
    "langevax.teacher_student.simulate_one_step(num_steps=)": "it takes one step; leave it out",
    "langevax.teacher_student.staircase": "simulate_one_step takes teachers of one direction",
    "langevax.optimize.minimize(max_odds=)": "pass max_better_basins",
    "langevax.optimize.anneal(spread=)": "pass a function x0 that draws the starts",
    "langevax.optimize.minimize(spread=)": "pass a function x0 that draws the starts",
    "langevax.meanfield.FictitiousPlay(proposal=)": "inner steps are those of Langevin; leave it out, or use PSDCA",
    "langevax.meanfield.PDA(proposal=)": "inner steps are those of Langevin; leave it out, or use PSDCA",
    "langevax.meanfield.duality_gap(proposal=)": "leave it out: walks move in the prior's units",
    "langevax.posterior(log_density=)": "its negative is problem.potential(position) / temperature; compare them there",
    "langevax.posterior(position=)": "leave it out with log_density",
    "langevax.predictive(bayes_shares=)": "pass posterior_shares",
    "langevax.predictive(sharding=)": "it runs on one device; leave it out",
    "langevax.predictive_law.LawAgreement": "compare path.fit of the distributions, with path.fit_error",
    "langevax.predictive_law.MixingDistribution": "use predictive with posterior_shares=(1, 0.3, 0)",
    "langevax.predictive_law.PredictiveLaw.certificate(others=)": "it searches from the prior; leave it out",
    "langevax.predictive_law.mixing_distribution": "use predictive with posterior_shares=(1, 0.3, 0)",
    "langevax.sample(batch_size=)": "pass algorithm=Langevin(gradient=gradients.SVRG(batch_size, period))",
    "langevax.sample(dynamics=)": (
        "pass algorithm=NUTS(), MALA(), PCN(), PCNL(), ReplicaExchange() or "
        "sampling.HMC()"
    ),
    "langevax.sample(gradient=)": "pass algorithm=Langevin(gradient=gradients.SVRG())",
    "langevax.sample(integrator=)": "pass algorithm=Langevin(integrator=...)",
    "langevax.sample(kl_tolerance=)": "pass algorithm=Langevin(langevax.theory.bounds.ld(target).step_size(accuracy))",
    "langevax.sample(period=)": "pass algorithm=Langevin(gradient=gradients.SVRG(batch_size, period))",
    "langevax.sample(step_size=)": "pass algorithm=Langevin(step_size, gradient=...), MALA(step_size), ...",
    "langevax.sample(theorem_constants=)": "pass algorithm=Langevin(langevax.theory.bounds.ld(target).step_size(accuracy))",
    "langevax.sampling.CoefficientRecorder": "call learning_coefficient(..., key=fold_in(key, step)) in the loop of training",
    "langevax.sampling.CoefficientSweep": "call learning_coefficient(localization=) in a loop",
    "langevax.sampling.RecordedCoefficient": "call learning_coefficient(..., key=fold_in(key, step)) in the loop of training",
    "langevax.sampling.coefficient_sweep": "call learning_coefficient(localization=) in a loop",
    "langevax.sampling.GaussianNoise(factor=)": "pass covariance=factor @ factor.T",
    "langevax.sampling.GaussianNoise(precision=)": "pass covariance=numpy.linalg.inv(precision)",
    "langevax.sampling.stein_discrepancy": "read the draws' warnings and step_size_bias",
    "langevax.simulate(matmul_precision=)": "call it in `with jax.default_matmul_precision(precision):`",
    "langevax.sklearn.CurveCoefficients(centre=)": "it does not centre; leave it out",
    "langevax.sklearn.CurveCoefficients(channels=)": "pass curves as an array (n, channels, places)",
    "langevax.sklearn.CurveCoefficients(whiten=)": "use make_pipeline(CurveCoefficients(decay=0), StandardScaler())",
    "langevax.sklearn.GraphFeatures(edge_features=)": "put columns of your own beside these by scikit-learn's FeatureUnion",
    "langevax.sklearn.GraphFeatures(node_features=)": "put columns of your own beside these by scikit-learn's FeatureUnion",
    "langevax.sklearn.KernelLangevinRegressor(quantile=)": "use scikit-learn's QuantileRegressor",
    "langevax.sklearn.intervals.Intervals.predict(return_std=)": "call predict_interval(X, coverage)",
    "langevax.sklearn.PredictiveClassifier(prior_scale=)": "pass prior_precision=1 / prior_scale**2",
    "langevax.sklearn.PredictiveRegressor(prior_scale=)": "pass prior_precision=1 / prior_scale**2",
    "langevax.sklearn.SurfaceCoefficients": "use langevax.spaces.TensorProduct",
    "langevax.sklearn.law_estimator.PredictiveEstimator.certificate(others=)": "it searches from the prior; leave it out",
    "langevax.sklearn.law_estimator.PredictiveEstimator.fit(exposure=)": "make it a column of X, exposure_column=its place",
    "langevax.teacher_student.simulate_one_step(keep_weights=)": "read the runs' weights; leave it out",
    "langevax.teacher_student.simulate_one_step(num_directions=)": "pass teacher=Directions(function, number)",
    "langevax.teacher_student.simulate_one_step(spectra=)": "read the runs' singular_values and leading; leave it out",
    "langevax.teacher_student.simulate_one_step(unit_rows=)": "langevax.theory has it; leave it out",
    "langevax.spaces.GaussianPrior.precision(ridge=)": "pass temperature",
    "langevax.spaces.TensorProduct(sort=)": "modes are sorted by frequency; leave it out",
    "langevax.teacher_student.Converge(ridge=)": "pass precision=2 * ridge",
    "langevax.teacher_student.Explore(ridge=)": "pass precision=2 * ridge",
    "langevax federated run": "start the app by Flower's `flwr run`, as docs/flower.md shows",
    "langevax federated app --task": "import your task in the app's task.py",
    "langevax certify --seed": "leave it out",
    "langevax certify --force": "each call begins anew; leave it out",
    "langevax convert --double": "call langevax.data.convert_table in Python, with dtype=None",
    "langevax convert --encoding": "export the table as UTF-8, in a spreadsheet as CSV UTF-8",
    "langevax federated simulate": (
        "call langevax.simulate on a langevax.Federation in Python, as "
        "docs/federated.md shows"
    ),
    "langevax fit --anyway": "pass --force to start the run again",
    "langevax fit --certificate": "leave it out; --skip leaves out a part",
    "langevax fit --class-weight": (
        "set it in Python, on langevax.sklearn.MeanFieldRegressor or "
        "MeanFieldClassifier"
    ),
    "langevax fit --coordinator": "join the processes in Python, as examples/cluster/fit.py does",
    "langevax fit --encoder": (
        "set it in Python, on langevax.sklearn.FunctionalMeanFieldRegressor or "
        "FunctionalMeanFieldClassifier"
    ),
    "langevax fit --keep": "pass --read COLUMN=KIND: a column that --read names is used",
    "langevax fit --modes": "set it in Python, on langevax.sklearn.CurveCoefficients",
    "langevax fit --no-certificate": "pass --skip certificate",
    "langevax fit --no-peers": "pass --skip peers",
    "langevax fit --num-processes": "join the processes in Python, as examples/cluster/fit.py does",
    "langevax fit --num-replicates": "fit PredictiveRegressor with several values of random_state in Python",
    "langevax fit --offset": "use langevax.sklearn.PredictiveRegressor or PredictiveClassifier in Python",
    "langevax fit --order": "number the classes in the table, or use PredictiveClassifier in Python",
    "langevax fit --peers": "leave it out; --skip leaves out a part",
    "langevax fit --process-id": "join the processes in Python, as examples/cluster/fit.py does",
    "langevax fit --relative-step-size": (
        "set it in Python, on langevax.sklearn.MeanFieldRegressor or "
        "MeanFieldClassifier"
    ),
    "langevax fit --resume": "run the same command again: what was interrupted goes on by itself",
    "langevax fit --smoothing": "set it in Python, on langevax.sklearn.CurveCoefficients",
    "langevax fit --solver": (
        "set it in Python, on langevax.sklearn.MeanFieldRegressor or "
        "MeanFieldClassifier"
    ),
    "langevax fit --stop": (
        "set it in Python, on langevax.sklearn.MeanFieldRegressor or "
        "MeanFieldClassifier"
    ),
    "langevax fit --test-size": "leave it out; a fifth of the rows is held out",
    "langevax fit --validation": (
        "set it in Python, on langevax.sklearn.MeanFieldRegressor or "
        "MeanFieldClassifier"
    ),
}
"""What was public in 0.2 and is not, and what to do instead: names, `NAME(ARGUMENT=)`, commands and `COMMAND --OPTION`."""


def _add_arguments(tasks: str, arguments: str, hint: str) -> None:
    """Add arguments that the regressor and the classifier of tasks had, which one hint answers."""
    for task in tasks.split():
        for argument in arguments.split():
            for kind in ("Regressor", "Classifier"):
                FORMER_NAMES[f"langevax.sklearn.{task}{kind}({argument}=)"] = hint


_add_arguments(
    "KernelLangevin",
    "length_scale",
    "fit scikit-learn's GaussianProcessRegressor with a scale per column, and pass its "
    "kernel_",
)
_add_arguments(
    "FunctionalMeanField GraphMeanField",
    "solver num_particles temperature relative_step_size num_steps batch_size neuron "
    "output_scale prior_precision validation stop warm_start devices",
    "set it on the network, estimator=MeanFieldRegressor(...) or "
    "MeanFieldClassifier(...)",
)
_add_arguments(
    "FunctionalMeanField",
    "basis num_modes grid derivative decay whiten channels smoothing missing",
    "set up the encoder, encoder=CurveCoefficients(...)",
)
_add_arguments(
    "GraphMeanField",
    "heat_times wl_depth wl_components node_labels edge_labels",
    "set up the encoder, encoder=GraphFeatures(...)",
)
_add_arguments(
    "GraphMeanField",
    "node_features edge_features",
    FORMER_NAMES["langevax.sklearn.GraphFeatures(node_features=)"],
)
_add_arguments(
    "MeanField",
    "warm_start",
    "fit again, or raise num_steps; run=Run(checkpoint=FOLDER, resume=True) continues "
    "a fit that was interrupted",
)
_add_arguments(
    "MeanField", "neuron", "neurons are R tanh(a) tanh(<w, x> + b); leave it out"
)
_add_arguments(
    "MeanField", "devices", "pass sharding=jax.make_mesh((4,), ('particles',))"
)
_add_arguments("Predictive", "bayes_shares", "pass posterior_shares")
_add_arguments(
    "Predictive",
    "num_replicates",
    "fit with other values of random_state, and compare path_.fit",
)
_add_arguments(
    "KernelLangevin",
    "prior relative_step_size integrator gradient preconditioner",
    "use langevax.Langevin on a posterior of your own",
)

_add_arguments(
    "FunctionalMeanField GraphMeanField",
    "checkpoint resume progress",
    "set it on the network, estimator=MeanFieldRegressor(run=Run(...)) or "
    "MeanFieldClassifier(run=Run(...))",
)

for estimators, argument, hint in (
    (
        "Minibatch ControlVariate SVRG SARAH STORM",
        "replace",
        "batches are drawn without replacement; leave it out",
    ),
    (
        "Minibatch ControlVariate SVRG SARAH",
        "reshuffle",
        "a batch is drawn anew at every step; leave it out",
    ),
    ("SLEDGE", "key", "all runs cut the same blocks; leave it out"),
):
    for name in estimators.split():
        FORMER_NAMES[f"langevax.gradients.{name}({argument}=)"] = hint

OF_RUN = "checkpoint", "resume", "progress", "checkpoint_seconds"
"""Arguments that `run` has in their place, wherever it is one."""
Public = TypeVar("Public", bound=Callable[..., Any])


def missing(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module does not have."""
    known = FORMER_NAMES.get(f"{module}.{name}")
    hint = "" if known is None else f"; it was removed in 0.3: {known}"
    return AttributeError(
        f"module {module!r} has no attribute {name!r}{hint}", name=name
    )


def getattr_of(module: str) -> Callable[[str], Never]:
    """Return the `__getattr__` of a module, for names that it does not have."""

    def __getattr__(name: str) -> Never:
        raise missing(module, name)

    return __getattr__


def refuse_former(public: Public) -> Public:
    """Return a function, or a class, that refuses its former arguments by name.

    Raises:
        TypeError: when it is called, for an argument of the table.
    """
    if isinstance(public, type):
        initialise = _refusing(public.__init__, public.__name__)
        public.__init__ = initialise  # pyright: ignore[reportAttributeAccessIssue]
        return public  # pyright: ignore[reportReturnType]
    return _refusing(public, public.__qualname__.removesuffix(".__init__"))


def _refusing(function: Callable[..., Any], name: str) -> Any:
    accepted = inspect.signature(function).parameters

    @functools.wraps(function)
    def refusing(*args: Any, **options: Any) -> Any:
        for argument in options.keys() - accepted.keys():
            if (hint := hint_of(name, argument, accepted)) is not None:
                raise TypeError(
                    f"{name} has no argument {argument!r}; it was removed in 0.3: "
                    f"{hint}"
                )
        return function(*args, **options)

    return refusing


def hint_of(owner: str, argument: str, accepted: Collection[str]) -> str | None:
    """Return what to pass in place of a former argument of a function or class that accepts others; None if none."""
    for former, hint in FORMER_NAMES.items():
        if former.endswith(f".{owner}({argument}=)"):
            return hint
    if argument in OF_RUN and "run" in accepted:
        return f"pass run=langevax.Run({argument}=...)"
    return None
