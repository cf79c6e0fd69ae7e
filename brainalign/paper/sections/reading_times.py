"""Section 5's readers: who read what, how long they took, and whether times and words are aligned."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainalign.alignment.behavior import lag_profile, reliability_of_means
from brainalign.llm.reading import series
from brainalign.paper.claims.retest import comparable
from brainalign.paper.publish.numbers import Live
from brainalign.paper.sections.estimates import Finding, lives
from brainalign.study import Study
from brainalign.study.description import loading

EARLY = 0.1  # r with the next word above which reading times come too early
LAGS = range(-3, 4)
EXAMPLES = ("gpt2", "Llama-2-7b-hf")  # series whose lags are shown, where a study has them


@dataclass(frozen=True)
class Readers:
    """One set of readers, and the behavioral alignment of the models that can be compared on them.

    `words` has, by alignment of the times with the words, a row a word of ``study.results(study, "reading")``; `scores`
    are rows of ``study.results``.
    """

    dataset: str
    words: dict[str, pd.DataFrame]
    scores: pd.DataFrame

    @property
    def alignments(self) -> list[str]:
        """How the times are aligned with the words, in the study's order."""
        return list(self.words)

    @property
    def simulated(self) -> bool:
        """Whether the true surprisal of each word is known."""
        return "exact" in set(self.scores.measure)

    @property
    def measures(self) -> list[str]:
        """Measures of `alignment.behavior` that there are."""
        return ["r", "ppp", *(["exact"] if self.simulated else [])]

    @property
    def models(self) -> pd.DataFrame:
        """A row a model: family, kind, base and size."""
        return self.scores.drop_duplicates("model")[["model", "family", "kind", "vanilla", "parameters"]]

    def reliability(self, alignment: str) -> float:
        """Reliability of the mean reading times, from their standard deviations and counts."""
        words = self.words[alignment]
        return reliability_of_means(words.reading_time, words.sd, words.n_readers)


def sets_of_readers(study: Study, results: pd.DataFrame, words: pd.DataFrame) -> list[Readers]:
    """All readers of a study, in its order; tables are ``study.results(study)`` and those of its ``reading``."""
    tables = dict(list(words.groupby(["dataset", "alignment"])))
    return [
        Readers(
            name,
            {alignment: tables[name, alignment] for alignment in loading.alignments(study, dataset)},
            comparable(results[results.dataset == name]),
        )
        for name, dataset in zip(study.reading_time_names, study.reading_times, strict=True)
    ]


def against_twins(results: pd.DataFrame) -> pd.DataFrame:
    """Correlation of surprisal with reading times of each model that has untrained twins, and the mean of theirs.

    A row a ``dataset``, ``alignment`` and ``model``, the largest model first: ``trained`` with ``low`` and ``high``
    over stories, ``untrained``. `results` are those of ``study.results(study)``.
    """
    rows = results[(results.measure == "r") & (results.story == "all") & (results.origin == "model")]
    keys = ["dataset", "alignment"]
    twins = rows.dropna(subset="twin_of").groupby([*keys, "twin_of"]).value.mean().rename("untrained")
    trained = rows.rename(columns={"value": "trained"}).join(twins, on=[*keys, "model"]).dropna(subset="untrained")
    trained = trained.sort_values("parameters", ascending=False, kind="stable")
    return trained[[*keys, "model", "trained", "low", "high", "untrained"]].reset_index(drop=True)


def numbers_of_twins(twins: pd.DataFrame) -> list[Live]:
    """Of the largest model that has twins, as ``twins.DATASET.ALIGNMENT.trained`` and ``.untrained``."""
    if twins.empty:
        return []
    largest = twins[twins.model == twins.model.iloc[0]]
    key = "twins.{dataset}.{alignment}"
    return [
        Live("twins.model", largest.model.iloc[0]),
        *lives(largest, f"{key}.trained", ".3f", value="trained", method="{model}; interval over stories"),
        *lives(largest.drop(columns=["low", "high"]), f"{key}.untrained", ".3f", value="untrained", method="its twins"),
    ]


def by_story(words: pd.DataFrame) -> pd.DataFrame:
    """Number of words, mean reading time (ms) and median number of readers of each story."""
    parts = {"words": ("text", "size"), "mean": ("reading_time", "mean"), "readers": ("n_readers", "median")}
    return words.groupby("story").agg(**parts)


def numbers_of_people(readers: Readers) -> list[Live]:
    """Who read how much, how reliable their mean times are, and which models are compared with them."""
    first = readers.alignments[0]
    words, models = readers.words[first], readers.models
    whose, context = "of this study", "the story so far, as much of it as it can hold"
    if (readers.scores.origin == "series").all():
        whose, context = _whose_series(readers.scores)
    reliability = "of the word means, from their standard deviations and counts"
    n_readers = words.n_readers.median()
    n_readers = n_readers if np.isfinite(n_readers) else "an unstated number of"
    numbers = [
        Live("people.who", "simulated people" if readers.simulated else "people"),
        Live("people.words", len(words), ",d"),
        Live("people.stories", words.story.nunique(), "d"),
        Live("people.readers.median", n_readers, ".0f", method="readers per word"),
        Live("people.mean", words.reading_time.mean(), ".0f", " ms", method="mean of the word means"),
        Live("series.n", len(models), "d"),
        Live("series.families", models.family.nunique(), "d"),
        Live("series.whose", whose),
        Live("series.context", context, method="what a model had read before a word"),
    ]
    if np.isfinite(value := readers.reliability(first)):
        numbers.append(Live("people.reliability", value, ".2f", method=reliability))
    return numbers


def _whose_series(scores: pd.DataFrame) -> tuple[str, str]:
    """Who computed series that are compared, and what was read before a word, in words."""
    if "collection" not in scores:  # all of one collection
        return "that others have published", series.CONTEXTS["sentence"]
    published = scores.collection.notna()
    whose = "that others have published" if published.any() else "that this study brought along"
    if published.any() and not published.all():
        whose += " or this study brought along"
    return whose, series.CONTEXTS.get(scores.context.iloc[0], "what their files do not say")


def last_of_story(words: pd.DataFrame) -> pd.Series:
    """Whether a word is the last of its story."""
    return words.position == words.groupby("story").position.transform("max")


def numbers_of_ends(words: pd.DataFrame) -> list[Live]:
    """Mean reading time of the last word of a story, and of the others."""
    last = last_of_story(words)
    ends, others = words.reading_time[last], words.reading_time[~last]
    return [
        Live("ends.mean", ends.mean(), ",.0f", " ms", n=len(ends), method="last word of each story"),
        Live("ends.others", others.mean(), ".0f", " ms", n=len(others), method="all other words"),
    ]


def lag_profiles(readers: Readers, surprisal: pd.DataFrame) -> pd.DataFrame:
    """Correlation of properties of words with the reading times of words before and after.

    A row an ``alignment``, ``predictor`` and ``lag`` (words from the property to the time): ``r``, ``n_words``.
    `surprisal` is that of ``study.results(study, "words")``, of the models to show.
    """
    profiles = []
    for alignment, words in readers.words.items():
        predictors = {"word length": words.length}
        for name, rows in surprisal.groupby("model"):
            predictors[f"surprisal, {name}"] = rows.surprisal[rows.dataset == readers.dataset]
        if readers.simulated:
            predictors["true surprisal"] = words.true_surprisal
        for label, values in predictors.items():
            profile = lag_profile(values.to_numpy(float), words.reading_time.to_numpy(), words.story.to_numpy(), LAGS)
            profiles.append(profile.assign(alignment=alignment, predictor=label))
    return pd.concat(profiles, ignore_index=True)


def finding_of_lags(profiles: pd.DataFrame) -> Finding:
    """The mean correlation of reading times with the properties of the next word, by alignment.

    Times of the original release come too early if they correlate with the next word.
    """
    before = profiles[profiles.lag == -1].groupby("alignment").r.mean()
    early = before.get("original", 0) > EARLY
    method = "mean correlation with the word one position later"
    rule = "too early if reading times of the original release correlate with the next word at r > .1"
    words = "are shifted one word too early" if early else "are aligned with their words"
    numbers = [Live(f"lag.before.{alignment}", r, ".2f", method=method) for alignment, r in before.items()]
    numbers.append(Live("lag.verdict", words, method=rule))
    if early:
        return Finding(numbers, "In the original release readers slow down before the word that slows them")
    return Finding(numbers, "Readers slow down at the word and after it")
