"""The verdict of the study "federated": who arrives, in how many exchanges, and whether the reasons hold."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

ZETA = 0.25  # where clients resemble each other and the targets are set
TARGETS = {"FLEDGE": 80, "BVR-L-SGD": 60}
NEVER = ("FedAvg", "SCAFFOLD", "minibatch SGD")
FLAT = 0.1  # of SLEDGE's error, around the prediction and between parts of the walk
SARAH = 400.0  # exchanges that minibatch SARAH is expected to take, within 100
PAPERS = "Murata and Suzuki; Oko et al."
STRAIGHT = 0.98  # least R^2 of log(f - min f) against exchanges


def judge(dataset: "xarray.Dataset") -> Verdict:
    """All parts but the digits are judged; these are told."""
    parts = _reach(dataset), _participants(dataset), _decay(dataset), _saddle(dataset), _errors(dataset)
    claims, sentences, numbers = [], [], {}
    for found, sentence, more in (*parts, _digits(dataset)):
        claims.extend(found)
        sentences.append(sentence)
        numbers |= more
    return Verdict(tuple(claims), " ".join(sentences), numbers)


Part = tuple[list[Claim], str, dict[str, float]]


def spread(values: np.ndarray) -> str:
    """Mean and standard deviation over seeds."""
    return f"{values.mean():.0f} ± {values.std(ddof=1):.0f}"


def _reach(dataset: "xarray.Dataset") -> Part:
    near = dataset.sel(zeta=ZETA)
    told, numbers = [], {}
    for name in dataset.algorithm.values:
        values = near.exchanges.sel(algorithm=name).values
        if np.isfinite(values).all():
            told.append(f"{name} {spread(values)}")
            if name not in TARGETS:
                numbers[f"exchanges, {name}"] = float(values.mean())
            numbers[f"vectors, {name}"] = float(near.vectors.sel(algorithm=name).mean())
        numbers[f"step size, {name}"] = float(near.step_size.sel(algorithm=name))
    never = [name for name in NEVER if name in dataset.algorithm.values]
    floors = near.floor.sel(algorithm=never).values
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
    return [*_arrivals(dataset, never), *_against_zeta(dataset)], sentence, numbers


def _arrivals(dataset: "xarray.Dataset", never: list[str]) -> list[Claim]:
    """Who comes there and in how many exchanges; where one seed does not, nothing holds."""
    arrived = np.isfinite(dataset.exchanges).all("seed")
    claims = []
    for name, most in TARGETS.items():
        values = dataset.exchanges.sel(zeta=ZETA, algorithm=name).values
        error = float(values.std(ddof=1) / np.sqrt(values.size))
        claims.append(
            Claim(f"exchanges of {name}, zeta = {ZETA:g}", "our aim; O(zeta) in both papers", float(values.mean()),
                  most, 0.0, "at most", error, "exchanges")
        )  # fmt: skip
    lost = int((~arrived.sel(algorithm=list(TARGETS))).sum())
    there = int(arrived.sel(algorithm=never).sum())
    edges = int((dataset.at_edge.astype(bool) & arrived).sum() + dataset.count_at_edge.sum())
    return [
        *claims,
        Claim(f"heterogeneities at which {' or '.join(TARGETS)} does not arrive", f"{PAPERS}: any zeta", lost, 0, 0,
              "at most"),
        Claim(f"heterogeneities at which {' or '.join(never)} arrives", "noise of local steps", there, 0, 0, "at most"),
        Claim("best step sizes at the edge of the grid, of those that arrive", "our aim", edges, 0, 0, "at most"),
    ]  # fmt: skip


def _against_zeta(dataset: "xarray.Dataset") -> list[Claim]:
    mean = dataset.exchanges.mean("seed", skipna=False)
    sarah, fledge = mean.sel(algorithm="minibatch SARAH").values, mean.sel(algorithm="FLEDGE")
    far = sarah[np.argmax(np.where(np.isnan(sarah), np.inf, np.abs(sarah - SARAH)))]
    most = float(dataset.zeta.max())
    worst = np.max(mean.sel(algorithm="BVR-L-SGD").values / sarah)  # nan where one does not arrive
    return [
        Claim("exchanges of minibatch SARAH at any zeta, the farthest", "no zeta in its rate; the number is our aim",
              float(far), SARAH, 100.0, unit="exchanges"),
        Claim(f"FLEDGE's exchanges at zeta = {most:g}, in units of those at {ZETA:g}", "our aim: they grow with zeta",
              float(fledge.sel(zeta=most) / fledge.sel(zeta=ZETA)), 1.5, 0.0, "at least"),
        Claim("BVR-L-SGD's exchanges in units of minibatch SARAH's, largest of all zeta", "our aim", float(worst), 0.5,
              0.0, "at most"),
    ]  # fmt: skip


def _participants(dataset: "xarray.Dataset") -> Part:
    vectors, counts = dataset.vectors_of_count, dataset["count"].values
    mean = vectors.mean("seed").values
    error = vectors.std("seed", ddof=1).values / np.sqrt(vectors.sizes["seed"])
    best = int(np.argmin(np.where(np.isfinite(mean), mean, np.inf)))
    root = float(dataset.attrs["clients"]) ** 0.5
    inner = np.isfinite(mean).all() and 0 < best < len(counts) - 1
    off = max(counts[best] / root, root / counts[best]) if inner else np.inf
    told = ", ".join(f"{v:,.0f} ± {e:.0f}" for v, e in zip(mean, error, strict=True))
    sentence = (
        f"Vectors of FLEDGE at zeta = 1 with p = {', '.join(map(str, counts))} clients an anchor: {told}, fewest at "
        f"p = {counts[best]} (sqrt(P) = {root:.1f})."
    )
    about = f"factor between the best number of clients, {counts[best]}, and sqrt(P) = {root:.1f}"
    claim = Claim(about, "Oko et al.: p = sqrt(P)", float(off), 1.0, 1.5, "at most")
    return [claim], sentence, {"vectors at best p": float(mean[best])}


def _decay(dataset: "xarray.Dataset") -> Part:
    straight, least, told, numbers = [], [], [], {}
    for name in dataset.reduced.values:
        row = dataset.sel(reduced=name)
        x, y = row.exchanges_of_round.values, np.log10(np.maximum(row.excess.values, 1e-300)).mean(axis=0)
        used = y > -26  # above rounding
        slope, offset = np.polyfit(x[used], y[used], 1)
        left = y[used] - slope * x[used] - offset
        straight.append(1 - left.var() / y[used].var())
        least.append(y.min())
        told.append(f"{name} by a factor of ten each {-1 / slope:.0f} exchanges, to {10 ** y.min():.0e}")
        numbers |= {f"exchanges a decade, {name}": float(-1 / slope)}
    theorem = f"{PAPERS}: linear rate under PL"
    claims = [
        Claim("explained part of log(f - min f) by a straight line in exchanges", theorem, float(np.min(straight)),
              1.0, 1 - STRAIGHT, "at least"),
        Claim("power of ten that f - min f falls to", "our aim", float(np.max(least)), -9.0, 0.0, "at most"),
    ]  # fmt: skip
    return claims, f"f - min f falls exponentially: {'; '.join(told)}.", numbers


def _saddle(dataset: "xarray.Dataset") -> Part:
    """Times from the smaller to the larger radius differ by log(ratio) over the rate; nan where one does not leave."""
    most = float(np.abs(dataset.distance.sel(radius=0.0)).max(skipna=False))
    radii = dataset.radius.values[dataset.radius.values > 0]
    predicted = 2 * np.log(radii.max() / radii.min()) / dataset.attrs["growth_per_round"]
    about = "largest distance from the saddle without noise"
    claims, told = [Claim(about, "exact: gradients vanish along the way out", most, 0.0, 0.0, "at most")], []
    for name in dataset.noisy.values:
        row = dataset.sel(noisy=name)
        out = row.distance.sel(radius=radii).values >= dataset.attrs["out"]
        left = out.any(axis=2)
        times = np.where(left, row.exchanges_at_saddle.values[out.argmax(axis=2)], np.nan)
        between = times[radii.argmin()] - times[radii.argmax()]
        error = float(between.std(ddof=1) / np.sqrt(between.size))
        about = f"{name}: exchanges by which a noise of {radii.min():.0e} leaves later than {radii.max():.0e}"
        claims.append(Claim(about, "exact rate of growth", float(between.mean()), float(predicted),
                            0.3 * float(predicted), error=error, unit="exchanges"))  # fmt: skip
        each = ", ".join(f"r = {r:.0e}: {t.min():.0f} to {t.max():.0f}" for r, t in zip(radii, times, strict=True))
        told.append(f"{name} leaves in {each} exchanges")
    never = "Without noise |x_0| stays exactly 0" if most == 0 else "Without noise |x_0| does not stay 0"
    return claims, f"{never}; {'; '.join(told)} (predicted between these radii: {predicted:.0f}).", {}


def _errors(dataset: "xarray.Dataset") -> Part:
    """After the first part, in which it grows to what it stays at."""
    rest = dataset.error.isel(part=slice(1, None))
    mean = {str(name): float(rest.sel(estimator=name).mean()) for name in dataset.estimator.values}
    walks = rest.sel(estimator="SLEDGE").mean("part")
    error = float(walks.std(ddof=1) / np.sqrt(walks.sizes["walk"]))
    parts = rest.sel(estimator="SLEDGE")
    per_part = parts.mean("walk").values
    far = int(np.argmax(np.abs(per_part - 1)))
    of_part = float(parts[:, far].std(ddof=1) / np.sqrt(parts.sizes["walk"]))
    sarah = dataset.error.sel(estimator="SARAH").mean("walk").values
    others = {name: value for name, value in mean.items() if name != "SLEDGE"}
    law = "exact law: zeta^2 step^2 n / (2 b^2)"
    claims = [
        Claim("SLEDGE's squared error over its prediction, the farthest part of the walk", law, float(per_part[far]),
              1.0, FLAT, error=of_part),
        Claim("SARAH's squared error at the end of the walk, in units of its start", "never refreshed, it adds up",
              float(sarah[-1] / sarah[0]), 2.0, 0.0, "at least"),
        Claim("least squared error of other estimators, in units of SLEDGE's", "our aim",
              min(others.values()) / mean["SLEDGE"], 1.4, 0.0, "at least"),
    ]  # fmt: skip
    said = "".join(f"{name} {value:.3g}, " for name, value in others.items() if name != "SARAH")
    sentence = (
        f"Over {dataset.attrs['walk_steps']:,} steps SLEDGE's squared error is {mean['SLEDGE']:.3f} ± {error:.3f} of "
        f"zeta^2 step^2 n / (2 b^2), no part of the walk farther than {100 * abs(per_part[far] - 1):.0f} % off; {said}"
        f"SARAH grows from {sarah[0]:.0f} to {sarah[-1]:.0f}."
    )
    numbers = {"SLEDGE's error": mean["SLEDGE"], "SLEDGE's error, its error": error}
    return claims, sentence, numbers | {f"error, {name}": value for name, value in others.items()}


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
    return [], sentence + (f" ({edge} best step sizes lie at the edge of the grid.)" if edge else ""), numbers
