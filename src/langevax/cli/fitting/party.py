"""Several processes that share one fit: the first reads, writes and speaks, all train."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import typer

from langevax.cli.errors import BAD_INPUT, BadInput, RunFailed


@dataclass(frozen=True)
class Party:
    """As `--coordinator`, `--num-processes` and `--process-id` have it."""

    coordinator: str
    num_processes: int
    process_id: int

    @property
    def first(self) -> bool:
        """Whether this process reads, writes and speaks for all."""
        return self.process_id == 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Together with the others; ends with the code that a command ends with."""
        from langevax.run import PeerError, process_group

        try:
            with process_group(self.coordinator, self.num_processes, self.process_id):
                try:
                    yield
                except typer.Exit as leaving:
                    sys.exit(leaving.exit_code)
        except PeerError as error:
            raise RunFailed(str(error)) from error

    @contextmanager
    def announced(self) -> Iterator[None]:
        """What the first does while the others wait: they hear whether it went well."""
        from langevax.run import processes

        try:
            yield
        except BaseException:
            with suppress(Exception):
                processes.from_first(False)
            raise
        processes.from_first(True)

    def wait(self) -> None:
        """For the first; where it could not begin, leave without a word: it has said why."""
        from langevax.run import processes

        if not processes.from_first(False):
            raise typer.Exit(BAD_INPUT)


def party(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Party | None:
    """The party of the three options; None where none of them is given.

    Example:
        >>> party("10.0.0.1:8476", 2, 0).first, party(None, None, None)
        (True, None)
    """
    given = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id}
    if all(value is None for value in given.values()):
        return None
    if coordinator is None or num_processes is None or process_id is None:
        lacking = " and ".join(option for option, value in given.items() if value is None)
        raise BadInput(f"several processes need {lacking} too: all three options, in each of them.")
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise BadInput(f"--coordinator {coordinator!r} is no HOST:PORT; name where process 0 runs, such as node1:8476.")
    if process_id >= num_processes:
        raise BadInput(
            f"--process-id {process_id} is not below --num-processes {num_processes}; number processes from 0 on."
        )
    return Party(coordinator, num_processes, process_id)


def check_particles(model: Any, devices: int) -> None:
    """Raise `BadInput` where a network's neurons do not split evenly."""
    wanted = -(-model.num_particles // devices) * devices
    if wanted != model.num_particles:
        raise BadInput(
            f"--num-particles {model.num_particles} does not split over {devices} devices; pass "
            f"--num-particles {wanted}."
        )
