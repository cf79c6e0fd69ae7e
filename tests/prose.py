"""Finds results that somebody typed by hand into the book's prose. A number is live, or it has a reason to be there.

MyST's own parser says what is prose. Of that, what is allowed is blanked; every number that remains is a finding.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

ROOT = Path(__file__).resolve().parents[1]

# A number of a section, figure or table: 4, 4.1, 6B. Several of them: 6B, 6D and 7.
LABEL = r"(?:\d+(?:\.\d+)*[A-Z]?|[A-Z])\b"
LABELS = rf"{LABEL}(?:(?:,|,?\s+and|,?\s+or|\s+to|–|-)\s*{LABEL})*"
TITLE = r"(?:[A-Z]\w*|of|the|and|for|in)"
# What results are counted in; a number of them is no year.
COUNTED = r"(?:pairs|models|bases|tests|claims|comparisons|correlations|families|series)\b"

UNITS = "one|two|three|four|five|six|seven|eight|nine"
TEENS = "eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
# Prose counts up to ten in words. A larger number in words is as suspect as one in digits.
LARGE = rf"(?:(?:{TENS})(?:[- ](?:{UNITS}))?|{TEENS}|hundred|thousand)\b"
WORD = rf"(?:{LARGE}|(?:ten|{UNITS})\b)"
SHARE = r"(?:half|(?:a|one|two|three)[\s-](?:third|quarter|fifth)s?)"
OUTCOME = r"(?:gain|lose|rise|fall|improve|match|differ|agree|disagree|hold|fail|survive)\b"
DIGITS = r"[-+−]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"

HEADING = "# "  # stands before the text of one

# Why a number may stand in the text. Everything else is live.
ALLOWED = {
    "section, figure, table, appendix": rf"\b(?i:sections?|figures?|tables?|appendix|appendices)\s+{LABELS}",
    "section that a heading opens": rf"{HEADING}\d+(?:\.\d+)*\s",
    "name: GPT-2, T5-XL, Pereira2018, SHA-256": r"\b[A-Z][A-Za-z]*(?:[-_]?\d+(?:\.\d+)*[A-Za-z]*)+(?:-\w+)*\b",
    "size in a model's name, panel of a figure": r"\b\d+(?:\.\d+)?[A-Z]\b",
    "version": r"\b(?:[Vv]ersion|Python|CC BY(?:-[A-Z]+)*)\s+\d+(?:\.\d+)*",
    "publication": r"\barXiv[:\s]\s*\d{4}\.\d{4,5}",
    "volume and pages": rf"\*{TITLE}(?:\s+(?:{TITLE}|\d{{4}}))*\*(?:\s+\d+)?(?:,\s+\d+–\d+)?(?=\.)",
    "year": rf"(?<![\d.,])\b(?:19|20)\d\d\b(?!\.\d|\s*%|\s+{COUNTED})",
    "confidence level": r"\b95\s*%\s+(?:confidence\s+)?intervals?\b",
    "threshold of significance": r"\bp\s+below\s+0?\.05\b",
}

# What is left of digits is a result; results in words have these forms. The first that fits names the finding.
RESULTS = {
    "percentage": rf"(?:{DIGITS}|\b{WORD})[\s-]*(?:%|per\s?cent\b|percentage\s+points?\b)",
    "statistic": rf"\b\w+\s*[=<>≤≥≈]\s*{DIGITS}",
    "number": DIGITS,
    "count in words": rf"\b{LARGE}"
    rf"|\b(?:{WORD}\s+(?:out\s+)?of\s+(?:the\s+)?{WORD}|{SHARE}\s+of(?:\s+the|\s+all)?)\s+(?:\w+\s+)?{COUNTED}"
    rf"|\b{WORD}\s+(?:\w+\s+)?{COUNTED}\s+{OUTCOME}",
}

# Directives whose content is no prose, and those whose argument is a name.
LITERAL = {"eval-rst", "raw", "code", "code-block", "code-cell", "math", "literalinclude", "mermaid"}
NAMING = LITERAL | {"result-figure", "result-table", "when", "unless", "container", "figure", "image"}
DIRECTIVE = re.compile(r"\{(?P<name>[\w:-]+)\}\s*(?P<argument>.*)")
OPTION = re.compile(r":(?P<name>[\w-]+):(?P<text>.*)")
SPOKEN = {"alt"}  # options that are read aloud

# Roles that show a live number, or no prose; any other leaves what it shows.
LIVE = {"live", "estimate", "math", "cite"}

# Inline code and math may hold any setting or symbol. A number that stands alone in it, or behind `r =`, is a result.
INLINE_RESULT = re.compile(rf"(?<![\w=(,/.+-]){DIGITS}(?:\s*\\?%)?(?![\w./(-])|\b[rp]\s*[=<>]\s*{DIGITS}")
ADDRESS = re.compile(r"https?://\S+")
SECTION = re.compile(r"\d(?:\.\d)?")


@dataclass(frozen=True)
class Finding:
    """A number typed by hand: where it stands, what kind it is, and the line around it."""

    place: str
    kind: str
    number: str
    line: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind} {self.number!r} in: {self.line}"


def sources() -> list[Path]:
    """Files whose prose is the book's, and the page that opens the repository."""
    return [*sorted(ROOT.glob("book/*.md")), *sorted(ROOT.glob("notebooks/*.ipynb")), *ROOT.glob("README.md")]


def check(path: Path) -> list[Finding]:
    """All findings in a Markdown file or in the Markdown cells of a notebook."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    if path.suffix != ".ipynb":
        return findings(path.read_text(encoding="utf-8"), name)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = {f"{name}, cell {n}": "".join(c["source"]) for n, c in enumerate(cells, 1) if c["cell_type"] == "markdown"}
    return [finding for place, text in texts.items() for finding in findings(text, place)]


def findings(text: str, name: str = "text") -> list[Finding]:
    """All findings in Markdown, in their order; `name` says where it is from."""
    lines, results = text.split("\n"), []
    for first, block in prose(text):
        for start, kind, number in _results(block):
            line = first + block.count("\n", 0, start)
            results.append((line, start, Finding(f"{name}:{line + 1}", kind, number, lines[line].strip())))
    return [finding for *_, finding in sorted(results, key=lambda result: result[:2])]


def prose(text: str, first: int = 0) -> Iterator[tuple[int, str]]:
    """Blocks of Markdown as a reader reads them, and the line on which each begins."""
    heading = ""
    for token in _parser().parse(text):
        start = first + (token.map or [0])[0]
        if token.type == "heading_open":
            heading = HEADING
        elif token.type == "inline":
            yield start, heading + _shown(token.children)
            heading = ""
        elif token.type in ("fence", "colon_fence"):
            yield from _directive(token, start)


@cache
def _parser() -> MarkdownIt:
    extensions = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["parse"]["myst_enable_extensions"]
    return create_md_parser(MdParserConfig(enable_extensions=set(extensions)), RendererHTML)


def _directive(token: Token, start: int) -> Iterator[tuple[int, str]]:
    """Title and content of a directive; backticks without one are code, colons without one a division of the page."""
    directive = DIRECTIVE.match(token.info.strip())
    if not directive:
        yield from prose(token.content, start + 1) if token.type == "colon_fence" else ()
        return
    if directive["name"] not in NAMING:
        yield start, directive["argument"]
    if directive["name"] in LITERAL:
        return
    lines = token.content.split("\n")
    n_options = next((n for n, line in enumerate(lines) if not OPTION.match(line)), len(lines))
    for place, line in enumerate(lines[:n_options], start + 1):
        if (option := OPTION.match(line))["name"] in SPOKEN:
            yield from prose(option["text"].strip(), place)
    yield from prose("\n".join(lines[n_options:]), start + 1 + n_options)


def _shown(children: Sequence[Token]) -> str:
    """Text of a block: without live numbers, tags and addresses, and of code and math what may be a result."""
    text, link = "", None
    for child in children:
        if child.type in ("softbreak", "hardbreak"):
            text += "\n"
        elif child.type == "text":
            text += ADDRESS.sub(" ", child.content)
        elif child.type in ("em_open", "em_close"):
            text += "*"
        elif child.type == "image":
            text += _shown(child.children)
        elif child.type in ("code_inline", "math_inline"):
            text += _only_results(child.content)
        elif child.type == "myst_role" and child.meta["name"].split(":")[0] not in LIVE:
            text += child.content.split("<")[0]
        elif child.type == "link_open":
            link = len(text)
        elif child.type == "link_close" and SECTION.fullmatch(text[link:]):  # a link that is nothing but a section
            text = text[:link]
        else:
            text += " "
    return text


def _only_results(code: str) -> str:
    texts = [match[0] for match in INLINE_RESULT.finditer(code)]
    return f" {' '.join(text for text in texts if re.search(r'[.%=<>]', text))} "


def _results(block: str) -> Iterator[tuple[int, str, str]]:
    """Where in a block a result stands, what kind it is, and itself."""
    for pattern in ALLOWED.values():
        block = re.sub(pattern, _blank, block, flags=re.MULTILINE)
    for kind, pattern in RESULTS.items():
        for match in re.finditer(pattern, block, flags=re.IGNORECASE):
            yield match.start(), kind, " ".join(match[0].split())
        block = re.sub(pattern, _blank, block, flags=re.IGNORECASE)


def _blank(match: re.Match) -> str:
    return re.sub(r"[^\n]", " ", match[0])
