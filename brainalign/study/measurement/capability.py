"""What a model knows, as rows of a study: shares of right answers, and next-word losses, with 95 % intervals."""

import numpy as np
import pandas as pd
import scipy  # scipy loads scipy.stats when it is first used; that takes half a second

from brainalign.llm.exams import benchmarks
from brainalign.llm.exams.answers import answers
from brainalign.llm.exams.benchmarks import Benchmark
from brainalign.llm.models.load import LanguageModel
from brainalign.llm.reading.loss import loss
from brainalign.llm.reading.surprisal import MODES
from brainalign.statistics import INTERVAL
from brainalign.statistics.clusters import resampled
from brainalign.study.description.loading import load_benchmark, load_reading_times
from brainalign.study.description.settings import OwnReadingTimes, Study, name_of

MEASURES = {"mmlu": "MMLU", "bbh": "BBH"}
LOSS, WIKITEXT_LOSS, WIKITEXT_BITS = "next-word loss", "WikiText-2 loss", "WikiText-2 bits per byte"


def examined(study: Study, model: LanguageModel) -> pd.DataFrame:
    """All benchmarks of a study: a row a measure and level.

    Parameters
    ----------
    study : Study
        Its ``benchmarks``, ``benchmark_protocols`` and ``items`` count.
    model : LanguageModel

    Returns
    -------
    DataFrame
        ``benchmark``; ``protocol``, where a benchmark has several, or the mode of an encoder-decoder's loss;
        ``measure`` (``MMLU``, ``BBH``, a kind of the microworld's questions, or a loss); ``level`` (``overall``,
        ``category`` or ``task``); ``domain`` (``all``, or which category or task); ``value``, ``n`` (questions, or
        tokens), ``low``, ``high``.
    """
    tables = []
    for name in study.benchmarks:
        if name == "wikitext2":
            tables += [text_loss(study, model, mode) for mode in (MODES if model.encoder_decoder else [None])]
            continue
        benchmark = load_benchmark(name)
        several = len(benchmark.protocols) > 1
        for protocol in study.benchmark_protocols if several else benchmark.protocols:
            table = scores(answers(model, benchmark, protocol, items=study.items), benchmark)
            tables.append(table.assign(protocol=protocol if several else None))
    return pd.concat(tables, ignore_index=True)


def scores(table: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """Shares of right answers at every level.

    Parameters
    ----------
    table : DataFrame
        Of `answers`.
    benchmark : Benchmark
        What was asked. The kinds of the microworld's questions are measures of their own; other benchmarks are one.

    Returns
    -------
    DataFrame
        As `examined`, without ``protocol``. Intervals are Wilson's, and of a mean over files those of `over_files`.
    """
    score = over_files if table.attrs["over"] == "files" else over_questions
    one_measure = benchmark.name in MEASURES
    table = table.assign(measure=MEASURES[benchmark.name] if one_measure else table.category)
    domains = {"overall": pd.Series("all", table.index), "category": table.category, "task": table.task}
    rows = [
        {"benchmark": benchmark.name, "measure": measure, "level": level, "domain": domain} | score(subset)
        for level, domain_of in domains.items()
        if one_measure or level != "category"
        for (measure, domain), subset in table.groupby([table.measure, domain_of], sort=False)
    ]
    return pd.DataFrame(rows)


def over_questions(table: pd.DataFrame) -> dict:
    """Share of right answers, with its 95 % Wilson interval: ``value``, ``n``, ``low``, ``high``."""
    low, high = _wilson(table.right.sum(), len(table))
    return {"value": table.right.mean(), "n": len(table), "low": low, "high": high}


def over_files(table: pd.DataFrame) -> dict:
    """Mean over files of the share of right answers, as `over_questions`.

    Its interval recovers each file's variance from the Wilson limits of that file (Zou and Donner 2008), so that it has
    a width even where all answers are right or wrong.
    """
    files = [rows.right for _, rows in table.groupby("name", sort=False)]
    shares = np.array([right.mean() for right in files])
    limits = np.array([_wilson(right.sum(), len(right)) for right in files]).T
    lower_width, upper_width = np.sqrt(((shares - limits) ** 2).sum(axis=1)) / len(files)
    return {
        "value": shares.mean(),
        "n": len(table),
        "low": shares.mean() - lower_width,
        "high": shares.mean() + upper_width,
    }


def text_loss(study: Study, model: LanguageModel, mode: str | None) -> pd.DataFrame:
    """Next-word loss on WikiText-2, nats per token and bits per byte, with intervals over articles.

    There are no bits per byte where the tokenizer lost bytes in unknown tokens.
    """
    losses = loss(model, benchmarks.wikitext2(), mode=mode, text="WikiText-2")
    n = int(losses.tokens.sum())
    rows = [
        {"measure": measure, "n": n} | _ratio(study, losses.nats / unit, count)
        for measure, unit, count in ((WIKITEXT_LOSS, 1.0, losses.tokens), (WIKITEXT_BITS, np.log(2), losses.bytes))
        if count.notna().all()
    ]
    return pd.DataFrame(rows).assign(benchmark="wikitext2", protocol=mode, level="overall", domain="all")


def story_loss(study: Study, bits: np.ndarray, dataset: str | OwnReadingTimes) -> pd.DataFrame:
    """Next-word loss on the stories of reading times: mean bits of a word, with an interval over stories."""
    scored = np.isfinite(bits)
    stories = pd.Series(bits[scored]).groupby(load_reading_times(dataset).table().story.to_numpy()[scored])
    totals = stories.agg(["sum", "size"])
    row = {"benchmark": name_of(dataset), "measure": LOSS, "level": "overall", "domain": "all", "n": int(scored.sum())}
    result = row | _ratio(study, totals["sum"], totals["size"]) | {"value": bits[scored].mean()}
    return pd.DataFrame([result])


def _ratio(study: Study, sums: pd.Series, counts: pd.Series) -> dict:
    """A mean over all units of documents, with a 95 % percentile interval over documents."""
    total, n = (resampled(len(sums), study.seed, study.resamples) @ np.column_stack([sums, counts])).T
    low, high = np.percentile(total / n, INTERVAL)
    return {"value": sums.sum() / counts.sum(), "low": low, "high": high}


def _wilson(n_right: int, n: int) -> tuple[float, float]:
    interval = scipy.stats.binomtest(int(n_right), int(n)).proportion_ci(method="wilson")
    return interval.low, interval.high
