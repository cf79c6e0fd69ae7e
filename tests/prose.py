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

# Why a number may stand in the text. Everything else is live.
ALLOWED = {
    "section, figure, table, appendix": rf"\b(?i:sections?|figures?|tables?|appendix|appendices)\s+{LABELS}",
    "section that a heading opens": r"^\#+\s+\d+(?:\.\d+)*\s",
    "item of a numbered list": r"^\s*\d+[.)]\s",
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
FOUND = {
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
        left = re.sub(pattern, _blank, left, flags=re.MULTILINE)
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
        options = options and bool(re.match(r"\s*:[\w-]+:", line))
        match = FENCE.match(line)
        if match and opened and _closes(match, opened[-1][0]):
            opened.pop()
            line = ""
        elif match and not literal:
            opened.append((match["fence"], _is_literal(match)))
            options = True
            titled = match["directive"] is not None and match["directive"] not in NAMING
            line = match["rest"].rjust(len(line)) if titled else ""
        elif literal or options:
            line = ""
        lines.append(line)
    return "\n".join(left.ljust(len(line)) for left, line in zip(lines, text.split("\n"), strict=True))


def _is_literal(opening: re.Match) -> bool:
    # Backticks without a directive are code; colons without one are a division of the page.
    return opening["directive"] in LITERAL or (opening["directive"] is None and opening["fence"][0] != ":")


def _closes(match: re.Match, fence: str) -> bool:
    closing = match["fence"]
    return closing[0] == fence[0] and len(closing) >= len(fence) and not (match["directive"] or match["rest"].strip())


def _blank(match: re.Match) -> str:
    return _spaces(match[0])


def _keep(match: re.Match) -> str:
    """Leave the group that matched in its place, blank the rest."""
    return _leave(match, [match.span(match.lastindex)])


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
