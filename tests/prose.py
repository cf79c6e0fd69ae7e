"""Finds results that somebody typed by hand into the book's prose. A number is live, or it has a reason to be there.

The text of a file is blanked step by step, each character in its place, so that what is left keeps its line: first
what is no prose, then what is allowed. Every number that remains is a finding.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A number of a section, figure or table: 4, 4.1, 6B. Several of them: 6B, 6D and 7.
LABEL = r"(?:\d+(?:\.\d+)*[A-Z]?|[A-Z])\b"
LABELS = rf"{LABEL}(?:(?:,|,?\s+and|,?\s+or|\s+to|–|-)\s*{LABEL})*"
# What results are counted in; a number of them is no year.
COUNTED = r"(?:pairs|models|bases|tests|claims|comparisons|correlations|families|series|stories|words|readers|people)"

UNITS = "one|two|three|four|five|six|seven|eight|nine"
TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
LARGE = rf"(?:(?:{TENS})(?:[- ](?:{UNITS}))?|{TEENS.removeprefix('ten|')}|hundred|thousand)"
WORD = rf"(?:{LARGE}|ten|{UNITS})"
DIGITS = r"[-+−]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"

# Why a number may stand in the text. Everything else is live.
ALLOWED = {
    "number of a section, figure, table, appendix": rf"\b(?:sections?|figures?|tables?|appendix|appendices)\s+{LABELS}",
    "number of the section that a heading opens": r"^\#+\s+\d+(?:\.\d+)*\s",
    "number of a list's item": r"^\s*\d+[.)]\s",
    "name with a number in it, from GPT-2 and T5-XL to Pereira2018": r"\b[a-z]+(?:[-_]?\d+(?:\.\d+)*[a-z]*)+(?:-\w+)*\b",
    "size that names a model, panel that names a figure": r"\b\d+(?:\.\d+)?[A-Z]\b",
    "version": r"\b(?:python|version|CC\s+BY(?:-[A-Z]+)*)\s+\d+(?:\.\d+)*",
    "identifier of a publication": r"\barXiv[:\s]\s*\d{4}\.\d{4,5}",
    "volume and pages after a journal in italics": r"(?<=[^\s*]\*)(?:,?\s+\d+)?(?:,\s+\d+[–-]\d+)?(?=\.)",
    "year": rf"\b(?:19|20)\d\d\b(?!\s+{COUNTED})",
    "confidence level": r"\b95\s*%\s+(?:confidence\s+)?intervals?\b",
    "threshold of significance": r"\bp\s+below\s+0?\.05\b",
}

# Every number that is left is a result, and some are written in words.
FOUND = {
    "percentage": rf"(?:{DIGITS}|\b{WORD})[\s-]*(?:%|per\s?cent\b|percentage\s+points?\b)",
    "statistic": rf"\b\w+\s*[=<>≤≥≈]\s*{DIGITS}",
    "number": DIGITS,
    "count in words": rf"\b{LARGE}\b"
    rf"|\b{WORD}\s+(?:out\s+)?of\s+(?:the\s+)?{WORD}\s+(?:\w+\s+)?{COUNTED}\b"
    rf"|\b(?:half|(?:a|one|two|three)[\s-](?:thirds?|quarters?|fifths?))\s+of\s+(?:the\s+|all\s+)?{COUNTED}\b",
}

# Directives whose content is no prose, and those whose argument is a name.
LITERAL = {"eval-rst", "raw", "code", "code-block", "code-cell", "math", "literalinclude", "mermaid"}
NAMING = LITERAL | {"result-figure", "result-table", "when", "unless", "container", "figure", "image"}
FENCE = re.compile(r"\s*(?P<fence>`{3,}|:{3,}|~{3,})\s*(?:\{(?P<directive>[\w:-]+)\})?(?P<rest>.*)")

# Inline code and math may hold any setting or symbol. A number that stands alone in it, or behind `r =`, is a result.
INLINE_RESULT = re.compile(rf"(?<![\w=(,/.+-]){DIGITS}(?:\s*\\?%)?(?![\w./(-])|\b[rp]\s*[=<>]\s*{DIGITS}")


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
    left = prose(text)
    for pattern in ALLOWED.values():
        left = re.sub(pattern, _blank, left, flags=re.MULTILINE | re.IGNORECASE)
    found = {}
    for kind, pattern in FOUND.items():
        for match in re.finditer(pattern, left, flags=re.IGNORECASE):
            found[match.start()] = (kind, " ".join(match[0].split()))
        left = re.sub(pattern, _blank, left, flags=re.IGNORECASE)
    lines = text.split("\n")
    numbers = {start: text.count("\n", 0, start) for start in sorted(found)}
    return [Finding(f"{name}:{n + 1}", *found[start], lines[n].strip()) for start, n in numbers.items()]


def prose(text: str) -> str:
    """Markdown with everything blanked that a reader does not read as prose."""
    text = _without_literal_blocks(text)
    text = re.sub(r"\A---\n.*?\n---\n|<!--.*?-->|\$\$.*?\$\$", _blank, text, flags=re.DOTALL)
    text = re.sub(r"^%.*$|^\([\w.-]+\)=$", _blank, text, flags=re.MULTILINE)
    # Roles: a live number goes altogether, any other leaves what it shows.
    text = re.sub(r"\{(?:glue:\w*|math|cite[\w:]*)\}`[^`]*`", _blank, text)
    text = re.sub(r"\{[\w:-]+\}`(?:([^`<]*)<[^`>]*>|([^`]*))`", _keep, text)
    text = re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", _inline, text, flags=re.DOTALL)
    text = re.sub(r"(?<![\\$\w])(\$)(?![\s$])(.+?)(?<![\s\\])\$(?!\d)", _inline, text, flags=re.DOTALL)
    # Addresses, tags and attributes; a link that is nothing but a section's number is one.
    text = re.sub(r"\[\d(?:\.\d)?\]\([\w./-]+\.md\)", _blank, text)
    text = re.sub(r"\]\([^)\s]*\)|<https?://[^>]*>|https?://\S+", _blank, text)
    return re.sub(r"</?[a-z][^<>]*>|\{[#.][^}]*\}", _blank, text, flags=re.IGNORECASE)


def _without_literal_blocks(text: str) -> str:
    """Blank code, and of directives all but their content and titles."""
    lines, opened, options = [], [], False
    for line in text.split("\n"):
        literal = bool(opened) and opened[-1][1]
        match = FENCE.match(line)
        if match and opened and _closes(match, opened[-1][0]):
            opened.pop()
            line = ""
        elif match and not literal:
            directive = match["directive"]
            # A fence of backticks without a directive is code; one of colons is a div.
            is_literal = directive in LITERAL or (directive is None and match["fence"][0] != ":")
            opened.append((match["fence"], is_literal))
            title = directive is not None and directive not in NAMING
            line = " " * match.start("rest") + match["rest"] if title else ""
        elif literal or (options and re.match(r"\s*:[\w-]+:", line)):
            line = ""
        options = bool(match) or (options and not line)
        lines.append(line)
    return _padded(lines, text)


def _closes(match: re.Match, fence: str) -> bool:
    closing = match["fence"]
    return closing[0] == fence[0] and len(closing) >= len(fence) and not (match["directive"] or match["rest"].strip())


def _padded(lines: list[str], text: str) -> str:
    """Lines as long as those of the text."""
    return "\n".join(line.ljust(len(old)) for line, old in zip(lines, text.split("\n"), strict=True))


def _blank(match: re.Match) -> str:
    return _spaces(match[0])


def _keep(match: re.Match) -> str:
    """Leave the first group that matched in its place, blank the rest."""
    group = match.lastindex or 0
    return _leave(match, [match.span(group)])


def _inline(match: re.Match) -> str:
    """Leave only results of inline code or math."""
    start = match.start(2)
    spans = [(start + found.start(), start + found.end()) for found in INLINE_RESULT.finditer(match[2])]
    return _leave(match, [(a, b) for a, b in spans if re.search(r"[.%=<>]", match.string[a:b])])


def _leave(match: re.Match, spans: list[tuple[int, int]]) -> str:
    kept = list(_spaces(match[0]))
    for start, end in spans:
        kept[start - match.start() : end - match.start()] = match.string[start:end]
    return "".join(kept)


def _spaces(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
