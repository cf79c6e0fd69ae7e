"""Sphinx extension of the book: places figures and tables of notebooks, and keeps live numbers live.

Directives:

- ``{result-figure} NOTEBOOK/NAME`` and ``{result-table} NOTEBOOK/NAME`` place what a notebook saved; their content is
  the caption, and the option ``:alt:`` says what a figure shows. Pages link to it by NAME, or by the option
  ``:name:``, which pages of one kind need: a name may stand only once in a book.
- ``{when} PART`` and ``{unless} PART`` keep their content if the study built fills that part of the book, or not.
- ``{build}`` says what was built, when and from which commit.

Roles, for the numbers that notebooks have shown (`numbers.Live`):

- ``{live}`KEY` `` is a number of the notebook that the page's front matter names (``live: NOTEBOOK``), and
  ``{live}`NOTEBOOK:KEY` `` that of another. A number that may be missing says what stands in its place:
  ``{live}`KEY|not run` ``.
- ``{estimate}`KEY` `` is a number with its 95 % interval, if it has one, as one link.
"""

import html
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

from brainalign import catalog
from brainalign.paper.publish.numbers import EVIDENCE, Live, link, live_of

LONG = 30  # characters; a cell with more gets room
LIVE = re.compile(r'href="live:([^"#]+)#')


class Asset(SphinxDirective):
    """Shared by figures and tables: finds the files and tells Sphinx that the page depends on them."""

    required_arguments = 1
    has_content = True
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

    def inline(self, lines: Sequence[str]) -> list[nodes.Node]:
        """MyST text as inline nodes; paragraphs, some of which ``{when}`` may keep, run on."""
        container, together = nodes.container(), []
        self.state.nested_parse(lines, self.content_offset, container)
        for paragraph in container.children:
            together += [*paragraph.children, nodes.Text(" ")]
        return together[:-1]

    def anchored(self, node: nodes.Element, name: str) -> nodes.Element:
        """Make a node a target, so that any page can link to it as `[text](#name)`."""
        node["names"].append(nodes.fully_normalize_name(name))
        self.state.document.note_explicit_target(node)
        return node

    @property
    def name_of_asset(self) -> str:
        """The name that it was given; else its own, without the notebook's."""
        return self.options.get("name", self.arguments[0].split("/")[-1])

    @property
    def display(self) -> str:
        """Which of the paper's displays it is, on the printed scores or on this study, if it is one."""
        for row in catalog.displays().itertuples():
            if self.arguments[0] in (row.printed, row.study):
                return f"{row.display}{'' if self.arguments[0] == row.printed else ', on this study'}. "
        return ""


class ResultFigure(Asset):
    """Place a figure that a notebook saved: the SVG in the page, caption, links."""

    option_spec: ClassVar = Asset.option_spec | {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Build the figure."""
        words, svg = json.loads(self.read(".json")), self.read(".svg")
        figure = self.anchored(
            nodes.figure(classes=["result", *(["wide"] if words["wide"] else [])]), self.name_of_asset
        )
        if not (self.content and "alt" in self.options):
            raise self.error(f"{self.arguments[0]} has no caption, or no :alt: that says what it shows")
        alt = html.escape("".join(shown(self.inline([self.options["alt"]]))))
        svg = re.sub(r'(?<=aria-label=")[^"]*', lambda _: alt, svg, count=1)
        figure += nodes.raw("", f'<div class="drawing">{svg}</div>', format="html")
        caption = nodes.caption()
        caption += nodes.strong("", f"{self.display}{words['title']}.")
        caption += nodes.Text(" ")
        caption.extend(self.inline(self.content))
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
        if self.content:
            title += nodes.Text(" ")
            title.extend(self.inline(self.content))
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


class LiveNumber(SphinxRole):
    """A number that a notebook has shown, or what stands in its place."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.Node]]:
        """Look it up among the numbers of the build."""
        address, *otherwise = self.text.split("|", 1)
        notebook, _, key = address.rpartition(":")
        notebook = notebook or front_matter(self.inliner.document).get("live", "")
        self.env.note_dependency(str(Path(self.env.srcdir, "executed", f"{notebook}.ipynb")))
        ending = next((end for end in (".low", ".high") if key.endswith(end)), "")
        for name in (key, key.removesuffix(ending)):
            if record := numbers_of(self.env).get(f"{notebook}:{name}"):
                text = self.text_of(live_of(record), key)
                if text:
                    return [nodes.raw(text, link(record, text), format="html", shown=text)], []
        if otherwise:
            return [nodes.Text(otherwise[0])], []
        message = f"{notebook or 'a notebook that no front matter names'} has shown no number {key!r}"
        return [], [self.inliner.reporter.error(message, line=self.lineno)]

    def text_of(self, live: Live, key: str) -> str:
        """What stands in the page."""
        return live.texts().get(key, "")


class Estimate(LiveNumber):
    """A number with its interval, if it has one."""

    def text_of(self, live: Live, key: str) -> str:
        """What stands in the page."""
        return live.estimate() if live.key == key else ""


def front_matter(document: nodes.document) -> dict[str, str]:
    """Front matter of the page that is being read."""
    first = document.children[0] if document.children else None
    listed = first if isinstance(first, nodes.field_list) else ()
    return {field[0].astext(): field[1].astext() for field in listed}


def numbers_of(env: BuildEnvironment) -> dict[str, dict]:
    """Numbers of the build that is being read, as `numbers.collected` has them."""
    path = Path(env.srcdir, "executed", "numbers.json")
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(1)
def _read(path: Path, written: int) -> dict[str, dict]:
    return json.loads(path.read_text(encoding="utf-8"))


def shown(found: Sequence[nodes.Node]) -> list[str]:
    """Text of inline nodes as a reader sees it, live numbers included."""
    return [node.get("shown", node.astext()) if isinstance(node, nodes.raw) else node.astext() for node in found]


class LiveLinks(SphinxPostTransform):
    """Make the links of live numbers relative to the page that quotes them."""

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
    app.add_role("live", LiveNumber())
    app.add_role("estimate", Estimate())
    app.add_post_transform(LiveLinks)
    # Before napoleon, which is loaded first, turns sections into fields.
    app.connect("autodoc-process-docstring", show_examples, priority=100)
    app.connect("html-page-context", drop_thebe, priority=900)  # after those who add scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
