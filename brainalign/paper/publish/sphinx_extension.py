"""Sphinx extension of the book: places figures and tables of notebooks, and keeps live numbers live.

Directives:

- ``{result-figure} NOTEBOOK/NAME`` and ``{result-table} NOTEBOOK/NAME`` place what a notebook saved; their content is
  the caption, and the option ``:alt:`` says what a figure shows. Pages link to it by NAME, or by the option
  ``:name:``, which pages of one kind need: a name may stand only once in a book.
- ``{when} PART`` and ``{unless} PART`` keep their content if the study built fills that part of the book, or not.
- ``{build}`` says what was built, when and from which commit.
- ``{reference} MODULE ...`` says what is in modules of the library; in packages, all that is below them.

Roles, for the numbers that notebooks have shown (`numbers.Live`):

- ``{live}`KEY``` is a number of the notebook that the page's front matter names (``live: NOTEBOOK``), and
  ``{live}`NOTEBOOK:KEY``` that of another. A number that may be missing says what stands in its place:
  ``{live}`KEY|not run```.
- ``{estimate}`KEY``` is a number with its 95 % interval, if it has one, as one link.
"""

import ast
import html
import json
import pkgutil
import re
from functools import lru_cache
from pathlib import Path
from textwrap import dedent, indent

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

from brainalign.paper.publish.asset_directives import ResultFigure, ResultTable, executed
from brainalign.paper.publish.notebook import LIBRARY
from brainalign.paper.publish.numbers import Live, link, live_of

LIVE = re.compile(r'href="live:([^"#]+)#')
STUDY = "-p study STUDY"  # in commands of pages: whichever was built


class When(SphinxDirective):
    """Keep the content if the study fills a part of the book."""

    required_arguments = 1
    has_content = True
    wanted = True

    def run(self) -> list[nodes.Node]:
        """Parse the content, or drop it."""
        parts = json.loads(executed(self.env, "study.json").read_text(encoding="utf-8"))["parts"]
        container = nodes.container()
        if (self.arguments[0] in parts) is self.wanted:
            self.state.nested_parse(self.content, self.content_offset, container)
        return container.children


class Unless(When):
    """Keep the content if the study does not fill a part of the book."""

    wanted = False


class Build(SphinxDirective):
    """One paragraph: which study was built, when, and from which commit."""

    def run(self) -> list[nodes.Node]:
        """Read what the build noted."""
        paragraph = nodes.paragraph(classes=["build"])
        for name, text in json.loads(executed(self.env, "build.json").read_text(encoding="utf-8")).items():
            paragraph += nodes.inline("", f"{name} ", classes=["build-name"])
            paragraph += nodes.inline("", text, classes=["build-value"])
            paragraph += nodes.Text(" ")
        return [paragraph]


class Reference(SphinxDirective):
    """What is in some modules, and in all modules of packages, so that nobody has to list them."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Leave it to autodoc, which knows where each thing is defined."""
        self.env.note_dependency(str(LIBRARY))  # there may be a new module
        names = [name for module in self.arguments[0].split() for name in modules_of(module)]
        text = "\n".join(f".. automodule:: {name}\n   :members:\n   :ignore-module-all:\n" for name in names)
        container = nodes.container()
        self.state.nested_parse(["```{eval-rst}", *text.splitlines(), "```"], self.content_offset, container)
        return container.children


def modules_of(module: str) -> list[str]:
    """A module itself and, if it is a package, all that are below it."""
    below = pkgutil.walk_packages(getattr(pkgutil.resolve_name(module), "__path__", []), f"{module}.")
    return [module, *(name for _, name, _ in below if not name.endswith("__main__"))]


class LiveNumber(SphinxRole):
    """A number that a notebook has shown, or what stands in its place."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.Node]]:
        """Look it up among the numbers of the build."""
        address, *otherwise = self.text.split("|", 1)
        notebook, _, key = address.rpartition(":")
        notebook = notebook or front_matter(self.inliner.document).get("live", "")
        executed(self.env, f"{notebook}.ipynb")
        for name in (key, key.removesuffix(".low").removesuffix(".high")):
            record = numbers_of(self.env).get(f"{notebook}:{name}")
            if record and (text := self.text_of(live_of(record), key)):
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
                node.replace_self(nodes.raw("", LIVE.sub(relative, node.astext()), format="html"))


def drop_thebe(app: Sphinx, page: str, template: str, context: dict, document: nodes.document | None) -> None:
    """Leave out the scripts that run cells on a distant server: they name its address, and declare it twice."""
    scripts = context.get("script_files", [])
    own = [script for script in scripts if "thebe" not in f"{script} {getattr(script, 'attributes', {})}".lower()]
    context["script_files"] = own


def show_examples(app: Sphinx, what: str, name: str, described: object, options: object, lines: list[str]) -> None:
    """Make the examples in a module's docstring code; to reStructuredText they would be prose, or quotations."""
    if what == "module":
        shown, code = [], False
        for paragraph in re.split(r"(?<!::)\n\n", "\n".join(lines)):  # what has its colons already stays
            before, code = code, _is_code(paragraph)
            shown += ["::"] * (code and not before) + [indent(dedent(paragraph), "    ") if code else paragraph]
        lines[:] = "\n\n".join(shown).splitlines()


def _is_code(paragraph: str) -> bool:
    """Whether a paragraph of a docstring is an example: it is indented, or calls something."""
    try:
        tree = ast.parse(dedent(paragraph))
    except SyntaxError:
        return paragraph.startswith("    ")
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


def name_the_study(app: Sphinx, document: str, content: list[str]) -> None:
    """Let commands that run a page's notebook again name the study that was built."""
    if STUDY in content[0]:
        about = json.loads(executed(app.env, "study.json").read_text(encoding="utf-8"))
        content[0] = content[0].replace(STUDY, f"-p study {about['name']}")


def setup(app: Sphinx) -> dict:
    """Register all of it with Sphinx."""
    directives = {"result-figure": ResultFigure, "result-table": ResultTable, "when": When, "unless": Unless}
    for name, directive in (directives | {"build": Build, "reference": Reference}).items():
        app.add_directive(name, directive)
    app.add_role("live", LiveNumber())
    app.add_role("estimate", Estimate())
    app.add_post_transform(LiveLinks)
    app.connect("source-read", name_the_study)
    # Before napoleon, which is loaded first, turns sections into fields.
    app.connect("autodoc-process-docstring", show_examples, priority=100)
    app.connect("html-page-context", drop_thebe, priority=900)  # after those who add scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
