"""The commands of the guide from an Excel export to a decision run, and say what the guide says they say."""

import json
import re
import runpy
import shlex
from pathlib import Path

import polars as pl
import pytest

from tests.app.conftest import QUICK, langevax

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "from_excel.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The output of each command by its arguments, with small networks and without peers."""
    folder, outputs = tmp_path_factory.mktemp("guide"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in "".join(
            re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
        ).splitlines():
            program, *words = shlex.split(line)
            if program == "python":
                patch.setattr("sys.argv", [str(ROOT / words[0]), *words[1:]])
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
            else:
                answer = langevax(*words, *(QUICK if words[0] == "fit" else []))
                assert answer.exit_code == 0, answer.stderr
                outputs[line] = answer
    return folder, list(outputs.values())


def test_the_warning_of_the_guide_is_printed(answers):
    _, (first, second, _) = answers
    warning = " ".join(
        re.search(r"```text\nWarning(.*?)```", GUIDE, re.DOTALL)[1].split()
    )
    assert warning in " ".join(first.stderr.split())
    assert second.stderr == ""


def test_the_columns_are_read_as_the_guide_says(answers):
    folder, _ = answers
    result = json.loads((folder / "out/churn/result.json").read_text(encoding="utf-8"))
    columns = {column["name"]: column for column in result["columns"]}
    assert (
        columns["fee"]["kind"],
        columns["fee"]["unreadable"],
        columns["since"]["kind"],
    ) == ("numbers", 10, "dates")
    assert columns["reason"]["remarks"] == ["Left out by --drop."]
    assert columns["customer no"]["role"] == "left out"
    assert dict(zip(result["classes"], result["class_counts"], strict=True)) == {
        "no": 829,
        "yes": 71,
    }
    assert pl.read_csv(folder / "out/predictions.csv").columns[-1] == "probability_yes"


def test_the_sections_are_those_of_the_page(answers):
    folder, _ = answers
    page = (folder / "out/churn/report.html").read_text(encoding="utf-8")
    for heading in re.findall(r"\d\. \*\*(.*?)\*\*", GUIDE):
        assert f"<h2>{heading}</h2>" in page
    words = "How it changes the prediction"
    assert words in page
    assert words in " ".join(GUIDE.split())
    first = (folder / "out/first/report.html").read_text(encoding="utf-8")
    assert "This may be too good to be true" in first
