"""What `langevax fit` was asked for, and the command line that asks for it again."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from langevax.cli.errors import BadInput, listing

Solver = Literal["mfld", "svrg-mfld", "underdamped", "pda", "fictitious-play", "psdca"]


@dataclass(frozen=True)
class Request:
    """The arguments of `langevax fit`; the defaults stand here once, where they are not those of the estimator."""

    table: Path
    target: str
    out: Path
    task: Literal["regression", "classification"] | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    test_size: float = 0.2
    seed: int = 0
    solver: Solver | None = None
    num_particles: int | None = None
    temperature: str = "auto"
    validation: Literal["path"] | None = None
    num_steps: str = "auto"
    peers: bool = True
    certificate: bool = True
    curves: Literal["wide", "long"] | None = None
    id: str | None = None
    time: str | None = None
    value: tuple[str, ...] = ()
    derivative: int = 0
    modes: int = 32
    smoothing: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.test_size < 1:
            raise BadInput(f"--test-size {self.test_size} is no share of the rows; pass a number such as 0.2.")
        _ = self.estimator_settings
        check_curve_options(self)

    @property
    def estimator_settings(self) -> dict[str, Any]:
        """As the estimators take them."""
        temperature, steps = self.temperature, self.num_steps
        chosen = {"solver": self.solver, "num_particles": self.num_particles}
        encoder: dict[str, Any] = {"num_modes": self.modes, "derivative": self.derivative}
        smoothing = self.smoothing
        encoder["smoothing"] = "auto" if smoothing == "auto" else _positive("--smoothing", smoothing, float, NOISE)
        return {
            **{name: value for name, value in chosen.items() if value is not None},
            **(encoder if self.curves else {}),
            "temperature": "auto"
            if temperature == "auto"
            else _positive("--temperature", temperature, float, LEAVE_ONE_OUT),
            "validation": self.validation,
            "num_steps": "auto" if steps == "auto" else _positive("--num-steps", steps, int, AUTO),
            "random_state": self.seed,
        }

    def command(self, *extra: str) -> str:
        """The command line, with the options that are not at their defaults."""
        words = ["langevax", "fit", str(self.table), "--target", self.target, "--out", str(self.out)]
        for field in fields(self)[3:]:
            value, option = getattr(self, field.name), "--" + field.name.replace("_", "-")
            if value == field.default:
                continue
            if isinstance(value, bool):
                words.append(option if value else option.replace("--", "--no-"))
            else:
                words += [
                    word for each in (value if isinstance(value, tuple) else (value,)) for word in (option, str(each))
                ]
        return shlex.join([*words, *extra])

    def said(self) -> dict[str, Any]:
        """The options that say something, for the report."""
        return {name: value for name, value in self.settings().items() if value not in (None, ())}

    def settings(self) -> dict[str, Any]:
        """The options as plain values, without the file names."""
        return {field.name: getattr(self, field.name) for field in fields(self)[3:]}


NOISE = "pass the standard deviation of the noise, or auto to have it learned"
LEAVE_ONE_OUT = "pass one such as 0.01, or auto to choose it by leave-one-out"
AUTO = "pass one such as 1000, or auto"


def _positive(option: str, text: str, kind: type[int] | type[float], remedy: str) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        value = float("nan")
    if 0 < value < float("inf"):
        return value
    noun = "positive whole number" if kind is int else "positive number"
    raise BadInput(f"{option} {text!r} is no {noun}; {remedy}.")


def check_curve_options(request: Request) -> None:
    """Raise `BadInput` where an option is of another kind of table than the one that was named."""
    columns = {"--id": request.id, "--time": request.time, "--value": request.value}
    encoding = [name for name in ("derivative", "modes", "smoothing") if getattr(request, name) != DEFAULTS[name]]
    given = [option for option, value in columns.items() if value]
    if request.curves is None and (given or encoding):
        first = given[0] if given else f"--{encoding[0]}"
        raise BadInput(f"{first} is for tables of curves; pass --curves wide or --curves long too.")
    if request.curves == "wide" and given:
        raise BadInput(f"{given[0]} is for --curves long, a row a reading; with --curves wide columns are times.")
    if request.curves != "long":
        return
    if lacking := [option for option in columns if option not in given]:
        raise BadInput(f"--curves long needs {listing(lacking)} too: the columns of a reading.".replace("'", ""))
    for option, names in (("--drop", request.drop), ("--keep", request.keep)):
        if names:
            raise BadInput(f"{option} {names[0]!r}: --curves long reads the columns that it is told of, and no others.")
    named = [("--target", request.target), ("--id", request.id), ("--time", request.time)]
    named += [("--value", name) for name in request.value]
    for i, (option, name) in enumerate(named):
        for other, same in named[:i]:
            if name == same:
                raise BadInput(f"{option} {name!r} is the column of {other} already; name another.")


DEFAULTS = {field.name: field.default for field in fields(Request)}
