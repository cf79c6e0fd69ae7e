"""What CONTRIBUTING.md says of additions is so: each touches the files that it names, and nothing that lists names.

A copy of the library gets a data set, a protocol, a claim, and a page with a notebook, and does what a study does.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nbformat import v4, writes

ROOT = Path(__file__).resolve().parents[1]
MODULE = '''"""Doe 2030: made-up responses to made-up sentences."""

from dataclasses import replace

from brainalign import catalog
from brainalign.human import own
from brainalign.human.download import check_counts, fetch
from brainalign.human.recording import Recording


def load() -> Recording:
    """Responses of three people."""
    data = catalog.dataset("doe2030")
    path = fetch(data.file("responses.csv"))
    recording = own.load_table(path, fetch(data.file("participants.csv")))
    check_counts(path, {"stimuli": recording.responses.sizes["stimulus"]}, data)
    return replace(recording, name=data.name, licence=data.licence, citation=data.citation)
'''
ENTRY = """
doe2030:
  title: Doe 2030, made-up sentences
  kind: fMRI
  loads: {{doe2030: {{}}}}
  address: https://example.org/doe/
  licence: CC0
  citation: Doe (2030). Made-up responses. Journal of Examples.
  counts: {{stimuli: 40}}
  files:
    responses.csv: {{bytes: {bytes}, hash: "sha256:{table}"}}
    participants.csv: {{bytes: {bytes_of_sheet}, hash: "sha256:{sheet}"}}
"""
PROTOCOL = """PROTOCOLS |= {"stories": replace(AW2024, name="stories", splits="stories")}
"""
CLAIM = """
- {id: doe, section: "3", source: here, claim: Two., printed: "2", expect: {value: 8, digits: 0},
   recompute: {function: count_models, group: vanilla}}
"""
STUDY = "title: Doe\nevidence: people\nrecordings: [doe2030]\nprotocols: [stories]\ncontrols: [length]\n"
NOTEBOOK = (
    "# Doe",
    'study = "doe"  # a study\noutput = "executed"  # folder',
    "from brainalign import study as studies\nfrom brainalign.paper import begin\n"
    'from brainalign.paper.publish.numbers import Live\n\nnotebook = begin("doe", study, output)',
    'scores = studies.results(notebook.study, "brain")\n'
    'notebook.show(Live("doe", scores.query("participant == \'pooled\'").r.iloc[0]))',
)
USE = """
from brainalign import catalog, cli, store, study
from brainalign.paper import claims
from brainalign.paper.claims import printed
from brainalign.paper.publish import book

assert [cli.main(words.split()) for words in ("data show doe2030", "run doe", "execute doe doe")] == [0, 0, 0]
assert set(study.results(study.load("doe"), "brain").protocol) == {"stories"}
print(claims.check(catalog.claims()[-1], printed.load()).verdict)
book.stage("doe")
print((book.source("doe") / "_toc.yml").read_text(), (book.source("doe") / "executed" / "numbers.json").read_text())
print((book.source("doe") / "book" / "doe.md").read_text())
"""


@pytest.fixture
def project(tmp_path):
    """A copy of the library and of what a build reads, to which all four are added; and a mirror of the data."""
    for name in ("brainalign", "book", "notebooks", "studies"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_toc.yml", "_config.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    mirror = tmp_path / "mirror" / "example.org" / "doe"
    mirror.mkdir(parents=True)
    rng, units = np.random.default_rng(0), [f"unit{k}" for k in range(6)]
    sentences = {"text": [f"They saw {'it ' * (k % 7)}{k}." for k in range(40)], "passage": np.arange(40) // 4}
    table = pd.DataFrame(rng.standard_normal((40, 6)), columns=units)
    table.assign(**sentences, position=np.arange(40) % 4 + 1).to_csv(mirror / "responses.csv", index=False)
    pd.DataFrame({"unit": units, "participant": list("aabbcc")}).to_csv(mirror / "participants.csv", index=False)
    table, sheet = ((mirror / name).read_bytes() for name in ("responses.csv", "participants.csv"))
    hashes = {"table": hashlib.sha256(table).hexdigest(), "sheet": hashlib.sha256(sheet).hexdigest()}
    cells = [v4.new_markdown_cell(NOTEBOOK[0]), *map(v4.new_code_cell, NOTEBOOK[1:])]
    cells[1].metadata["tags"] = ["parameters"]
    added = {
        "brainalign/human/doe2030.py": MODULE,
        "brainalign/catalog/datasets.yaml": ENTRY.format(bytes=len(table), bytes_of_sheet=len(sheet), **hashes),
        "brainalign/alignment/protocols.py": PROTOCOL,
        "brainalign/catalog/claims.yaml": CLAIM,
        "book/doe.md": "---\nlive: doe\n---\n\n# Doe\n\n{live}`doe`\n",
        "notebooks/doe.ipynb": writes(v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})),
        "studies/doe.yaml": STUDY,
        "_toc.yml": "      - file: executed/doe\n  - caption: More\n    chapters:\n      - file: book/doe\n",
    }
    for name, text in added.items():
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write(text)
    return tmp_path


@pytest.mark.slow
def test_each_addition_touches_what_the_guide_names(project, monkeypatch):
    for name, value in {"PYTHONPATH": project, "BRAINALIGN_MIRROR": project / "mirror"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("BRAINALIGN_STORE", raising=False)
    done = subprocess.run([sys.executable, "-c", USE], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for said in ("doe2030: 40 stimuli x 6 units, 3 participants, 10 passages", "ran length", "matches", "live: doe",
                 "executed doe.ipynb", "file: executed/doe", '"doe:doe"'):  # fmt: skip
        assert said in done.stdout
