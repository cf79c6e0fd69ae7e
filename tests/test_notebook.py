"""Notebooks refuse what they do not know, are committed clean, and leave nothing behind when they fail."""

import ast
import io
import re
import tokenize
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from nbformat import v4

from brainalign import store
from brainalign import study as studies
from brainalign.paper import begin, sections
from brainalign.paper.publish import book
from brainalign.paper.publish import notebook as notebooks
from brainalign.paper.publish.notebook import about, refuse_unknown_parameters
from brainalign.paper.publish.numbers import records
from brainalign.study import Study

NOTEBOOKS = sorted((store.PROJECT / "notebooks").glob("*.ipynb"))
DECLARED = 'study = "printed"  # a study\nseed = 0  # of everything'


@pytest.fixture(autouse=True)
def own_style():
    """`begin` sets styles for its process, which here is that of all tests."""
    with plt.rc_context(), pd.option_context("display.precision", 6):
        yield


# --- parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [
        [],
        ["", DECLARED, "print(1)"],
        ["", "1 + 1", DECLARED, "# Parameters\nseed = 1\nstudy = 'sample'", "print(1)"],
        ["", "seed: int = 0", "# Parameters\nseed = 1"],
        ["", "seed = 0", "# Parameters\nseed: int = 1"],
        # Only what papermill injects is checked, and it begins with its mark.
        ["", DECLARED, "sed = 1  # Parameters"],
    ],
)
def test_known_parameters_pass(history):
    refuse_unknown_parameters(history)


@pytest.mark.parametrize(
    ("declared", "injected", "messages"),
    [
        (DECLARED, "sed = 1", ["unknown parameter 'sed'. Did you mean seed?"]),
        (DECLARED, "sed: int = 1", ["unknown parameter 'sed'. Did you mean seed?"]),
        ("seed: int = 0\nstudy: str", "sed = 1", ["unknown parameter 'sed'. Did you mean seed?"]),
        (DECLARED, "seed = 1\nstudie = 2\nsed = 3", ["'sed'. Did you mean seed?", "'studie'. Did you mean study?"]),
        (DECLARED, "zzz = 1", ["unknown parameter 'zzz'. Known: seed, study."]),
    ],
)
def test_unknown_parameters_are_refused(declared, injected, messages):
    with pytest.raises(TypeError) as error:
        refuse_unknown_parameters(["", declared, f"# Parameters\n{injected}\n", "begin()"])
    for message in [*messages, "This notebook's parameters: seed, study."]:
        assert message in str(error.value)
    assert "'seed'" not in str(error.value)


# --- begin ------------------------------------------------------------------------------------------------


def test_begin(tmp_path):
    notebook, name = begin("published_brain", "sample", str(tmp_path)), "published_brain"
    assert (notebook.name, notebook.study.name, notebook.folder) == (name, "sample", tmp_path / "sample" / name)
    assert (notebook.numbers.notebook, notebook.numbers.study, notebook.numbers.evidence) == (name, "sample", "printed")
    assert begin("people", "sample", str(tmp_path)).numbers.evidence == "people"


def test_begin_names_a_study_that_has_what_is_needed(tmp_path):
    message = r"study 'printed' has no behavior, which behavioral_alignment\.ipynb shows; try .*sample"
    with pytest.raises(ValueError, match=message):
        begin("behavioral_alignment", "printed", str(tmp_path))
    assert begin("behavioral_alignment", "sample", str(tmp_path)).study.name == "sample"


def test_begin_on_an_unknown_study(tmp_path):
    with pytest.raises(LookupError, match=r"Did you mean printed\?"):
        begin("published_brain", "printd", str(tmp_path))


def test_results_are_computed_once(tmp_path, monkeypatch):
    computed = []
    monkeypatch.setattr(studies, "results", lambda study: computed.append(study) or pd.DataFrame())
    notebook = begin("published_brain", "printed", str(tmp_path))
    assert computed == []
    assert notebook.results is notebook.results
    assert computed == [notebook.study]


# --- execution --------------------------------------------------------------------------------------------


@pytest.fixture
def template(tmp_path):
    """Function that writes a notebook: a title, a cell of parameters, and the cells given."""

    def write(*cells):
        parameters = v4.new_code_cell('study = "printed"\noutput = ""\nseed = 0', metadata={"tags": ["parameters"]})
        cells = [v4.new_markdown_cell("# Tiny"), parameters, *map(v4.new_code_cell, cells)]
        content = v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
        nbformat.write(content, tmp_path / "tiny.ipynb")
        return tmp_path / "tiny.ipynb"

    return write


BEGIN = (
    "from brainalign.paper import begin\nfrom brainalign.paper.publish.numbers import Live\n"
    'notebook = begin("tiny", study, output)'
)


def test_executed_notebook_has_its_parameters_and_numbers(template, tmp_path):
    path = template(BEGIN, 'notebook.show(Live("seed", seed, "d"))')
    output = tmp_path / "out" / "tiny.ipynb"
    book.execute(path, output, {"seed": 7, "output": str(tmp_path)})
    assert [file.name for file in output.parent.iterdir()] == ["tiny.ipynb"]
    (record,) = records(output)
    assert (record["key"], record["value"], record["cell"]) == ("seed", 7, "tiny#number-seed")
    assert record["study"] == record["evidence"] == "printed"


def test_misspelt_parameter_stops_a_notebook(template, tmp_path):
    output = tmp_path / "out" / "tiny.ipynb"
    with pytest.raises(RuntimeError) as error:
        book.execute(template(BEGIN), output, {"study": "printed", "output": str(tmp_path), "sed": 1})
    for fact in ("TypeError: unknown parameter 'sed'. Did you mean seed?", "parameters: output, seed, study."):
        assert fact in str(error.value)
    assert list(output.parent.iterdir()) == []


def test_notebook_that_raises_names_the_cell_and_leaves_nothing(template, tmp_path):
    path, output = template("fine = 1", "1 / 0", "never = 1"), tmp_path / "out" / "tiny.ipynb"
    with pytest.raises(RuntimeError, match=r"tiny\.ipynb, cell 4 \(In \[3\]\): ZeroDivisionError: .*\n\n1 / 0"):
        book.execute(path, output, {})
    assert list(output.parent.iterdir()) == []


def test_earlier_execution_survives_a_failure(template, tmp_path):
    output = tmp_path / "out" / "tiny.ipynb"
    output.parent.mkdir()
    output.write_text("earlier")
    with pytest.raises(RuntimeError):
        book.execute(template("1 / 0"), output, {})
    assert output.read_text() == "earlier"


# --- the notebooks of the project -------------------------------------------------------------------------


def by_name(path: Path):
    return path.stem


def parameters_of(path: Path) -> str:
    cells = nbformat.read(path, 4).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return cell.source


def test_there_are_notebooks():
    assert {"published_brain", "claims", "behavioral_alignment"} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_notebook_is_committed_clean(path):
    content = nbformat.read(path, 4)
    nbformat.validate(content)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    # Neither who ran it nor when.
    assert set(content.metadata) <= {"kernelspec", "language_info", "brainalign"}
    assert content.metadata.kernelspec.name == "python3"
    assert content.metadata.language_info == {"name": "python"}
    assert [set(cell.metadata) - {"tags"} for cell in content.cells] == [set()] * len(content.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_notebook_begins_with_a_title_and_its_own_name(path):
    cells = nbformat.read(path, 4).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    # Papermill puts its cell right below the parameters, and `begin` checks it before anything is computed.
    assert "parameters" in cells[1].metadata.get("tags", [])
    assert f'begin("{path.stem}", study, output' in cells[2].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_a_notebook_is_short_enough_to_be_read_aloud(path):
    cells = nbformat.read(path, 4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    lines = [sum(bool(line.strip()) for line in cell.source.split("\n")) for cell in code]
    assert sum(lines) <= 120 and max(lines) <= 15
    # The parameters and the beginning come below the title; a sentence stands before every other cell.
    for before, cell in pairwise(cells[2:]):
        assert "code" not in (before.cell_type, cell.cell_type) or before.cell_type != cell.cell_type, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_each_parameter_is_a_plain_value_with_a_comment(path):
    source = parameters_of(path)
    commented = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and len(token.string) > 5
    }
    names = []
    for statement in ast.parse(source).body:
        assert isinstance(statement, ast.Assign)
        (target,) = statement.targets
        names.append(target.id)
        assert ast.literal_eval(statement.value) is not None
        assert statement.end_lineno in commented, target.id
    assert names[:2] == ["study", "output"]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_default_study_has_what_the_notebook_needs(path):
    values = {s.targets[0].id: ast.literal_eval(s.value) for s in ast.parse(parameters_of(path)).body}
    name = path.stem if path.stem != book.MODEL else f"model-{values['model']}"
    assert name in book.notebooks(studies.load(values["study"]))


def test_book_leaves_out_notebooks_without_anything_to_show():
    printed, sample, microworld = (book.notebooks(studies.load(name)) for name in ("printed", "sample", "microworld"))
    names = [path.stem for path in NOTEBOOKS if path.stem != book.MODEL]
    models = ["model-smollm2-135m-instruct-q4_1"]
    models += [f"model-stories260K{ending}" for ending in ("", "-tuned", "-no-instruction")]
    assert sample == [*(name for name in names if name not in ("validation", "factors", "instruction_tuning")), *models]
    assert printed == [name for name in names if about(name).needs is None]
    assert set(names) <= set(microworld)


def test_parameters_that_are_not_the_default_ones_are_told():
    declared = 'study = "sample"  # a study\noutput = "executed"\nseed = 0\nresamples = 10_000\nlayers = ""'
    injected = '# Parameters\nstudy = "microworld"\noutput = "elsewhere"\nseed = 0\nresamples = 2000\nlayers = "0:2"\n'
    found = notebooks.changed_parameters(["", declared, injected, "begin()"])
    assert found == {"resamples": ("10000", "2000"), "layers": ("''", "'0:2'")}
    assert notebooks.changed_parameters(["", declared, "begin()"]) == {}


def test_a_number_that_the_book_has_otherwise_says_so(template, tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "BUILD", tmp_path)
    executed = notebooks.source("printed") / "executed"
    path = template(BEGIN, 'notebook.show(Live("n", 3, "d"), Live("same", 1, "d"))')
    book.execute(path, executed / "tiny.ipynb", {"study": "printed", "output": str(executed)})
    by_hand = begin("tiny", "printed", str(tmp_path / "mine"))
    assert by_hand.numbers.book == {"n": "3", "same": "1"}
    assert by_hand.folder == tmp_path / "mine" / "printed" / "tiny"  # where another study's figures are not
    built = begin("tiny", "printed", str(executed))
    assert (built.numbers.book, built.folder) == ({}, executed / "tiny")
    assert begin("claims", "printed", str(tmp_path / "mine")).numbers.book == {}


@pytest.mark.parametrize("path", sorted(book.NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_that_reads_results_waits_for_them(path):
    section = Path(sections.__path__[0], f"{path.stem}.py")
    text = path.read_text(encoding="utf-8") + (section.read_text(encoding="utf-8") if section.exists() else "")
    reads = re.search(r"notebook\.results|studies\.results\(", text) is not None
    assert reads == about(path.stem).measured


def test_a_models_page_waits_for_its_own_results_and_its_kins():
    models = [{"load": name, "name": name} for name in ("gpt2", "distilgpt2")]
    models += [{"load": "gpt2", "untrained": 0, "name": "twin"}, {"load": "gpt2", "name": "tuned", "vanilla": "gpt2"}]
    about = {"title": "t", "evidence": "people", "recordings": ["brennan2016"], "controls": ["length"]}
    study = Study(name="s", models=models, **about)
    assert book.shown("model-gpt2", study) == ["gpt2", "twin", "tuned", "length"]
    assert book.shown("model-distilgpt2", study) == ["distilgpt2", "length"]
    assert book.shown("people", study) == ["people"]
    assert book.shown("claims", study) == ["people", "gpt2", "distilgpt2", "twin", "tuned", "length"]
    assert book.shown("catalog", study) == []
