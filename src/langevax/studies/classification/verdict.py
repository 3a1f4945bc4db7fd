"""The verdict on a classification risk: who comes near its minimum at the step shown, and with how many gradients."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

CURVATURE = 2.0  # of the regulariser; that of the data's part is small beside it
CLOSE = 0.1  # what the data's curvature may change of the excess, relative
SHARE = "|min F|"


def late(data: "xarray.Dataset") -> np.ndarray:
    """(sampler, step_size, repetition): (F - min F) / |min F|, averaged over the last third of a run."""
    return _averaged(data, data["excess"].values / np.abs(data["least"].values)[:, None])


def late_accuracy(data: "xarray.Dataset") -> np.ndarray:
    """(sampler, repetition): test accuracy at the step shown, averaged over the last third of a run."""
    return _averaged(data, data["accuracy"].sel(step_size=data.attrs["shown"]).values)


def _averaged(data: "xarray.Dataset", values: np.ndarray) -> np.ndarray:
    used = data["gradients"].values
    last = used > 2 / 3 * np.nanmax(used, axis=1, keepdims=True)
    return np.stack([values[i][..., last[i]].mean(-1) for i in range(len(used))])


def arrival(data: "xarray.Dataset") -> np.ndarray:
    """(sampler, step_size, repetition): gradients until F - min F is within 1 % of |min F| first.

    inf where it is not so late in the run, on average: a lucky step is no arrival.
    """
    near = data["excess"].values <= data.attrs["within"] * np.abs(data["least"].values)[:, None]
    used = np.broadcast_to(data["gradients"].values[:, None, None], near.shape)
    first = np.where(near, used, np.inf).min(-1)
    return np.where(late(data) <= data.attrs["within"], first, np.inf)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Over repetitions."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def judge(data: "xarray.Dataset") -> Verdict:
    """Whether SVRG-LD and SARAH-LD arrive on every split at the step shown, and SGLD does not; and who is first."""
    names, step, within = [str(name) for name in data["sampler"].values], data.attrs["shown"], data.attrs["within"]
    floor = dict(zip(names, late(data)[:, list(data["step_size"].values).index(step)], strict=True))
    at = {name: mean_and_error(values) for name, values in floor.items()}
    gibbs = data.attrs["gibbs_excess"] / float(np.abs(data["least"]).mean())
    heated = gibbs / (1 - step * CURVATURE / 2)
    claims = tuple(
        Claim(f"{name}'s excess risk at the end, on the worst split", "our aim", float(floor[name].max()), within, 0.0,
              "at most", unit=SHARE)
        for name in ("SVRG-LD", "SARAH-LD")
    )  # fmt: skip
    claims += (
        Claim("SGLD's excess risk at the end, less two errors", "our aim: it stays away",
              at["SGLD"][0] - 2 * at["SGLD"][1], within, 0.0, "at least", unit=SHARE),
    )  # fmt: skip
    claims += tuple(
        Claim(f"{name}'s excess risk at the end, mean of the splits", "Gibbs law at this step",
              at[name][0], heated, CLOSE * heated + 3 * at[name][1], error=at[name][1], unit=SHARE)
        for name in ("LD", "SVRG-LD")
    )  # fmt: skip
    accuracy = late_accuracy(data)
    apart, spread = np.ptp(accuracy.mean(axis=1)), accuracy.std(axis=1, ddof=1).mean()
    claims += (
        Claim("test accuracy of the best method less that of the worst", "our aim: its spread over splits",
              float(apart), float(spread), 0.0, "at most", unit="share of rows"),
    )  # fmt: skip
    numbers, told = _arrivals(data, names)
    numbers |= {f"{name}_late_excess": at[name][0] for name in ("SARAH-LD", "SGLD")}
    numbers |= {f"{name}_late_error": at[name][1] for name in ("SARAH-LD", "SGLD")}
    sentence = (
        f"At step {step:g} the risk ends above its minimum by "
        + ", ".join(f"{100 * m:.3f} ± {100 * e:.3f} % ({name})" for name, (m, e) in at.items())
        + f" of |min F|, the Gibbs law by {100 * gibbs:.2f} %. "
        + f"Within 1 % at its own best step come, in order, {', '.join(told)}."
    )
    return Verdict(claims, sentence, numbers)


def _arrivals(data: "xarray.Dataset", names: list[str]) -> tuple[dict[str, float], list[str]]:
    """Gradients of each method at its own best step, and the same in words, the first first."""
    first, best, step = arrival(data), {}, {}
    for i, name in enumerate(names):
        means = np.where(np.isfinite(first[i]).all(-1), first[i].mean(-1), np.inf)
        best[name], step[name] = first[i, means.argmin()], float(data["step_size"][means.argmin()])
    order = sorted(names, key=lambda name: best[name].mean())
    numbers, told = {}, []
    for name in order:
        if not np.isfinite(best[name]).all():
            told.append(f"{name} never")
            continue
        used, error = mean_and_error(best[name])
        log_factor, log_error = mean_and_error(np.log(best[name] / best[order[0]]))
        factor, factor_error = float(np.exp(log_factor)), float(np.exp(log_factor) * log_error)
        numbers |= {f"{name}_gradients": used, f"{name}_gradients_error": error, f"{name}_best_step": step[name]}
        numbers |= {f"{name}_factor": factor, f"{name}_factor_error": factor_error}
        times = "" if name == order[0] else f"; {factor:.2f} ± {factor_error:.2f} times"
        told.append(f"{name} with {used:.0f} ± {error:.0f} gradients (step {step[name]:g}{times})")
    return numbers, told
