"""Options of commands as dataclasses, each stated once with its default and its help, and kinds of their values."""

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import typer

from langevax.app.errors import exit_codes

LARGEST = 2**31 - 1
"""The largest whole number of an option: counters of programs have 32 bits."""


def local_path(text: str) -> Path:
    """Return the path in a text; refuse an empty one, as of an unset variable of a shell, and addresses."""
    if not text.strip():
        raise typer.BadParameter(
            f"{text!r} is empty; name a file or a folder, '.' for this one."
        )
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):  # one letter is a drive of Windows
        raise typer.BadParameter(
            f"{text!r} is not on this machine; copy it here, or mount it as a folder."
        )
    return Path(text)


def defaults_of(options: type[Any]) -> dict[str, Any]:
    """Return the defaults of a dataclass, `inspect.Parameter.empty` for a field without one."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(options).parameters.items()
    } | {
        option.name: option.default_factory()
        for option in fields(options)
        if option.default_factory is not MISSING
    }


def with_fields(
    options: type[Any],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a dataclass, its first parameter, as arguments and options."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            with exit_codes():
                function(
                    options(**{name: values.pop(name) for name in hints}), **values
                )

        hints, defaults = (
            get_type_hints(options, include_extras=True),
            defaults_of(options),
        )
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults[name],
                annotation=hint,
            )
            for name, hint in hints.items()
        ]
        own = list(inspect.signature(function).parameters.values())[1:]
        command.__signature__ = inspect.Signature([*parameters, *own])  # type: ignore[attr-defined]
        return command

    return decorate
