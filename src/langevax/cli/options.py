"""Options of commands as dataclasses: each is stated once, with its default and its help."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from langevax.cli.errors import exit_codes


def defaults_of(options: type[Any]) -> dict[str, Any]:
    """Return the defaults of a dataclass, `inspect.Parameter.empty` for a field without one."""
    return {name: parameter.default for name, parameter in inspect.signature(options).parameters.items()} | {
        option.name: option.default_factory() for option in fields(options) if option.default_factory is not MISSING
    }


def with_fields(options: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a dataclass, its first parameter, as arguments and options."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            with exit_codes():
                function(options(**{name: values.pop(name) for name in hints}), **values)

        hints, defaults = get_type_hints(options, include_extras=True), defaults_of(options)
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint)
            for name, hint in hints.items()
        ]
        own = list(inspect.signature(function).parameters.values())[1:]
        command.__signature__ = inspect.Signature([*parameters, *own])  # type: ignore[attr-defined]
        return command

    return decorate
