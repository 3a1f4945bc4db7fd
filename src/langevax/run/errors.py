"""The ways a run can fail once it has begun."""

from typing import Any


class DivergenceError(ArithmeticError):
    """The position turned non-finite.

    Attributes:
        step: steps done when it was first non-finite.
        state: the algorithm's state one step earlier, the last finite one.
        suggested_step_size: a step size to try, or None where the algorithm has none.
        result: the run until then, with everything recorded.
    """

    def __init__(self, step: int, state: Any, step_size: float | None, result: Any):
        self.step = step
        self.state = state
        self.suggested_step_size = None if step_size is None else step_size / 10
        self.result = result
        advice = (
            f"try step_size={self.suggested_step_size:.3g}"
            if self.suggested_step_size is not None
            else "scale the step-size schedule down, by 10 to begin with"
        )
        super().__init__(
            f"the position turned non-finite at step {step}; {advice}. The last finite state and everything "
            "recorded until then are in .state and .result of this error; saved checkpoints stay as they are."
        )


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or continued; the message says which, and what to do."""


class PeerError(RuntimeError):
    """Another process of a run that several share has ended or cannot be reached."""

    def __init__(self, found: str):
        super().__init__(
            f"another process of this run has ended or cannot be reached ({found}); this one cannot go on without it. "
            "Start all of them again, with checkpoint= and resume=True from the last state that was saved."
        )
