"""The verdict of the study "federated": who arrives, in how many exchanges, and whether the reasons hold."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.study import Verdict

if TYPE_CHECKING:
    import xarray

ZETA = 0.25  # where clients resemble each other and the targets are set
TARGETS = {"FLEDGE": 80, "BVR-L-SGD": 60}
NEVER = ("FedAvg", "SCAFFOLD", "minibatch SGD")
FLAT = 0.1  # of SLEDGE's error, around the prediction and between parts of the walk
STRAIGHT = 0.98  # least R^2 of log(f - min f) against exchanges


def judge(dataset: "xarray.Dataset") -> Verdict:
    """All parts but the digits are judged; these are told."""
    parts = _reach(dataset), _participants(dataset), _decay(dataset), _saddle(dataset), _errors(dataset)
    numbers, sentences, holds = {}, [], True
    for held, sentence, found in (*parts, _digits(dataset)):
        holds &= held
        sentences.append(sentence)
        numbers |= found
    return Verdict(claims=(), decided=bool(holds), sentence=" ".join(sentences), numbers=numbers)


Part = tuple[bool, str, dict[str, float]]


def spread(values: np.ndarray) -> str:
    """Mean and standard deviation over seeds."""
    return f"{values.mean():.0f} ± {values.std(ddof=1):.0f}"


def _reach(dataset: "xarray.Dataset") -> Part:
    near = dataset.sel(zeta=ZETA)
    arrived = np.isfinite(dataset.exchanges).all("seed")
    holds, told, numbers = True, [], {}
    for name in dataset.algorithm.values:
        values = near.exchanges.sel(algorithm=name).values
        if np.isfinite(values).all():
            told.append(f"{name} {spread(values)}")
            numbers |= {f"exchanges, {name}": float(values.mean()), f"exchanges, {name}, sd": float(values.std(ddof=1))}
            numbers[f"vectors, {name}"] = float(near.vectors.sel(algorithm=name).mean())
        numbers[f"step size, {name}"] = float(near.step_size.sel(algorithm=name))
    for name, most in TARGETS.items():
        holds &= bool(arrived.sel(algorithm=name).all() and near.exchanges.sel(algorithm=name).mean() <= most)
    never = [name for name in NEVER if name in dataset.algorithm.values]
    holds &= not bool(arrived.sel(algorithm=never).any())
    floors = near.floor.sel(algorithm=never).values
    mean = dataset.exchanges.mean("seed", skipna=False)
    sarah = mean.sel(algorithm="minibatch SARAH")
    holds &= bool(sarah.min() >= 300 and sarah.max() <= 500 and np.isfinite(sarah).all())
    fledge, bvr = mean.sel(algorithm="FLEDGE"), mean.sel(algorithm="BVR-L-SGD")
    holds &= bool(fledge.sel(zeta=float(dataset.zeta.max())) > 1.5 * fledge.sel(zeta=ZETA) and (bvr < sarah / 2).all())
    holds &= not bool((dataset.at_edge & arrived).any())
    by_zeta = "; ".join(
        f"{name} " + ", ".join(f"{v:.0f}" for v in dataset.exchanges.sel(algorithm=name).mean("seed").values)
        for name in TARGETS
    )
    sentence = (
        f"Exchanges to |grad f| <= {dataset.attrs['tolerance']:g} at zeta = {ZETA:g} (mean ± sd over seeds): "
        f"{', '.join(told)}; {', '.join(never)} do not arrive within {dataset.attrs['most_exchanges']:,} and come to "
        f"{', '.join(f'{f:.1e}' for f in floors)} at best. "
        f"At zeta = {', '.join(f'{z:g}' for z in dataset.zeta.values)}: {by_zeta}."
    )
    return holds, sentence, numbers


def _participants(dataset: "xarray.Dataset") -> Part:
    vectors, counts = dataset.vectors_of_count, dataset["count"].values
    mean = vectors.mean("seed").values
    error = vectors.std("seed", ddof=1).values / np.sqrt(vectors.sizes["seed"])
    best = int(np.argmin(np.where(np.isfinite(mean), mean, np.inf)))
    root = float(dataset.attrs["clients"]) ** 0.5
    inner = np.isfinite(mean).all() and 0 < best < len(counts) - 1 and 0.4 < counts[best] / root < 2.5
    holds = bool(inner and not dataset.count_at_edge.any())
    told = ", ".join(f"{v:,.0f} ± {e:.0f}" for v, e in zip(mean, error, strict=True))
    sentence = (
        f"Vectors of FLEDGE at zeta = 1 with p = {', '.join(map(str, counts))} clients an anchor: {told}, fewest at "
        f"p = {counts[best]} (sqrt(P) = {root:.1f})."
    )
    return holds, sentence, {"best p": float(counts[best]), "vectors at best p": float(mean[best])}


def _decay(dataset: "xarray.Dataset") -> Part:
    holds, told, numbers = True, [], {}
    for name in dataset.reduced.values:
        row = dataset.sel(reduced=name)
        x, y = row.exchanges_of_round.values, np.log10(np.maximum(row.excess.values, 1e-300)).mean(axis=0)
        used = y > -26  # above rounding
        slope, offset = np.polyfit(x[used], y[used], 1)
        left = y[used] - slope * x[used] - offset
        straight = 1 - left.var() / y[used].var()
        holds &= bool(straight > STRAIGHT and y.min() < -9)
        told.append(f"{name} by a factor of ten each {-1 / slope:.0f} exchanges, to {10 ** y.min():.0e}")
        numbers |= {f"exchanges a decade, {name}": float(-1 / slope), f"R2 of log excess, {name}": float(straight)}
    return holds, f"f - min f falls exponentially: {'; '.join(told)}.", numbers


def _saddle(dataset: "xarray.Dataset") -> Part:
    """Times from the smaller to the larger radius differ by log(ratio) over the rate."""
    none = bool((dataset.distance.sel(radius=0.0) == 0).all())
    radii = dataset.radius.values[dataset.radius.values > 0]
    predicted = 2 * np.log(radii.max() / radii.min()) / dataset.attrs["growth_per_round"]
    holds, told, numbers = none, [], {"exchanges between radii, predicted": float(predicted)}
    for name in dataset.noisy.values:
        row = dataset.sel(noisy=name)
        out = row.distance.sel(radius=radii).values >= dataset.attrs["out"]
        left = out.any(axis=2)
        times = np.where(left, row.exchanges_at_saddle.values[out.argmax(axis=2)], np.nan)
        between = times[radii.argmin()] - times[radii.argmax()]
        numbers[f"exchanges between radii, {name}"] = float(between.mean())
        holds &= bool(left.all() and 0.7 < between.mean() / predicted < 1.3)
        each = ", ".join(f"r = {r:.0e}: {t.min():.0f} to {t.max():.0f}" for r, t in zip(radii, times, strict=True))
        told.append(f"{name} leaves in {each} exchanges")
    never = "Without noise |x_0| stays exactly 0" if none else "Without noise |x_0| does not stay 0"
    sentence = f"{never}; {'; '.join(told)} (predicted between these radii: {predicted:.0f})."
    return holds, sentence, numbers


def _errors(dataset: "xarray.Dataset") -> Part:
    """After the first part, in which it grows to what it stays at."""
    rest = dataset.error.isel(part=slice(1, None))
    mean = {name: float(rest.sel(estimator=name).mean()) for name in dataset.estimator.values}
    walks = rest.sel(estimator="SLEDGE").mean("part")
    error = float(walks.std(ddof=1)) / np.sqrt(walks.sizes["walk"])
    per_part = rest.sel(estimator="SLEDGE").mean("walk").values
    off = float(np.abs(per_part - 1).max())
    sarah = dataset.error.sel(estimator="SARAH").mean("walk").values
    holds = bool(off < FLAT and abs(mean["SLEDGE"] - 1) < FLAT and sarah[-1] > 2 * sarah[0])
    holds &= all(mean[name] > 1.4 * mean["SLEDGE"] for name in mean if name != "SLEDGE")
    others = ", ".join(f"{name} {value:.3g}" for name, value in mean.items() if name not in ("SLEDGE", "SARAH"))
    sentence = (
        f"Over {dataset.attrs['walk_steps']:,} steps SLEDGE's squared error is {mean['SLEDGE']:.3f} ± {error:.3f} of "
        f"zeta^2 step^2 n / (2 b^2), no part of the walk farther than {100 * off:.0f} % off; {others}, "
        f"SARAH grows from {sarah[0]:.0f} to {sarah[-1]:.0f}."
    )
    numbers = {"SLEDGE's error": mean["SLEDGE"], "SLEDGE's error, its error": error, "farthest part": off}
    return holds, sentence, numbers | {f"error, {name}": value for name, value in mean.items() if name != "SLEDGE"}


def _digits(dataset: "xarray.Dataset") -> Part:
    final = dataset.digits_accuracy.isel(spent=-1).mean("digits_seed")
    loss = dataset.digits_loss.isel(spent=-1).mean("digits_seed")
    told, numbers = [], {}
    for q in dataset.concentration.values:
        row = [(str(n), float(final.sel(learner=n, concentration=q))) for n in dataset.learner.values]
        numbers |= {f"accuracy, q = {q:g}, {n}": value for n, value in row}
        numbers |= {f"loss, q = {q:g}, {n}": float(loss.sel(learner=n, concentration=q)) for n, _ in row}
        told.append(f"q = {q:g}: " + ", ".join(f"{n} {value:.3f}" for n, value in sorted(row, key=lambda r: -r[1])))
    edge = int(dataset.digits_at_edge.sum())
    sentence = f"Digits after {int(dataset.spent[-1])} exchanges, accuracy held out: {'; '.join(told)}."
    return True, sentence + (f" ({edge} best step sizes lie at the edge of the grid.)" if edge else ""), numbers
