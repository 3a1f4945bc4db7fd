"""What moves in the study "dimension-free": one function being sampled, with few modes and with many."""

from typing import TYPE_CHECKING

from langevax.studies.dimension_free.draws import NUM_DATA, STEP_SIZE

if TYPE_CHECKING:
    import xarray

    from langevax.figures.moving import Scene


def move(dataset: "xarray.Dataset") -> "Scene":
    """The chain's present function in the exact band, at each number of modes, on one scale."""
    from langevax.figures.canvas import span
    from langevax.figures.moving import MovingPanel, Scene
    from langevax.figures.within import within

    low, high = (dataset.drawn_mean + sign * 2 * dataset.drawn_deviation for sign in (-1, 1))
    reach = span(low, high, dataset.drawn, dataset.row_value)
    few, many = (int(n) for n in dataset.drawn_modes.values)
    pictures = []
    for count, caption in (
        (few, f"{few} modes. Orange is the chain's present function, of the step size {STEP_SIZE:g}; blue is where the "
              f"exact law has it, mean and two deviations, given {NUM_DATA} noisy values."),
        (many, f"{many} modes, the same step and the same noise in the first {few}. More modes add detail and change "
               "nothing else: the chain moves at the same pace, in the same band."),
    ):  # fmt: skip
        here = dataset.sel(drawn_modes=count)
        moving = within(
            here.place, here.drawn, here.drawn_mean, here.drawn_deviation, here.row_place, here.row_value,
            x_label="place", y_label=f"function, {count} modes", y_range=(reach[0], reach[1]),
        )  # fmt: skip
        words = f"A function of {count} modes moves at random within a band that narrows where there are data."
        pictures.append(MovingPanel(f"functions with {count} modes", moving, words, caption))
    return Scene(tuple(pictures), dataset.drawn_step.values, "step of the chain")
