"""Whether a tuned model reads the same token ids as its vanilla model, text by text, and where they part first."""

from collections.abc import Mapping

import pandas as pd

from brainalign import study as studies
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections import columns, estimates
from brainalign.study import Study

COLUMNS = columns.named("model", "vanilla", "text") | {"same": "Same token ids", "parting": "Where they part first"}


def pairs(study: Study) -> dict[str, str]:
    """Vanilla model of each tuned model, where the study runs both."""
    models = studies.models(study)
    own = models[models.origin == "model"]
    return own.vanilla[own.vanilla.isin(own.index)].to_dict()


def compared(study: Study, pairs: Mapping[str, str]) -> pd.DataFrame:
    """Each text of each pair: ``model``, ``vanilla``, ``text``, ``same`` (yes or no) and ``parting``, in words."""
    names = [*pairs, *pairs.values()]
    tokens, texts = (_by_model_and_text(studies.results(study, analysis, names)) for analysis in ("tokens", "texts"))
    rows = []
    for model, vanilla in pairs.items():
        for text in [text for name, text in tokens if name == model]:
            around = _parting_around(texts[model, text], texts[vanilla, text])
            parting = "; ".join([*around, *_parting_inside(tokens[model, text], tokens[vanilla, text])])
            rows.append((model, vanilla, text, "no" if parting else "yes", parting))
    return pd.DataFrame(rows, columns=["model", "vanilla", "text", "same", "parting"])


def _by_model_and_text(results: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    return {} if results.empty else dict(iter(results.groupby(["model", "text"], sort=False)))


def _parting_around(own: pd.DataFrame, base: pd.DataFrame) -> list[str]:
    """The special tokens around each passage, where they are others."""
    both = own.merge(base, on="what", suffixes=("", "_base"))
    other = both[both.special_tokens != both.special_tokens_base]
    return [
        f"{row.what}: {row.special_tokens or 'nothing'} around each passage, not {row.special_tokens_base or 'nothing'}"
        for row in other.itertuples()
    ]


def _parting_inside(own: pd.DataFrame, base: pd.DataFrame) -> list[str]:
    """The first part of a text whose token ids are others."""
    other = own[own.ids.to_numpy() != base.ids.to_numpy()].head(1)
    return [f"passage {row.passage}, part {row.part} (“{row.word[:40]}”), on" for row in other.itertuples()]


def tables(compared: pd.DataFrame) -> dict[str, dict]:
    """Arguments of `Notebook.table`; nothing without pairs."""
    title = f"{_same(compared)} tuned models read the same token ids as their vanilla models."
    return {"pairs-tokens": {"data": compared, "title": title, "columns": COLUMNS}} if len(compared) else {}


def numbers_of_pairs(compared: pd.DataFrame) -> list[Live]:
    """How many pairs read the same token ids in all texts; nothing without pairs."""
    return [Live("tokens.same", _same(compared), method="tuned models, in every text")] if len(compared) else []


def _same(compared: pd.DataFrame) -> str:
    return estimates.share((compared.same == "yes").groupby(compared.model).all())


def numbers_of_model(compared: pd.DataFrame) -> list[Live]:
    """Whether a model reads as its vanilla model does, in words; nothing without one."""
    if compared.empty:
        return []
    base, other = compared.vanilla.iloc[0], compared[compared.same == "no"]
    words = "; ".join(f"{row.text}: {row.parting}" for row in other.itertuples())
    what = f"other than those of {base}, from here on: {words}" if words else f"those of {base} in every text"
    return [Live("tokens", what, method="ids of all parts, and special tokens around passages")]
