"""Tables of what was measured."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.results import Record

COLUMNS = {
    "rows": {
        "share": "parameters / rows",
        "residuals": "LOO residuals off by",
        "correlation": "correlation",
        "own": "own changes off by",
        "own_sure": "sure rows only",
        "noise": "their noise",
        "elsewhere": "changes elsewhere off by",
        "elsewhere_noise": "their noise",
        "loss_predicted": "LOO log loss",
        "loss": "of trainings",
        "unsure": "unsure rows",
        "fit_seconds": "fit, CPU s",
        "seconds": "first answer, CPU s",
    },
    "tenth": {
        "share": "parameters / rows",
        "moved": "outputs move by (noises)",
        "noises": "off by (noises)",
        "trustworthy": "said to be trusted",
    },
    "intervals": {
        "predictions": "predictions",
        "refused": "fits without jackknife+",
        "covered jackknife+": "jackknife+ covers",
        "covered cv+": "CV+ covers",
        "width jackknife+": "jackknife+ is wide",
        "width cv+": "CV+ is wide",
        "cost": "fit with it / without",
    },
    "labels": {"n": "rows", "wrong": "wrong labels", "found": "in the first tenth"},
    "costs": {
        "share": "parameters / rows",
        "first": "first answer, CPU s",
        "seconds": "second, CPU s",
        "answer": "outputs without a row, s",
    },
    "peers": {
        "score": "network, R2",
        "peer_score": "MLP, R2",
        "network": "network: correlation",
        "influence": "influence functions on the MLP",
        "trak": "TRAK on the MLP",
    },
}


def show(records: Sequence[Record]) -> None:
    """Print a table for each part, in the order in which they are measured."""
    console = Console(width=200)
    for part, columns in COLUMNS.items():
        lines = [record for record in records if record["part"] == part]
        if not lines:
            continue
        printed = Table("table", *columns.values(), title=part)
        for record in lines:
            printed.add_row(
                record["table"], *(_shown(record.get(key)) for key in columns)
            )
        console.print(printed)
        for reason in sorted({r["reason"] for r in lines if r.get("reason")}):
            console.print(f"- {reason}")


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
