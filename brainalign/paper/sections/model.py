"""One model of a study: its shape, the states of its layers, what surprises it, and where it stands.

Tables are those of `study.results`, of the one model.
"""

import numpy as np
import pandas as pd

from brainalign import study as studies
from brainalign.alignment.summary import POOLED
from brainalign.paper.publish.numbers import Live, number
from brainalign.paper.sections import columns, placing, scores
from brainalign.paper.sections.estimates import OVER_PARTICIPANTS, Finding, lives
from brainalign.study import Study
from brainalign.study.description.members import CONTROL

NORMS = ["text", "layer", "stack", "depth", "norm", "low", "high"]
TEXTS = ["text", "what", "parts", "tokens", "parts_encoded_anew", "special_tokens", "read_as"]
NOT_COMPARED = "Nothing here was measured on the paper's text and people"
WORDS = ["story", "position", "sentence", "text", "surprisal"]
COLUMNS_OF_BRAIN = columns.named("protocol", "dataset") | columns.numbers(".3f", r="r", ceiling="Ceiling")
COLUMNS_OF_BRAIN |= {"layer": "Layer", "layer_choice": "Layer chosen"}
COLUMNS_OF_DIFFERENCES = columns.named("protocol", "against") | columns.interval("+.3f", estimate="r or Δr")
COLUMNS_OF_DIFFERENCES |= {"role": "Which is", "verdict": "In words"}


def measured(study: Study, model: str) -> tuple[Study, str]:
    """The study with a model in it, which is measured if it is not among the study's own, and the model's name there.

    Raises
    ------
    ValueError
        The study has no text to read.
    """
    own, name = studies.with_model(study, model)
    if not (own.recordings or own.reading_times):
        raise ValueError(f"study {own.name!r} has neither recordings nor reading_times, so there is no text")
    if own is not study:
        studies.run(own, name)
    return own, name


def numbers_of_shape(shape: pd.Series) -> list[Live]:
    """How many parameters and layers, of which width and kind; `shape` is the row of the analysis ``model``."""
    limited = pd.notna(shape.n_positions)
    return [
        Live("parameters", shape.n_parameters, ",d"),
        Live("layers", shape.n_layers, "d", method="blocks; encoder and decoder together where there are both"),
        Live("width", shape.width, "d", method="features of a state"),
        Live("vocabulary", shape.n_vocabulary, ",d"),
        Live("positions", f"{shape.n_positions:,d}" if limited else "any number", method="tokens read at once"),
        Live("kind", "encoder-decoder" if shape.encoder_decoder else "causal"),
        Live("quantization", shape.get("quantization") or "none", method="of the weights, before they were unpacked"),
    ]


def numbers_of_texts(texts: pd.DataFrame) -> list[Live]:
    """What was read to get states, as ``TEXT.parts``, ``TEXT.tokens`` and ``TEXT.anew``."""
    overlap, anew = "tokens read; windows of a long text overlap", "parts whose beginning was read anew"
    states = texts[texts.what == "states"]
    return [
        *lives(states, "{text}.parts", ",d", value="parts"),
        *lives(states, "{text}.tokens", ",d", value="tokens", method=overlap),
        *lives(states, "{text}.anew", "d", value="parts_encoded_anew", method=anew),
    ]


def finding_of_norms(norms: pd.DataFrame) -> Finding:
    """How much states grow."""
    ends = norms.groupby(["text", "stack"]).norm.agg(["first", "last"])
    growth = (ends["last"] / ends["first"]).median()
    method = "norm of the last layer over that of layer 0, median over texts and stacks"
    grow = "grow from layer to layer" if growth > 1 else "do not grow from the first layer to the last"
    return Finding([Live("norm.factor", growth, ".1f", method=method)], f"States {grow}")


def similarity(layers: pd.DataFrame) -> pd.DataFrame:
    """Linear CKA of every two layers on the first text, layer x layer; the index has the name of the text."""
    rows = layers[layers.text == layers.text.iloc[0]]
    names = rows.layer.unique()  # in their order
    square = rows.pivot(index="layer", columns="other", values="cka").loc[names, names]
    return square.rename_axis(index=rows.text.iloc[0])


def finding_of_similarity(similarity: pd.DataFrame) -> Finding:
    """Similarity of the first and the last layer, and the least of two layers in sequence."""
    text, ends, neighbors = similarity.index.name, similarity.iloc[0, -1], np.diag(similarity, 1).min()
    numbers = [
        Live("cka.ends", ends, ".2f", method=f"linear CKA of the first and the last layer that vary, {text}"),
        Live("cka.neighbors", neighbors, ".2f", method=f"least linear CKA of two layers in sequence, {text}"),
        Live("cka.text", text),
    ]
    if neighbors > ends:
        return Finding(numbers, "Each layer resembles the one before it more than the first resembles the last")
    return Finding(numbers, "The first and the last layer resemble each other as much as adjacent layers do")


def numbers_of_surprisal(words: pd.DataFrame, texts: pd.DataFrame, behavior: pd.DataFrame) -> list[Live]:
    """Mean surprisal, how a first word is scored, and correlations with what people did; nothing without words."""
    if words.empty:
        return []
    dataset = words.dataset.iloc[0]
    first_word = texts[(texts.what == "surprisal") & (texts.text == dataset)].first_word.iloc[0]
    mean = words.surprisal[words.dataset == dataset]
    correlations = numbers_of_correlations(words, behavior)
    phrases = [f"{what} at {correlation.texts()[correlation.key]}" for what, correlation in correlations.items()]
    return [
        Live("surprisal.mean", mean.mean(), ".1f", " bits", n=len(mean), method="mean over words"),
        Live("surprisal.first-word", first_word, method="how the first word of a story is scored"),
        *correlations.values(),
        *_in_words("surprisal.correlations", phrases),
    ]


def numbers_of_correlations(words: pd.DataFrame, behavior: pd.DataFrame) -> dict[str, Live]:
    """Correlations of surprisal with a yardstick and with reading times, by what it correlates with."""
    numbers = {}
    if "yardstick" in words:
        both, whose = words[["surprisal", "yardstick"]].dropna(), words.whose.dropna().iloc[0]
        r = both.corr().iloc[0, 1]
        numbers[whose] = Live("surprisal.yardstick.r", r, ".2f", n=len(both), method=f"Pearson r with {whose}")
    for row in behavior[(behavior.measure == "r") & (behavior.story == "all")].itertuples():
        key = f"surprisal.times.{row.dataset}.{row.alignment}.r"
        times = Live(key, row.value, ".2f", n=row.n_words, method="Pearson r with reading times")
        numbers[f"the times of {row.dataset}, {row.alignment} alignment,"] = times
    return numbers


def first_words(words: pd.DataFrame, n: int) -> dict[str, pd.DataFrame]:
    """The first words of the first story, as a figure of the name ``surprisal``; nothing without words."""
    if words.empty:
        return {}
    first = words.iloc[0]
    return {"surprisal": words.loc[(words.dataset == first.dataset) & (words.story == first.story), WORDS].head(n)}


def finding_of_words(shown: pd.DataFrame) -> Finding:
    """The most surprising of the words shown."""
    most = shown.loc[shown.surprisal.idxmax()]
    number = Live("surprisal.most", most.surprisal, ".0f", " bits", method=f"of the words shown: {most.text}")
    return Finding([number], f"Of these words, “{most.text.strip('.,;:!?')}” surprises it the most")


def placed(results: pd.DataFrame, roles: dict[str, str]) -> pd.DataFrame:
    """Values of the model and its counterparts, without controls, on the axes of the interactive scatter."""
    counterparts = [name for name, role in roles.items() if role != CONTROL]
    return placing.on_axes(results[results.model.isin(counterparts)])


def finding_of_place(placed: pd.DataFrame, name: str) -> Finding:
    """Where the model lies on each axis, as ``axis.AXIS``, in words, and which axes are of other text than the paper's.

    `placed` is of `placing.beside_printed`; the title is about what can be compared.
    """
    own = placed[placed.model == name]
    values = [f"{row.label} {number(row.value, '.3f')}" for row in own.itertuples()]
    numbers = [
        *lives(own, "axis.{axis}", ".3f", value="value", method="measured on {of}"),
        *lives(own, "axis.{axis}.above", value="above", method="printed models below this one"),
        *_in_words("placed.values", values),
        *_in_words("placed.elsewhere", sorted(set(own.label[~own.same]))),
    ]
    compared = own[own.same & (own.axis != "log_size")].itertuples()
    above = [f"{row.above} printed models in {row.label.split(' (')[0]}" for row in compared]
    return Finding(numbers, f"Above {', '.join(above)}" if above else NOT_COMPARED)


def _in_words(key: str, parts: list[str]) -> list[Live]:
    """Parts of a caption as one number, or nothing without them."""
    return [Live(key, "; ".join(parts))] if parts else []


def brain(results: pd.DataFrame) -> pd.DataFrame:
    """Brain scores, experiments of one data set averaged (`scores.over_data_sets`); empty without a recording."""
    rows = results[results.analysis == "brain"]
    return rows if rows.empty else scores.over_data_sets(rows)


def differences(brain: pd.DataFrame, roles: dict[str, str], study: Study) -> pd.DataFrame:
    """Brain alignment of the model, and what it is above its counterparts and controls (`placing.held_against`)."""
    return brain if brain.empty else placing.held_against(brain, roles, scores.chosen_protocols(study, ""))


def numbers_of_differences(differences: pd.DataFrame) -> list[Live]:
    """Estimates as ``brain.PROTOCOL`` and ``brain.PROTOCOL.OTHER``, and the protocols under which it lies above."""
    if differences.empty:
        return []
    rows = differences.assign(key=("brain." + differences.protocol + "." + differences.against).str.rstrip("."))
    protocols, method = placing.protocols_above(differences), "by 95 % intervals over participants"
    return [
        *lives(rows, "{key}", ".3f", method=f"{{protocol}}; {OVER_PARTICIPANTS}"),
        *(Live(f"brain.{key}", names, method=method) for key, names in protocols.items()),
    ]


def tables(brain: pd.DataFrame, differences: pd.DataFrame, name: str) -> dict[str, dict]:
    """Arguments of `Notebook.table`: scores, and differences; nothing without a recording."""
    if brain.empty:
        return {}
    chosen = scores.whole(brain[brain.model == name])
    chosen = chosen[chosen.chosen.eq(True) & (chosen.participant == POOLED)]
    table = {"data": chosen, "title": f"Brain alignment of {name}.", "columns": COLUMNS_OF_BRAIN}
    title = f"{name} itself, and minus its counterparts and controls, inside participants."
    against = {"data": differences, "title": title, "columns": COLUMNS_OF_DIFFERENCES, "filters": ("protocol",)}
    return {"brain": table, "held-against": against}
