"""The SuperNode of one client of a deployment on this machine."""

import re
import time
from collections.abc import Callable

from langevax.flower.engines.processes import EngineError, Family, Member

READY = re.compile(r"SuperNode ID: (\d+)")
REFUSED = "[code: 2004]"  # the key is not registered, or that of a SuperNode whose last heartbeat is not over
BETWEEN = 2.0  # seconds from one try to the next


class Node:
    """A SuperNode.

    Attributes:
        node_id: the number that the SuperLink gave it: always the same with a registered key, else new at each start.
    """

    def __init__(self, family: Family, start: Callable[[], Member]):
        self._family, self._start = family, start
        self.node_id: int | None = None
        self.member = start()

    def wait_until_ready(self, patience: float, again: bool = False) -> None:
        """Until the SuperLink has taken it; with `again`, it is started again where its key is still in use.

        Raises:
            EngineError: it was refused, or not taken within `patience` seconds; it is ended.
        """
        until = time.monotonic() + patience
        while True:
            try:
                found = self.member.wait_for(
                    lambda: READY.search(self.member.text()), patience, "taken by the SuperLink"
                )
            except EngineError:
                refused = REFUSED in self.member.text()
                self._family.kill(self.member)  # what it has started outlives it for minutes
                if not (again and refused) or time.monotonic() > until:
                    raise
                time.sleep(BETWEEN)
                self.member = self._start()
            else:
                self.node_id = int(found.group(1))
                return

    def _taken(self) -> re.Match[str] | None:
        return READY.search(self.member.text())
