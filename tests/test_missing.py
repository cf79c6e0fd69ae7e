"""Missing responses: said early, and made up for by a rule that has a name."""

import re
import warnings

import numpy as np
import pytest

from brainalign import study as studies
from brainalign.alignment.brain import brain_alignment
from brainalign.cli import main
from brainalign.human import own

N, HOLES = 48, [(2, 0), (2, 1), (20, 1)]  # stimulus and unit


@pytest.fixture
def table(tmp_path):
    """A table of 48 sentences in eight passages and four units, two of which miss some."""
    values = np.random.default_rng(0).normal(size=(N, 4)).round(3)
    lines = ["text,passage,position,a,b,c,d"]
    for row in range(N):
        cells = ["" if (row, unit) in HOLES else str(values[row, unit]) for unit in range(4)]
        lines.append(",".join([f"Sentence {row}.", f"p{row // 6}", str(1 + row % 6), *cells]))
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines))
    return path, values


@pytest.mark.parametrize("rule", ["leave out units", "leave out stimuli", "mean"])
def test_what_is_missing_is_made_up_for(table, rule):
    path, values = table
    recording, responses = own.load_table(path, missing_rule=rule), recording_values(values, rule)
    np.testing.assert_allclose(recording.responses, responses, rtol=1e-6)
    features = np.random.default_rng(1).normal(size=(N, 5))[recording.part_rows]
    assert np.isfinite(brain_alignment({"0": features}, recording, "contiguous").query("split == 'all'").r).all()
    # All of the text is read, whatever responses are left.
    assert [passage.parts for passage in recording.passages] == [
        tuple(f"Sentence {6 * passage + place}." for place in range(6)) for passage in range(8)
    ]
    sentences = [part for passage in recording.passages for part in passage.parts]
    assert [sentences[row] for row in recording.part_rows] == recording.stimuli.text.tolist()


def recording_values(values, rule):
    """The slow way to what is left."""
    if rule == "leave out units":
        return values[:, 2:]
    if rule == "leave out stimuli":
        return np.array([row for number, row in enumerate(values) if number not in (2, 20)])
    filled = values.copy()
    for stimulus, unit in HOLES:
        filled[stimulus, unit] = np.mean([values[k, unit] for k in range(N) if (k, unit) not in HOLES])
    return filled


def test_without_a_rule_it_is_refused_and_data_show_says_so(table, capsys):
    path, _ = table
    with pytest.raises(ValueError, match="unit 0 of participant 1 is nan at stimulus 2"):
        brain_alignment({"0": np.eye(N)}, own.load_table(path), "contiguous")
    assert main(["data", "show", str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("refused")]
    assert line == (
        "refused: 2 of 4 units miss up to 2 of 48 stimuli, and brain_alignment refuses them. In a study, say missing: "
        "leave out units (2 units are left), missing: leave out stimuli (46 stimuli are left) or missing: mean (a "
        "unit's mean over the other stimuli)."
    )


def test_nothing_left_is_refused(tmp_path):
    (tmp_path / "mine.csv").write_text("text,passage,position,a,b\nA.,p,1,,1\nB.,p,2,1,\nC.,p,3,2,3\n")
    with pytest.raises(ValueError, match=r"mine.csv: responses: to leave out units .* leaves none. 2 of 2 units miss"):
        own.load_table(tmp_path / "mine.csv", missing_rule="leave out units")
    with pytest.raises(LookupError, match=r"unknown rule for missing responses 'men'. Did you mean mean"):
        own.load_table(tmp_path / "mine.csv", missing_rule="men")


def test_a_study_names_the_rule(table, tmp_path):
    settings = tmp_path / "s.yaml"
    for rule, shape in (("leave out units", (48, 2)), ("leave out stimuli", (46, 4)), ("mean", (48, 4))):
        settings.write_text(f"title: M\nevidence: people\nrecordings: [{{table: mine.csv, missing: {rule}}}]\n")
        study = studies.load(str(settings))
        assert studies.load_recordings(study)["mine"].responses.shape == shape
    settings.write_text("title: M\nevidence: people\nrecordings: [{table: mine.csv, missing: guess}]\n")
    with pytest.raises(ValueError, match="missing"):
        studies.load(str(settings))


@pytest.mark.parametrize("sentinel", ["-999", "9999", "-1e6"])
def test_a_sentinel_is_suspected(table, sentinel):
    path, _ = table
    lines = path.read_text().splitlines()
    for row in (5, 17, 30):
        lines[row] = lines[row].rpartition(",")[0] + "," + sentinel
    path.write_text("\n".join(lines))
    with pytest.warns(UserWarning, match=re.escape(f"{float(sentinel):g} is there 3 times, far outside")):
        own.load_table(path)


@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "poisson"])
def test_no_other_value_is_suspected(table, draw):
    path, _ = table
    values = getattr(np.random.default_rng(0), draw)(size=(N, 1))
    lines = path.read_text().splitlines()
    lines = [lines[0] + ",e", *(f"{line},{value}" for line, value in zip(lines[1:], values[:, 0], strict=True))]
    path.write_text("\n".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own.load_table(path)
