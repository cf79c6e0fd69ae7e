"""Where a result comes from: the study's settings and the software."""

import platform
import re
import tomllib
from importlib import metadata

import pandas as pd

from brainalign import store
from brainalign.study import Study


def software() -> pd.DataFrame:
    """Versions of Python and of all direct dependencies.

    Returns
    -------
    DataFrame
        ``name`` and ``version``, Python first.
    """
    project = tomllib.loads((store.PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = ["brainalign", *(re.match(r"[A-Za-z0-9._-]+", line)[0] for line in project["dependencies"])]
    rows = [("python", platform.python_version())] + [(name, metadata.version(name)) for name in names]
    return pd.DataFrame(rows, columns=["name", "version"])


def settings(study: Study) -> pd.DataFrame:
    """Settings of a study, with what each means.

    Returns
    -------
    DataFrame
        ``setting``, ``value`` (as text) and ``meaning``.
    """
    rows = []
    for name, field in Study.model_fields.items():
        value = getattr(study, name)
        text = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
        rows.append({"setting": name, "value": text or "none", "meaning": field.description or ""})
    return pd.DataFrame(rows)
