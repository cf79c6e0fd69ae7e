"""Sphinx extension of the book: places figures and tables of notebooks, and keeps live numbers live.

Directives:

- ``{result-figure} NOTEBOOK/NAME`` and ``{result-table} NOTEBOOK/NAME`` place what a notebook saved. Pages link to it
  by NAME, or by the option ``:name:``, which pages of one kind need: a name may stand only once in a book.
- ``{when} PART`` and ``{unless} PART`` keep their content if the study built fills that part of the book, or not.
- ``{build}`` says what was built, when and from which commit.
"""

import html
import json
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.ext.glue.utils import PendingGlueReference
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from brainalign.paper.numbers import EVIDENCE

LONG = 30  # characters; a cell with more gets room
LIVE = re.compile(r'href="live:([^"#]+)#')


class Asset(SphinxDirective):
    """Shared by figures and tables: finds the files and tells Sphinx that the page depends on them."""

    required_arguments = 1
    has_content = False
    option_spec: ClassVar = {"name": directives.unchanged_required}

    def read(self, ending: str) -> str:
        """Text of one of the asset's files."""
        path = Path(self.env.srcdir, "executed", self.arguments[0] + ending)
        self.env.note_dependency(str(path))
        if not path.exists():
            raise self.error(f"no notebook saved {self.arguments[0]!r}: {path.name} is not in {path.parent.name}/")
        return path.read_text(encoding="utf-8")

    def mark(self, evidence: str | None) -> list[nodes.Node]:
        """The labelled mark that says what a figure or table rests on, if it holds results."""
        if evidence is None:
            return []
        title = html.escape(EVIDENCE[evidence], quote=True)
        mark = f'<span class="mark {evidence}" title="{title}">{evidence}</span>'
        return [nodes.raw("", mark, format="html"), nodes.Text(" ")]

    def links(self, words: dict) -> nodes.paragraph:
        """Line below an asset: its mark, its data, its notebook."""
        target = f"/executed/{self.arguments[0]}.csv"
        download = addnodes.download_reference(reftarget=target, refdoc=self.env.docname)
        download += nodes.inline("", "data (CSV)")
        notebook = addnodes.pending_xref(
            refdomain="std",
            reftype="doc",
            refexplicit=True,
            refwarn=True,
            reftarget=f"/executed/{words['notebook']}",
            refdoc=self.env.docname,
        )
        notebook += nodes.inline("", "notebook")
        line = nodes.paragraph(classes=["asset-links"])
        line.extend([*self.mark(words["evidence"]), download, nodes.Text(" · "), notebook])
        return line

    def inline(self, text: str) -> list[nodes.Node]:
        """MyST text of one paragraph, as inline nodes."""
        container = nodes.container()
        self.state.nested_parse([text], self.lineno, container)
        return [node for paragraph in container.children for node in paragraph.children]

    def anchored(self, node: nodes.Element, name: str) -> nodes.Element:
        """Make a node a target, so that any page can link to it as `[text](#name)`."""
        node["names"].append(nodes.fully_normalize_name(name))
        self.state.document.note_explicit_target(node)
        return node

    @property
    def name_of_asset(self) -> str:
        """The name that it was given; else its own, without the notebook's."""
        return self.options.get("name", self.arguments[0].split("/")[-1])


class ResultFigure(Asset):
    """Place a figure that a notebook saved: the SVG in the page, caption, links."""

    def run(self) -> list[nodes.Node]:
        """Build the figure."""
        words = json.loads(self.read(".json"))
        figure = self.anchored(
            nodes.figure(classes=["result", *(["wide"] if words["wide"] else [])]), self.name_of_asset
        )
        figure += nodes.raw("", f'<div class="drawing">{self.read(".svg")}</div>', format="html")
        caption = nodes.caption()
        caption += nodes.strong("", words["title"] + ".")
        caption += nodes.Text(" ")
        caption.extend(self.inline(words["caption"]))
        figure += caption
        legend = nodes.legend()
        legend += self.links(words)
        figure += legend
        return [figure]


class ResultTable(Asset):
    """Place a sortable table that a notebook saved."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        words = json.loads(self.read(".json"))
        box = self.anchored(nodes.container(classes=["result", "result-table"]), self.name_of_asset)
        title = nodes.paragraph(classes=["table-title"])
        title += nodes.strong("", words["title"])
        if words["caption"]:
            title += nodes.Text(" ")
            title.extend(self.inline(words["caption"]))
        box += title
        scroll = nodes.container(classes=["table-scroll"])
        scroll += self.table(words)
        box += scroll
        box += self.links(words)
        return [box]

    def table(self, words: dict) -> nodes.table:
        """The table itself."""
        table = nodes.table(classes=["sortable"])
        group = nodes.tgroup(cols=len(words["header"]))
        table += group
        for _ in words["header"]:
            group += nodes.colspec(colwidth=1)
        head, body = nodes.thead(), nodes.tbody()
        head += self.row(words["header"], words, header=True)
        for cells, anchor in zip(words["rows"], words["anchors"] or [None] * len(words["rows"]), strict=True):
            row = self.row(cells, words)
            if anchor:
                self.anchored(row[0], anchor)
            body += row
        group += head
        group += body
        return table

    def row(self, cells: list[str], words: dict, header: bool = False) -> nodes.row:
        """One row; numbers are aligned to the right, and a verdict gets its tint from its own words."""
        row = nodes.row()
        for column, text in enumerate(cells):
            entry = nodes.entry()
            if words["numeric"][column]:
                entry["classes"].append("number")
            elif len(text) > LONG:
                entry["classes"].append("long")
            if header and column in words["filters"]:
                entry["classes"].append("filter")
            if not header and column in words["filters"]:
                entry["classes"].append("is-" + nodes.make_id(text))
            paragraph = nodes.paragraph("", text)
            if column == words["details"] and not header:
                summary = html.escape(words["header"][column].lower())
                entry += nodes.raw("", f"<details><summary>{summary}</summary>", format="html")
                entry += paragraph
                entry += nodes.raw("", "</details>", format="html")
            else:
                entry += paragraph
            row += entry
        return row


class When(SphinxDirective):
    """Keep the content if the study fills a part of the book."""

    required_arguments = 1
    has_content = True
    wanted = True

    def run(self) -> list[nodes.Node]:
        """Parse the content, or drop it."""
        path = Path(self.env.srcdir, "executed", "study.json")
        self.env.note_dependency(str(path))
        filled = self.arguments[0] in json.loads(path.read_text(encoding="utf-8"))["parts"]
        if filled is not self.wanted:
            return []
        container = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, container)
        return container.children


class Unless(When):
    """Keep the content if the study does not fill a part of the book."""

    wanted = False


class Build(SphinxDirective):
    """One paragraph: which study was built, when, and from which commit."""

    def run(self) -> list[nodes.Node]:
        """Read what the build noted."""
        path = Path(self.env.srcdir, "executed", "build.json")
        self.env.note_dependency(str(path))
        paragraph = nodes.paragraph(classes=["build"])
        for name, text in json.loads(path.read_text(encoding="utf-8")).items():
            paragraph += nodes.inline("", f"{name} ", classes=["build-name"])
            paragraph += nodes.inline("", text, classes=["build-value"])
            paragraph += nodes.Text(" ")
        return [paragraph]


class LiveLinks(SphinxPostTransform):
    """Make the links of live numbers relative to the page that quotes them; runs after glue has pasted them."""

    default_priority = 6

    def run(self, **kwargs) -> None:
        """Rewrite raw HTML that holds a `live:` link."""

        def relative(match: re.Match) -> str:
            uri = self.app.builder.get_relative_uri(self.env.docname, f"executed/{match[1]}")
            return f'href="{html.escape(uri)}#'

        for node in list(self.document.findall(nodes.raw)):
            if "live:" in node.astext():
                text = LIVE.sub(relative, node.astext())
                node.replace_self(nodes.raw("", text, format="html"))


def note_quoted_notebooks(app: Sphinx, document: nodes.document) -> None:
    """Read a page again whenever a notebook that it quotes has been executed again."""
    for node in document.findall(PendingGlueReference):
        app.env.note_dependency(str(app.env.doc2path(node.refdoc)))


def drop_thebe(app: Sphinx, page: str, template: str, context: dict, document: nodes.document | None) -> None:
    """Leave out the scripts that run cells on a distant server: they name its address, and declare it twice."""
    scripts = context.get("script_files", [])
    own = [script for script in scripts if "thebe" not in f"{script} {getattr(script, 'attributes', {})}".lower()]
    context["script_files"] = own


def show_examples(app: Sphinx, what: str, name: str, described: object, options: object, lines: list[str]) -> None:
    """Make the indented examples of a module's docstring code; to reStructuredText they would be quotations."""
    if what != "module":
        return
    for place in reversed(range(1, len(lines))):
        before = next((line for line in reversed(lines[:place]) if line.strip()), "")
        first = lines[place].startswith("    ") and not lines[place - 1].strip()
        if first and not before.startswith("    ") and not before.endswith("::"):
            lines[place:place] = ["::", ""]


def setup(app: Sphinx) -> dict:
    """Register all of it with Sphinx."""
    app.add_directive("result-figure", ResultFigure)
    app.add_directive("result-table", ResultTable)
    app.add_directive("when", When)
    app.add_directive("unless", Unless)
    app.add_directive("build", Build)
    app.add_post_transform(LiveLinks)
    # Before napoleon, which is loaded first, turns sections into fields.
    app.connect("autodoc-process-docstring", show_examples, priority=100)
    app.connect("doctree-read", note_quoted_notebooks)
    app.connect("html-page-context", drop_thebe, priority=900)  # after those who add scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
