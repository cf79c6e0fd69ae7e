"""Text files of one's own, which spreadsheets save in more than one encoding."""

import codecs
from pathlib import Path

REMEDY = "Save it as UTF-8 (a spreadsheet calls that CSV UTF-8)."


def read(path: Path) -> str:
    """Content of a UTF-8 file; a ValueError names file, row and remedy where it is something else."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{path}: its encoding is UTF-16. {REMEDY}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row, byte = 1 + content[: error.start].count(b"\n"), content[error.start]
        raise ValueError(
            f"{path}: row {row}: the byte 0x{byte:02X} is not UTF-8, but may be Windows-1252 (cp1252). {REMEDY}"
        ) from error
    if "\0" in text:
        row = 1 + text[: text.index("\0")].count("\n")
        raise ValueError(f"{path}: row {row}: it has a NUL byte: it is damaged, or no text, or UTF-16. {REMEDY}")
    return text
