"""Several processes that share one fit: all train, and process 0 reads, writes and prints."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import typer

from langevax.app.errors import BAD_INPUT, BadInput, RunFailed


@dataclass(frozen=True)
class ProcessGroup:
    """The values of `--coordinator`, `--num-processes` and `--process-id`."""

    coordinator: str
    num_processes: int
    process_id: int

    @property
    def first(self) -> bool:
        """True for the process that reads, writes and prints."""
        return self.process_id == 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Join the other processes, and end with the exit code of the command."""
        from langevax.run import PeerError, process_group

        try:
            with process_group(self.coordinator, self.num_processes, self.process_id):
                try:
                    yield
                except typer.Exit as error:
                    sys.exit(error.exit_code)
        except PeerError as error:
            raise RunFailed(str(error)) from error

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Run the preparation of process 0, and report to the waiting processes whether it succeeded."""
        from langevax.run import processes

        try:
            yield
        except BaseException:
            with suppress(Exception):
                processes.from_first(False)
            raise
        processes.from_first(True)

    def wait(self) -> None:
        """Wait for process 0; if it failed, exit silently, as process 0 has reported the error."""
        from langevax.run import processes

        if not processes.from_first(False):
            raise typer.Exit(BAD_INPUT)


def process_group(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> ProcessGroup | None:
    """Return the group of the three options, None where all are None.

    Example:
        >>> process_group("10.0.0.1:8476", 2, 0).first, process_group(None, None, None)
        (True, None)
    """
    options = {
        "--coordinator": coordinator,
        "--num-processes": num_processes,
        "--process-id": process_id,
    }
    if all(value is None for value in options.values()):
        return None
    if coordinator is None or num_processes is None or process_id is None:
        missing = " and ".join(
            option for option, value in options.items() if value is None
        )
        raise BadInput(
            f"several processes need {missing} too: all three options, in each of them."
        )
    host, colon, port = coordinator.rpartition(":")
    if (
        not (host and colon and port.isdecimal() and 0 < int(port) < 2**16)
        or "/" in host
    ):
        raise BadInput(
            f"--coordinator {coordinator!r} is not HOST:PORT; name the address of process 0, as node1:8476."
        )
    if process_id >= num_processes:
        raise BadInput(
            f"--process-id {process_id} is not below --num-processes {num_processes}; number from 0."
        )
    return ProcessGroup(coordinator, num_processes, process_id)


def check_particles(model: Any, devices: int) -> None:
    """Raise `BadInput` where the neurons of a network do not divide evenly among devices."""
    divisible = -(-model.num_particles // devices) * devices
    if divisible != model.num_particles:
        raise BadInput(
            f"--num-particles {model.num_particles} does not divide evenly among {devices} devices; pass "
            f"--num-particles {divisible}."
        )
