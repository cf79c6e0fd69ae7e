"""Directives that place in a page what notebooks saved: ``{result-figure}`` and ``{result-table}``."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from brainalign import catalog
from brainalign.paper.publish.numbers import EVIDENCE

ENDS = {"lenient": "as in the paper: shuffled", "strict": "contiguous", "both": "both"}
LONG = 30  # characters; a cell with more gets room


def executed(env: BuildEnvironment, name: str) -> Path:
    """Path of something beside the executed notebooks, on which the page that is being read then depends."""
    path = Path(env.srcdir, "executed", name)
    env.note_dependency(str(path))
    return path


class Asset(SphinxDirective):
    """Shared by figures and tables: finds the files and tells Sphinx that the page depends on them."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged_required}

    def read(self, ending: str) -> str:
        """Text of one of the asset's files."""
        path = executed(self.env, self.arguments[0] + ending)
        if not path.exists():
            raise self.error(f"no notebook saved {self.arguments[0]!r}: {path.name} is not in {path.parent.name}/")
        return path.read_text(encoding="utf-8")

    def links(self, words: dict) -> nodes.paragraph:
        """Line below an asset: the mark that says what it rests on, if it holds results; its data, its notebook."""
        line = nodes.paragraph(classes=["asset-links"])
        if evidence := words["evidence"]:
            title = html.escape(EVIDENCE[evidence], quote=True)
            line += nodes.raw("", f'<span class="mark {evidence}" title="{title}">{evidence}</span>', format="html")
            line += nodes.Text(" ")
        data, notebook = f"/executed/{self.arguments[0]}.csv", f"/executed/{words['notebook']}"
        line.extend(self.inline([f"[data (CSV)](<{data}>) · {{doc}}`notebook <{notebook}>`"]))
        return line

    def inline(self, lines: Sequence[str]) -> list[nodes.Node]:
        """MyST text as inline nodes; paragraphs, some of which ``{when}`` may keep, run on."""
        container, together = nodes.container(), []
        self.state.nested_parse(lines, self.content_offset, container)
        for paragraph in container.children:
            together += [*paragraph.children, nodes.Text(" ")]
        return together[:-1]

    def anchored(self, node: nodes.Element, name: str | None = None) -> nodes.Element:
        """Let pages link to a node as `[text](#name)`: as the option says, else by the asset's name alone."""
        self.options["name"] = name or self.options.get("name", self.arguments[0].split("/")[-1])
        self.add_name(node)
        return node

    @property
    def display(self) -> str:
        """Which of the paper's displays it is, on the printed scores or on this study, if it is one."""
        for row in catalog.displays().itertuples():
            if self.arguments[0] in (row.printed, row.study):
                return f"{row.display}{'' if self.arguments[0] == row.printed else ', on this study'}. "
        return ""


class ResultFigure(Asset):
    """Place a figure that a notebook saved: the SVG in the page, caption, links.

    With ``toggle``, a reader can see either end of a figure of two protocols alone.
    """

    option_spec: ClassVar = Asset.option_spec | {"alt": directives.unchanged_required, "toggle": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Build the figure."""
        words, drawings = json.loads(self.read(".json")), {"drawing": self.read(".svg")}
        if words.get("narrow"):
            drawings = {"drawing broad": drawings["drawing"], "drawing narrow": self.read(".narrow.svg")}
        if not (self.content and "alt" in self.options):
            raise self.error(f"{self.arguments[0]} has no caption, or no :alt: that says what it shows")
        figure = self.anchored(nodes.figure(classes=["result", *(["wide"] if words["wide"] else [])]))
        # As a reader sees it: a live number is raw, and has its text beside it.
        inline = self.inline([self.options["alt"]])
        alt = "".join(getattr(node, "attributes", {}).get("shown", node.astext()) for node in inline)
        if "toggle" in self.options:
            figure += nodes.raw("", toggle(self.arguments[0]), format="html")
        for classes, svg in drawings.items():
            svg = re.sub(r'(?<=aria-label=")[^"]*', lambda _: html.escape(alt), svg, count=1)
            figure += nodes.raw("", f'<div class="{classes}">{svg}</div>', format="html")
        title = nodes.strong("", f"{self.display}{words['title']}.")
        figure += nodes.caption("", "", title, nodes.Text(" "), *self.inline(self.content))
        figure += nodes.legend("", self.links(words))
        return [figure]


def toggle(name: str) -> str:
    """Radio buttons of a figure, by which the style sheet hides what has another ``data-end``."""
    buttons = "".join(
        f'<label><input type="radio" name="{html.escape(name)}" value="{end}"{" checked" * (end == "both")}>'
        f"<span>{words}</span></label>"
        for end, words in ENDS.items()
    )
    return f'<fieldset class="ends"><legend>Folds</legend>{buttons}</fieldset>'


class ResultTable(Asset):
    """Place a sortable table that a notebook saved."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        words = json.loads(self.read(".json"))
        box = self.anchored(nodes.container(classes=["result", "result-table"]))
        title = nodes.paragraph("", "", nodes.strong("", words["title"]), classes=["table-title"])
        if self.content:
            title += [nodes.Text(" "), *self.inline(self.content)]
        box += [title, nodes.container("", self.table(words), classes=["table-scroll"]), self.links(words)]
        return [box]

    def table(self, words: dict) -> nodes.table:
        """The table itself."""
        body = nodes.tbody("", *(self.row(cells, words) for cells in words["rows"]))
        for row, anchor in zip(body.children, words["anchors"] or (), strict=False):
            self.anchored(row[0], anchor)
        head = nodes.thead("", self.row(words["header"], words, header=True))
        columns = [nodes.colspec(colwidth=1) for _ in words["header"]]
        return nodes.table("", nodes.tgroup("", *columns, head, body, cols=len(columns)), classes=["sortable"])

    def row(self, cells: list[str], words: dict, header: bool = False) -> nodes.row:
        """One row; numbers are aligned to the right, and a verdict gets its tint from its own words."""
        row = nodes.row()
        for column, text in enumerate(cells):
            entry = nodes.entry("", nodes.paragraph("", text))
            if words["numeric"][column]:
                entry["classes"].append("number")
            elif len(text) > LONG:
                entry["classes"].append("long")
            if column in words["filters"]:
                entry["classes"].append("filter" if header else "is-" + nodes.make_id(text))
            if column == words["details"] and not header:
                summary = html.escape(words["header"][column].lower())
                entry.insert(0, nodes.raw("", f"<details><summary>{summary}</summary>", format="html"))
                entry += nodes.raw("", "</details>", format="html")
            row += entry
        return row
