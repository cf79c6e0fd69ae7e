"""Figures and tables as files that the book's pages place: SVG or rows, data as CSV, words as JSON."""

import html
import json
import re
from pathlib import Path

import pandas as pd

from brainalign import store
from brainalign.paper.publish.numbers import EVIDENCE, number


def save_figure(
    path: Path,
    figure,
    data: pd.DataFrame,
    *,
    notebook: str,
    title: str,
    evidence: str,
    wide: bool = False,
    narrow=None,
) -> None:
    """Write one matplotlib figure: `PATH.svg`, its data as `PATH.csv`, its words as `PATH.json`.

    What the figure marks by a gid ``data-KEY=VALUE`` has that attribute in the page.

    Parameters
    ----------
    data : DataFrame
        All that the figure shows, to download.
    title : str
        The finding, in a few words.
    evidence : str
        On what it rests; a key of `numbers.EVIDENCE`.
    wide : bool
        Whether a narrow screen scrolls it instead of shrinking it.
    narrow : matplotlib Figure, optional
        The same for a narrow screen, `PATH.narrow.svg`.

    Raises
    ------
    ValueError
        The title is empty, or the evidence is not one of the marks.
    """
    _require(path, evidence, title)
    _write_drawing(path, figure, notebook, title)
    if narrow is not None:
        _write_drawing(_file(path, ".narrow"), narrow, notebook, title)
    _write_data(path, data)
    words = {"title": title, "evidence": evidence, "notebook": notebook, "wide": wide, "narrow": narrow is not None}
    _write_json(path, words)


def save_table(
    path: Path,
    data: pd.DataFrame,
    *,
    notebook: str,
    title: str,
    evidence: str | None = None,
    columns: dict[str, str | tuple[str, str]] | None = None,
    details: str | None = None,
    filters: tuple[str, ...] = (),
    anchors: str | None = None,
) -> None:
    """Write one sortable table: its rows as the page shows them in `PATH.json`, its data as `PATH.csv`.

    Parameters
    ----------
    data : DataFrame
        A row per row; the index is not shown.
    evidence : str, optional
        On what it rests; a key of `numbers.EVIDENCE`. Left out where it holds no results.
    columns : dict
        The columns to show, in order: name to label, or to (label, format of its numbers). All as they are if left
        out.
    details : str, optional
        A column whose text unfolds on a click.
    filters : tuple of str
        Columns by whose values the reader can filter.
    anchors : str, optional
        A column with a name for each row, to link to.

    Raises
    ------
    ValueError, LookupError
        The title is empty, the evidence is no mark, or there are no rows; a column does not exist, or is not shown.
    """
    _require(path, evidence, title)
    if data.empty:
        raise ValueError(f"table {path.name} has no rows")
    shown = {name: spec if isinstance(spec, tuple) else (spec, "") for name, spec in (columns or {}).items()}
    shown = shown or {name: (str(name), "") for name in data}
    if missing := [name for name in (*shown, *([anchors] if anchors else [])) if name not in data]:
        raise LookupError(f"table {path.name} has no column {missing[0]!r}; it has {', '.join(data)}")
    if hidden := [name for name in (*filters, *([details] if details else [])) if name not in shown]:
        raise LookupError(f"table {path.name} shows no column {hidden[0]!r}; it shows {', '.join(shown)}")
    # By column: a row of integers and floats would be floats.
    cells = [[_cell(value, form) for value in data[name]] for name, (_, form) in shown.items()]
    words = {
        "title": title,
        "evidence": evidence,
        "notebook": notebook,
        "header": [label for label, _ in shown.values()],
        "numeric": [pd.api.types.is_numeric_dtype(data[name]) for name in shown],
        "filters": [list(shown).index(name) for name in filters],
        "details": list(shown).index(details) if details else None,
        "anchors": list(data[anchors]) if anchors else None,
        "rows": list(zip(*cells, strict=True)),
    }
    _write_data(path, data)
    _write_json(path, words)


def _cell(value, form: str) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return ""
    return number(value, form) if form and not isinstance(value, str) else str(value)


def _write_drawing(path: Path, figure, notebook: str, title: str) -> None:
    import matplotlib.pyplot as plt

    with store.writing(_file(path, ".svg")) as svg:
        # The salt makes ids that are the same in every build and differ between the figures of one page.
        with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{notebook}/{path.name}"}):
            undated = {"Date": None, "Creator": None}
            figure.savefig(svg, format="svg", transparent=True, bbox_inches="tight", metadata=undated)
        svg.write_text(_for_the_page(svg.read_text(encoding="utf-8"), title), encoding="utf-8")
    plt.close(figure)


def _for_the_page(svg: str, title: str) -> str:
    """SVG to stand inside a page: no prolog, no fixed size, ids of its own, its title for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="data-([\w-]+)=([^"]*)"', r' data-\1="\2"', svg)
    svg = svg.replace(' target="_blank"', "")  # links stay in the book
    # matplotlib names every group, in every figure alike; only what is referred to needs its name, which is salted.
    referred = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda name: name[0] if name[1] in referred else "", svg)
    head, rest = svg.split(">", 1)
    width = re.search(r'width="([\d.]+)pt"', head)[1]
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(title)}" style="max-width: {float(width):.0f}pt">{rest}'


def _file(path: Path, ending: str) -> Path:
    # Not `with_suffix`, which would cut a name like pereira2018.384-matrix at its dot.
    return path.with_name(path.name + ending)


def _write_data(path: Path, data: pd.DataFrame) -> None:
    with store.writing(_file(path, ".csv")) as csv:
        data.to_csv(csv, index=False, lineterminator="\n")


def _write_json(path: Path, words: dict) -> None:
    with store.writing(_file(path, ".json")) as file:
        file.write_text(json.dumps(words, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _require(path: Path, evidence: str | None, title: str) -> None:
    if evidence is not None and evidence not in EVIDENCE:
        raise ValueError(f"{path.name}: evidence must be one of {', '.join(EVIDENCE)}, not {evidence!r}")
    if not title.strip():
        raise ValueError(f"{path.name} has an empty title")
