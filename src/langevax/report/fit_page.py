"""The page of a fit: how far from the optimum, the particles as they moved, and what the network is worth."""

from pathlib import Path
from typing import Any

from langevax.report import curve_figures, fit_figures
from langevax.report.contents import FitContents
from langevax.report.numbers import aligned, number, whole, with_error
from langevax.report.page import Html, element, folded, join, section, table, write_page

IN_PLAIN_WORDS = {
    "gap": "how far above the optimum the certified network may be, at most, on average over independent runs",
    "unbiased_gap": "the same without its upward bias; can fall below zero by chance",
    "lower_bound": "D: no network of this kind, however trained, has an objective below this",
    "upper_bound": "D plus the gap: the optimum lies at or below this",
    "trustworthy": "whether the independent runs kept enough variety for these numbers to mean anything",
    "surviving_ancestors": "smallest share of ancestors with descendants at the end of a run; below 5 % is suspicious",
    "temperatures": "intermediate temperatures that the longest run needed",
    "polish_steps": "climbs of D before it was certified",
}
NAMES = {
    "lower_bound": "lower bound D",
    "upper_bound": "upper bound",
    "unbiased_gap": "gap, unbiased",
    "polish_steps": "polishing steps",
    "surviving_ancestors": "surviving ancestors",
}
ERROR_OF = {"gap": "standard_error", "lower_bound": "lower_bound_error"}


def write_fit_page(contents: FitContents, file: Path) -> None:
    """Write the report of a fit as one HTML file that opens offline."""
    write_page(
        Path(file),
        f"{contents.table}: {contents.target}",
        _answer(contents),
        section("The network as it learns", fit_figures.motion(contents)),
        *_curves(contents),
        section(f"{_capital(fit_figures.score_word(contents))} beside other methods", *_scores(contents)),
        section("How far from the best possible network", fit_figures.band(contents)),
        section("Which columns matter", fit_figures.relevance(contents)) if contents.curves is None else "",
        section(
            "Predicted against observed",
            fit_figures.confusion(contents) if contents.classes else fit_figures.predictions(contents),
        ),
        element("section", element("h2", "In detail"), *_details(contents), class_="details"),
    )


def _answer(contents: FitContents) -> Html:
    title = element("h1", element("b", contents.table), ": ", contents.target)
    doubt = ""
    if not contents.certificate.get("trustworthy", True):
        verdict = contents.certificate.get("verdict") or "The independent runs disagree or have lost their variety."
        doubt = element(
            "p", element("b", "This certificate is not to be trusted. "), verdict, class_="doubt", role="note"
        )
    return element("header", title, element("p", contents.sentence, class_="answer"), doubt)


def _curves(contents: FitContents) -> list[Html]:
    told = contents.curves
    if told is None:
        return []
    return [
        section("The curves", curve_figures.curves(told)),
        section("Which parts of the curve matter", curve_figures.slopes(told)),
        section("What the neurons look at", curve_figures.weights(told)),
    ]


def _scores(contents: FitContents) -> list[Html]:
    scores = fit_figures.best_first(contents)
    values = aligned([_fixed(score.value, 3) for score in scores])
    seconds = aligned([_fixed(score.seconds, 2) for score in scores])
    rows = [
        (element("b", score.name) if score.ours else score.name, Html(value), Html(time), element("small", score.note))
        for score, value, time in zip(scores, values, seconds, strict=True)
    ]
    head = ["method", fit_figures.score_word(contents), "seconds to fit", "how its settings were chosen"]
    return [fit_figures.scores(contents), table(head, rows, numeric=(1, 2), noted=True, label="Scores of all methods")]


def _details(contents: FitContents) -> list[Html]:
    command = element(
        "div",
        element("pre", element("code", contents.command)),
        element("button", "Copy", type="button", class_="copy"),
        class_="command",
    )
    return [
        folded("The certificate in numbers", _certificate(contents.certificate)),
        folded("Settings to run it again", _settings(contents.settings)),
        folded("The command that makes this page", command if contents.command else element("p", "Not recorded.")),
        folded("Versions", _listed(contents.versions)),
    ]


def _certificate(certificate: dict[str, Any]) -> Html:
    """Each number with what it means; an error stands with its number."""
    rows = [
        (NAMES.get(key, key.replace("_", " ")), _certified(certificate, key), element("small", meaning))
        for key, meaning in IN_PLAIN_WORDS.items()
        if key in certificate
    ]
    if not rows:
        return element("p", "No certificate was made.")
    return element("div", element("p", certificate.get("verdict", "")), table(["", "", ""], rows, noted=True))


def _certified(certificate: dict[str, Any], key: str) -> str:
    value = certificate[key]
    if isinstance(value, str):
        return value
    if key == "trustworthy":
        return "yes" if value else "no"
    if key == "surviving_ancestors" and value is not None:
        return f"{number(100 * value, 3)} %"
    return with_error(value, certificate.get(ERROR_OF.get(key, "")))


def _settings(settings: dict[str, Any]) -> Html:
    """Plain settings first, then each group of them under its name."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    groups = {name: value for name, value in settings.items() if isinstance(value, dict)}
    return element(
        "div",
        _listed(plain) if plain or not groups else "",
        *(join(element("h3", name), _listed(group)) for name, group in groups.items()),
    )


def _listed(values: dict[str, Any]) -> Html:
    if not values:
        return element("p", "Not recorded.")
    return table(["", ""], [(name.replace("_", " "), _setting(value)) for name, value in values.items()])


def _setting(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return whole(value) if abs(value) >= 10_000 else str(value)
    return number(value, 6) if isinstance(value, float) else str(value)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _fixed(value: float, decimals: int) -> str:
    """With as many decimals as its neighbours, or a dash where there is no number."""
    text = number(value)
    return f"{value:.{decimals}f}".replace("-", "−") if text[-1].isdigit() else "–"
