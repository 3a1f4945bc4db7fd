"""What `langevax fit` was asked for, and the command line that asks for it again."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from langevax.cli.errors import BadInput

Solver = Literal["mfld", "svrg-mfld", "underdamped", "pda", "fictitious-play", "psdca"]


@dataclass(frozen=True)
class Request:
    """The arguments of `langevax fit`; the defaults stand here once."""

    table: Path
    target: str
    out: Path
    task: Literal["regression", "classification"] | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    test_size: float = 0.2
    seed: int = 0
    solver: Solver = "mfld"
    num_particles: int = 500
    temperature: str = "loo"
    validation: Literal["path"] | None = None
    num_steps: str = "auto"
    peers: bool = True
    certificate: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.test_size < 1:
            raise BadInput(f"--test-size {self.test_size} is no share of the rows; pass a number such as 0.2.")
        _ = self.estimator_settings

    @property
    def estimator_settings(self) -> dict[str, Any]:
        """As the estimators take them."""
        temperature, steps = self.temperature, self.num_steps
        return {
            "solver": self.solver,
            "num_particles": self.num_particles,
            "temperature": "loo" if temperature == "loo" else _positive("--temperature", temperature, float, LOO),
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

    def settings(self) -> dict[str, Any]:
        """The options as plain values, without the file names."""
        return {field.name: getattr(self, field.name) for field in fields(self)[3:]}


LOO = "pass one such as 0.01, or loo to have it chosen by leave-one-out"
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
