"""What moves in the study "teacher-student": the student's neurons, and the losses along the same run."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.teacher_student.trajectories import star

if TYPE_CHECKING:
    import xarray

    from langevax.figures.moving import Scene

EXPLORING, CONVERGING = 36, 24  # frames of each phase; the second is over soon, and is looked at closely at first


def frames(steps: np.ndarray, switch: float) -> np.ndarray:
    """Which looks are shown: evenly through phase I, then ever more sparsely."""
    first = int(np.sum(steps <= switch))
    early = np.linspace(0, max(first - 1, 0), min(EXPLORING, max(first, 1)))
    late = first + np.geomspace(1, max(len(steps) - first, 1), CONVERGING) - 1
    return np.unique(np.concatenate([early, late]).round().astype(int).clip(0, len(steps) - 1))


def move(dataset: "xarray.Dataset") -> "Scene":
    """Neurons on the plane on which the teacher's stand on a circle; training and test loss."""
    from langevax.figures.moving import MovingPanel, Scene
    from langevax.figures.paths import along, arrivals

    of, best, switch = dataset.attrs, int(dataset.best), float(dataset.switch)
    shown = frames(dataset.along_step.values, switch)
    run = dataset.isel(look=shown)
    m, steps = of["num_neurons"], run.along_step.values
    teacher = np.eye(m)
    signs = np.where(np.arange(m) < -(-m // 2), 1, -1)
    training, test = run.along_loss.values[best], run.along_excess.values[best] / 2
    neurons = arrivals(run.place.values, run.sign.values, star(teacher, teacher), signs,
                       x_label="the teacher's neurons (rings) on a circle")  # fmt: skip
    floor = of["noise"] ** 2 / 2
    losses = along(steps, {"test": test, "training": training}, x_label="step", y_label="loss",
                   marks={"switch": switch}, levels={"noise of the rows": floor})  # fmt: skip
    ends = f"{training[-1]:.2g} in training and {test[-1]:.2g} in the test"
    return Scene(
        (
            MovingPanel(
                "neurons", neurons,
                f"{m} neurons of the student wander in phase I and go to the {m} neurons of the teacher in phase II.",
                f"Each of {m} neurons on its path. In phase I noise moves them, and lets signs change: triangles turn "
                "over. In phase II they go to the teacher's neurons, each to one of its own sign.",
            ),
            MovingPanel(
                "losses", losses, f"Training and test loss fall in both phases; at the end they are {ends}.",
                f"The same run. Exploring ends at step {switch:,.0f}; then both fall within a few hundred steps, to "
                f"{ends}: what is left in training is the noise of the rows.",
            ),
        ),
        steps,
        "step of training",
    )  # fmt: skip
