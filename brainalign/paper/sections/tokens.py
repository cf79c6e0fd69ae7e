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
    tokens, texts = (studies.results(study, analysis, names) for analysis in ("tokens", "texts"))
    rows = []
    for model, vanilla in pairs.items():
        for text, own in tokens[tokens.model == model].groupby("text", sort=False):
            base = tokens[(tokens.model == vanilla) & (tokens.text == text)]
            around = [texts[(texts.model == name) & (texts.text == text)] for name in (model, vanilla)]
            parting = "; ".join([*_parting_around(*around), *_parting_inside(own, base)])
            rows.append((model, vanilla, text, "no" if parting else "yes", parting))
    return pd.DataFrame(rows, columns=["model", "vanilla", "text", "same", "parting"])


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
    other = compared[compared.same == "no"]
    words = "; ".join(f"{row.text}: {row.parting}" for row in other.itertuples())
    what = f"other token ids than {compared.vanilla.iloc[0]}, from here on: {words}" if words else ""
    return [Live("tokens", what or f"the same token ids as {compared.vanilla.iloc[0]}", method="in every text")]
