"""SIGTERM and SIGHUP during a run that has a checkpoint: it is saved first, then the signal takes its course.

Ctrl-C ends a run at once, but not in the middle of a write: orbax writes in threads of its own, which go on when the
main thread has left.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
WITH_INTERRUPT: tuple[signal.Signals, ...] = (*SIGNALS, signal.SIGINT)


class DelayedSignals:
    """Within the block, signals of the main thread are noted; `pass_on` and the end of the block deliver them.

    A signal that is ignored stays ignored. One that has a handler reaches this handler, and the run goes on if it
    returns. A second Ctrl-C is not delayed: the disk may be the reason that nothing moves.
    """

    def __init__(self, signals: tuple[signal.Signals, ...] = SIGNALS) -> None:
        self.pending: int = 0
        """The number of the signal that was noted; 0 if there is none."""
        self._signals = signals
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "DelayedSignals":
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self.pending and error is None:
            signal.raise_signal(self.pending)

    def pass_on(self) -> None:
        """Deliver the signal that was noted, if there is one."""
        number = self.pending
        self.pending = 0
        if not number:
            return
        signal.signal(number, self._handlers[number])
        try:
            signal.raise_signal(number)
        finally:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.pending == number == signal.SIGINT
        self.pending = number
        if again:
            self.pass_on()
