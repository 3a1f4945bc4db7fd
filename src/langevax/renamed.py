"""Former names: an old name, argument or option is refused with what to use instead, from one table.

A package ends with `__getattr__ = renamed.getattr_of(__name__)`, and a function whose arguments have other names is
decorated by `@renamed.refuse_former`. `langevax.app.main` looks up commands and options.
"""

import functools
from collections.abc import Callable
from typing import Never, ParamSpec, TypeVar

FORMER_NAMES: dict[str, str] = {
    "langevax.flower.PersonalLeaves": "train parts that stay on a client in a Flower app of your own",
    "langevax.flower.FederatedStrategy(aggregation=)": "Flower's FedMedian, FedTrimmedAvg and Krum aggregate so",
    "langevax.flower.FederatedStrategy(best_metric=)": "pass best=BestModel(metric, mode, stop_after)",
    "langevax.flower.FederatedStrategy(best_mode=)": "pass best=BestModel(metric, mode, stop_after)",
    "langevax.flower.FederatedStrategy(compression=)": "replies are sent as they are; leave it out",
    "langevax.flower.FederatedStrategy(norm_ratio=)": "it is 1000; leave it out",
    "langevax.flower.FederatedStrategy(poll_seconds=)": "set the attribute poll_seconds",
    "langevax.flower.FederatedStrategy(select_connected=)": "a client that is not connected is a drop-out; leave it out",
    "langevax.flower.FederatedStrategy(stop_after=)": "pass best=BestModel(metric, mode, stop_after)",
    "langevax.flower.client_app(mods=)": "Flower's mods change the arrays of its own strategies; leave it out",
    "langevax.optimize.anneal(kl_tolerance=)": "pass the number step_size=theory.bounds.ld(target).step_size(accuracy)",
    "langevax.optimize.anneal(schedule=)": "pass temperature=Logarithmic(scale), or lambda step: T for one temperature",
    "langevax.optimize.anneal(theorem_constants=)": "pass the number step_size=theory.bounds.ld(target).step_size(accuracy)",
    "langevax.sampling.LearningCoefficient.interval(level=)": "pass coverage",
    "langevax.simulate(matmul_precision=)": "call it in `with jax.default_matmul_precision(precision):`",
    "langevax federated run": "start langevax.flower.engines in Python, or `flwr run`",
    "langevax federated app --task": "import your task in the app's task.py",
    "langevax certify --seed": "leave it out",
    "langevax convert --double": "call langevax.data.convert_table in Python, with dtype=None",
    "langevax convert --encoding": "export the table as UTF-8; other encodings are recognised",
    "langevax federated simulate --server-optimizer": "use the methods of langevax.federated in Python",
    "langevax federated simulate --server-step-size": "use the methods of langevax.federated in Python",
    "langevax fit --anyway": "pass --force to start the run again",
    "langevax fit --certificate": "leave it out; --skip leaves out a part",
    "langevax fit --class-weight": "set it in Python, on langevax.sklearn.MeanFieldRegressor or MeanFieldClassifier",
    "langevax fit --coordinator": "join the processes in Python, as examples/cluster/fit.py does",
    "langevax fit --encoder": "set it in Python, on langevax.sklearn.FunctionalMeanFieldRegressor or FunctionalMeanFieldClassifier",
    "langevax fit --encoding": "export the table as UTF-8; other encodings are recognised",
    "langevax fit --keep": "pass --read COLUMN=KIND: a column that --read names is used",
    "langevax fit --modes": "set it in Python, on langevax.sklearn.FunctionalMeanFieldRegressor or FunctionalMeanFieldClassifier",
    "langevax fit --no-certificate": "pass --skip certificate",
    "langevax fit --no-peers": "pass --skip peers",
    "langevax fit --num-processes": "join the processes in Python, as examples/cluster/fit.py does",
    "langevax fit --num-replicates": "use langevax.sklearn.PredictiveRegressor or PredictiveClassifier in Python",
    "langevax fit --offset": "use langevax.sklearn.PredictiveRegressor or PredictiveClassifier in Python",
    "langevax fit --order": "number the classes in the table, or use PredictiveClassifier in Python",
    "langevax fit --peers": "leave it out; --skip leaves out a part",
    "langevax fit --process-id": "join the processes in Python, as examples/cluster/fit.py does",
    "langevax fit --relative-step-size": "set it in Python, on langevax.sklearn.MeanFieldRegressor or MeanFieldClassifier",
    "langevax fit --resume": "run the same command again: what was interrupted goes on by itself",
    "langevax fit --smoothing": "set it in Python, on langevax.sklearn.FunctionalMeanFieldRegressor or FunctionalMeanFieldClassifier",
    "langevax fit --solver": "set it in Python, on langevax.sklearn.MeanFieldRegressor or MeanFieldClassifier",
    "langevax fit --stop": "set it in Python, on langevax.sklearn.MeanFieldRegressor or MeanFieldClassifier",
    "langevax fit --test-size": "leave it out; a fifth of the rows is held out",
    "langevax fit --validation": "set it in Python, on langevax.sklearn.MeanFieldRegressor or MeanFieldClassifier",
    "langevax predict --encoding": "export the table as UTF-8; other encodings are recognised",
}
"""What was public in 0.2 and is not, and what to do instead: names, `NAME(ARGUMENT=)` commands and `COMMAND --OPTION`."""

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


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


def refuse_former(
    function: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """Return a function that refuses its former arguments by name.

    Raises:
        TypeError: by the function, for an argument of the table.
    """
    name = function.__qualname__.removesuffix(".__init__")
    former = {
        argument.removesuffix("=)"): hint
        for key, hint in FORMER_NAMES.items()
        for owner, _, argument in [key.partition("(")]
        if owner.endswith(f".{name}") and argument
    }

    @functools.wraps(function)
    def refusing(*args: Parameters.args, **options: Parameters.kwargs) -> Returned:
        for argument in options:
            if argument in former:
                raise TypeError(
                    f"{name} has no argument {argument!r}; it was removed in 0.3: {former[argument]}"
                )
        return function(*args, **options)

    return refusing
