"""Flower, which not everybody has."""

from importlib.util import find_spec

from langevax.cli.errors import BadInput


def check_flower(command: str, *modules: str) -> None:
    """Refuse in a sentence where one of these modules is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise BadInput(f"{command} needs Flower, and {module} is not installed; pip install 'langevax[flower]'.")
