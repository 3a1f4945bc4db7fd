"""Imports at the first use of a name, and what to install where one fails; nothing is imported here."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from langevax.renamed import missing


@contextmanager
def needs(extra: str | None, feature: str) -> Iterator[None]:
    """Turn a failed import within into an error that names the line which installs what is missing.

    `extra` is that of langevax; None names the missing package itself. Raises ImportError.

    Example:
        >>> with needs("plot", "plot_path"):
        ...     import absent
        Traceback (most recent call last):
        ImportError: plot_path needs the package absent, which is not installed; run: pip install 'langevax[plot]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "langevax":
            raise
        line = f"pip install 'langevax[{extra}]'" if extra else f"pip install {package}"
        message = (
            f"{feature} needs the package {package}, which is not installed; run: "
            f"{line}"
        )
        raise ImportError(message, name=package) from None


def lazily(
    module: str, members: dict[str, str], extra: str | None = None
) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package that imports a name at its first use.

    Args:
        module: the package.
        members: by file, the names that are there; those of "" are files themselves.
        extra: of langevax, which installs what the files need.
    """
    file_of = {name: file for file, names in members.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        if name not in file_of:
            raise missing(module, name)
        file = file_of[name]
        with needs(extra, module):
            member = import_module(f"{module}.{file or name}")
        if file:
            member = getattr(member, name)
        vars(sys.modules[module])[name] = member
        return member

    return __getattr__
