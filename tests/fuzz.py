"""What the tests that fuzz share: how many examples, odd cells, damaged files, and what counts as explained."""

import csv
import io
import os
import warnings
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from brainalign.cli.commands import UNEXPLAINED

EXAMPLES = int(os.environ.get("BRAINALIGN_FUZZ", "0"))
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
# What people put into cells, and what programs do.
ODD = ["", " ", "nan", "NA", "inf", "-inf", "1e400", "1e39", "-999", "-1", "0", "00", "01", " 1", "1.0", "1.5", "2",
       "10", "-0", "1e300", "9" * 20, "1" * 4400, "１", "١", "²", "1_0", "0x1", "True", "None", "\u00a0", "\u200b",
       "\u2028", "\x1c", "\x85", "a\nb", 'q"q', "a,b", "'", "é", "🎉", "👩\u200d👩\u200d👧", "مرحبا", "<s>",
       "</s>", "<|endoftext|>", "...", "–", "x" * 300]  # fmt: skip
CELLS = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def fuzzed(few: int):
    """Settings of a test: a few examples, always the same, or as many others as `BRAINALIGN_FUZZ` says."""
    options = {"database": None, "deadline": None, "suppress_health_check": CHECKS}
    return settings(max_examples=EXAMPLES or few, derandomize=not EXAMPLES, **options)


@st.composite
def damaged(draw, rows):
    """Rows of cells, some of which are other ones, gone, twice there or elsewhere."""
    rows = [list(row) for row in rows]
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["cell"] * 4 + ["gone", "twice", "moved", "longer", "column"]))
        place = draw(st.integers(0, len(rows) - 1))
        if kind == "cell" and rows[place]:
            rows[place][draw(st.integers(0, len(rows[place]) - 1))] = draw(CELLS)
        elif kind == "gone" and len(rows) > 1:
            rows.pop(place)
        elif kind == "twice":
            rows.insert(place, list(rows[place]))
        elif kind == "moved":
            rows.insert(place, rows.pop())
        elif kind == "longer":
            rows[place].append(draw(CELLS))
        elif kind == "column" and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            column = draw(st.integers(0, len(rows[0]) - 1))
            for row in rows:
                row.pop(column)
    return rows


def changed(rows, row, column, cell):
    """Rows of which one cell is another."""
    return [[cell if (i, j) == (row, column) else old for j, old in enumerate(cells)] for i, cells in enumerate(rows)]


@st.composite
def garbled(draw, content):
    """Bytes of which some are other ones, or the end is lacking."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        if content:
            place = draw(st.integers(0, len(content) - 1))
            content[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def table(rows):
    """Rows as a spreadsheet saves them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def explained(load, *paths):
    """What a loader gives, or None where it refuses in a sentence that names one of its files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)  # numpy's, of what should have been refused
        try:
            return load()
        except (ValueError, LookupError, OSError) as error:
            assert not isinstance(error, UNEXPLAINED), error
            assert any(Path(path).name in str(error) for path in paths), error
            return None


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path
