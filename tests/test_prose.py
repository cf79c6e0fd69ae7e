"""No result in the book is typed by hand, and the checker that says so sees what it should."""

import json
import re

import prose
import pytest

TYPED = [
    ("Tuning raises alignment by 6.2 %.", "6.2 %"),
    ("Tuning raises alignment by 6.2%.", "6.2%"),
    ("It rises by 6 percent.", "6 percent"),
    ("about six percent", "six percent"),
    ("The gain is twenty-one percentage points.", "twenty-one percentage points"),
    ("95 % of pairs gain", "95 %"),
    ("r = .81", "r = .81"),
    ("It goes with size (r = −0.14).", "r = −0.14"),
    ("the two agree, p < 0.001", "p < 0.001"),
    ("the two agree, p = .04", "p = .04"),
    ("a correlation over n=25 models", "n=25"),
    ("the mean is 0.224", "0.224"),
    ("a change of +.01", "+.01"),
    ("between -0.2 and\n0.5", "-0.2"),
    ("It costs 1,024 steps.", "1,024"),
    ("13 of 17 pairs gain", "13"),
    ("Thirteen of them lose.", "Thirteen"),
    ("four of the five pairs lose", "four of the five pairs"),
    ("two thirds of the models", "two thirds of the models"),
    ("Half of all claims", "Half of all claims"),
    ("Five tuned models gain.", "Five tuned models gain"),
    ("seven tests agree", "seven tests agree"),
    ("2000 pairs were compared", "2000"),
    ("a share of .2010", ".2010"),
    ("`0.945`", "0.945"),
    ("it is `+6.2 %`", "+6.2 %"),
    ("it is `r=.8`", "r=.8"),
    ("it is `mean 0.945`", "0.945"),
    ("it is $0.945$", "0.945"),
    (r"it is $6.2\,\%$", "6.2"),
    ("it is $r = .8$", "r = .8"),
    ("[13 pairs](claims.md) gain", "13"),
    ("![A gain of 6 %](figure-1.svg)", "6 %"),
    ("{term}`a gain of 6 % <interval>`", "6 %"),
    ("<span class='printed'>0.5</span>", "0.5"),
    ("| T5 | 0.5 |", "0.5"),
    ("# Tuning gains 6 %", "6 %"),
    (":::{dropdown} All 17 pairs\nNames.\n:::", "17"),
    (":::{when} behavior\nIt is 0.5.\n:::", "0.5"),
    ("::::{when} behavior\n```{dropdown} All\n:open:\nIt is 0.5.\n```\n::::", "0.5"),
    ("```sh\nmake book\n```\nIt takes 40 seconds.", "40"),
    ("{live}`published_brain:pairs.n` of 17 pairs", "17"),
    ("{estimate}`change` over 17 pairs", "17"),
    ("*The mean gain* is 6.", "6"),
    ("```{result-figure} notebook/figure\n:alt: A gain of 6 %\n\nA gain.\n```", "6 %"),
    ("```{result-figure} notebook/figure\n:alt: A gain\n\nA gain of 6 %.\n```", "6 %"),
    ("```{result-table} notebook/table\nA gain of 6 %.\n```", "6 %"),
]

ALLOWED = [
    "{live}`published_factors:r.wikitext2-nwp-loss` of {estimate}`a:change.4.5`, {live}`n|5`",
    "r = {live}`published_factors:r.size` over both",
    "# 4.1 Instruction tuning",
    "Section 4.1, sections 4 and 5, Figure 1B, Figures 2, 6D and 7, Table 9, Tables 3 to 10",
    "Appendix K, Appendices L and M",
    "Two panels cannot be drawn: 6B and 7B.",
    "[4.1](brain_alignment.md)",
    "1. first\n2. second",
    "In 2025 the maintainers announced it (Futrell et al. 2021; Oota and King 2022).",
    "*Transactions of the ACL* 11, 336–350. *Findings of NAACL\n  2024*, 1983–2005. *PNAS* 118.",
    "arXiv 2312.00575, version 2; [link](https://arxiv.org/abs/2312.00575); https://doi.org/10.1162/tacl_a_00548",
    "GPT-2, GPT2-XL, T5-XL, T5 version 1.1, LLaMA-7B, LLaMA 13B, LLaMA-2, GPT-3.5, Pereira2018, WikiText-2, SHA-256",
    "MMLU, BBH, Python 3.11 or newer, CC BY 4.0, CC BY-NC-SA 4.0",
    "{term}`95 % interval <interval>` and a 95 % confidence interval",
    "Two tests have p below .05.",
    "```sh\npapermill a.ipynb b.ipynb -p seed 1 -p rate 0.5\n```",
    "```{eval-rst}\n.. math:: 0.5\n```",
    "```{result-figure} published/figure-9\n:width: 50%\n```",
    "`ShuffleSplit(n_splits=10, train_size=.9)`, `logspace(-3, 3, 7)`, `t5-v1_1-*`, `2e-5`, `torch==2.13.0`",
    r"$K = 10$ folds, $52{,}000$ samples, $10^{-6}$, $95\,\%$",
    "$$\nr = 0.5\n$$",
    "(section-4)=\n<!-- 0.5 -->\n% 0.5\n",
    "Five tuned models share T5-XL as their base. Two of the three recordings are scored so.",
    "Four pairs of two families cannot carry one; half of the printed number's last digit.",
    "In percent, with intervals.",
]


BLOCKS = [
    block for path in prose.sources() if path.suffix == ".md" for _, block in prose.prose(path.read_text("utf-8"))
]


@pytest.mark.parametrize("path", prose.sources(), ids=lambda path: path.relative_to(prose.ROOT).as_posix())
def test_no_result_is_typed_by_hand(path):
    found = prose.check(path)
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize(("text", "number"), TYPED, ids=[text for text, _ in TYPED])
def test_a_typed_result_is_found(text, number):
    assert number in [finding.number for finding in prose.findings(text)]


@pytest.mark.parametrize("text", ALLOWED)
def test_a_number_with_a_reason_is_none(text):
    assert prose.findings(text) == []


@pytest.mark.parametrize("number", prose.ALLOWED)
def test_every_exception_is_used(number):
    # An exception that no page needs is a hole.
    pattern = re.compile(prose.ALLOWED[number], re.MULTILINE)
    assert any(pattern.search(block) for block in BLOCKS)


def test_a_finding_names_file_line_and_text(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("# Page\n\nNothing here.\n  The mean is 0.224.\n", encoding="utf-8")
    (finding,) = prose.check(path)
    assert str(finding) == "page.md:4: number '0.224' in: The mean is 0.224."


def test_a_finding_in_a_notebook_names_the_cell(tmp_path):
    path = tmp_path / "notebook.ipynb"
    cells = [("markdown", "# One"), ("code", "x = 0.5"), ("markdown", "Two\n\nIt gains 6 %.")]
    cells = [{"cell_type": kind, "source": text.splitlines(keepends=True)} for kind, text in cells]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (finding,) = prose.check(path)
    assert str(finding) == "notebook.ipynb, cell 3:3: percentage '6 %' in: It gains 6 %."


def test_every_number_is_reported_once_and_in_order():
    found = prose.findings("13 of 17 gain,\n6.2 % on average.")
    assert [(finding.place, finding.number) for finding in found] == [
        ("text:1", "13"),
        ("text:1", "17"),
        ("text:2", "6.2 %"),
    ]
