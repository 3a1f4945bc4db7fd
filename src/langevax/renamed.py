"""Former names: an old name, argument or option is refused with what to use instead, from one table.

A package ends with `__getattr__ = renamed.getattr_of(__name__)`, and a function whose arguments have other names is
decorated by `@renamed.refuse_former`. The command line asks `former_option`.
"""

import functools
from collections.abc import Callable, Sequence
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
    "langevax.sampling.LearningCoefficient.interval(level=)": "pass coverage",
    "langevax.simulate(matmul_precision=)": "call it in `with jax.default_matmul_precision(precision):`",
    "langevax federated app --task": "import your task in the app's task.py",
    "langevax federated run --tls": "start Flower's own programs with your certificates",
}
"""What was public in 0.2 and is not, and what to do instead: names, `NAME(ARGUMENT=)` and `COMMAND --OPTION`."""

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


def former_option(words: Sequence[str]) -> str | None:
    """Return why a command line is refused, where it has a former option.

    Example:
        >>> former_option(["federated", "run", "myapp", "--tls"])
        'langevax federated run has no option --tls; it was removed in 0.3: start Flower\\'s own programs with your certificates'
    """
    options = [word.partition("=")[0] for word in words]
    for key, hint in FORMER_NAMES.items():
        command, _, option = key.partition(" --")
        names = command.split()[1:]
        if option and options[: len(names)] == names and f"--{option}" in options:
            return f"{command} has no option --{option}; it was removed in 0.3: {hint}"
    return None
