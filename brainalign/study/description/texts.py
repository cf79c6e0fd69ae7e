"""What models are to read in a study, before any of them is loaded: how many windows, and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING

from brainalign import catalog, human
from brainalign.human import download
from brainalign.human.recording import Passage
from brainalign.llm.models.architectures import Architecture
from brainalign.llm.models.load import UNLIMITED
from brainalign.llm.reading import windows
from brainalign.llm.reading.batches import batched
from brainalign.llm.reading.tokens import special_tokens
from brainalign.study.description.loading import load_reading_times, load_recording
from brainalign.study.description.settings import MICROWORLD, WEHBE, OwnReadingTimes, OwnRecording, Study, name_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

RATE = 1.25  # tokens of an English word, with its punctuation, where they cannot be counted: 1.2 to 1.35 in prose
SPECIAL = 1  # token that a tokenizer puts around a text
# Reading times that take the frequencies of words from another data set.
WITHOUT_FREQUENCIES, FREQUENCIES = ("futrell2018", "natural_stories.maze"), "natural_stories"


@dataclass(frozen=True, eq=False)  # equal to itself only: results are cached by it
class Text:
    """A text that every model of a study reads."""

    name: str  # of the recording, of the reading times, or of what a benchmark puts to a model
    scored: bool  # whether surprisal is read off it, rather than states
    words: list[list[float]]  # words of each part, by passage
    passages: Sequence[Passage] | None = None  # the text itself, where it is here

    @property
    def parts(self) -> int:
        """Parts that something is read off."""
        return sum(map(len, self.words))


def collect(study: Study, load: bool = True) -> list[Text]:
    """Texts of a study: as they are, or as the catalog describes them.

    ``load`` says whether published texts that are here are loaded. Those of your own always are.
    """
    texts = [_text(study, source, True, load) for source in study.reading_times]
    texts += [_text(study, source, False, load) for source in study.recordings]
    return texts + [_benchmark_text(study, name) for name in prompts(study)]


def prompts(study: Study) -> list[str]:
    """What benchmarks put to a model of the hub, as the catalog names it: questions with their examples, and a text.

    What is generated in answer is left out: it is short beside what is read.
    """
    published = [name for name in study.benchmarks if name not in MICROWORLD]
    task_names = [f"{name}.{protocol}" for name in published for protocol in study.benchmark_protocols]
    return [name for name in [*published, *task_names] if name in catalog.texts().index]


def _benchmark_text(study: Study, name: str) -> Text:
    n, words = catalog.texts().loc[name, ["passages", "words"]]
    n_asked = n
    if "." in name and study.items is not None:
        n_asked = min(n, study.items * len(catalog.benchmark_tasks(name.split(".")[0])))
    return Text(name, True, [[words / n]] * n_asked)


def needed(name: str) -> list[catalog.Dataset]:
    """Data sets that a recording, reading times or series are read from."""
    published = human.dataset(name) if name in human.names() else catalog.dataset(name)
    return [published, *([catalog.dataset(FREQUENCIES)] if name in WITHOUT_FREQUENCIES else [])]


def absent(data: catalog.Dataset) -> list[catalog.DataFile]:
    """Files of a data set that are neither in the store nor in the mirror."""
    return [file for file in data.files.values() if download.find(file) is None]


@cache
def lengths(text: Text, network: Architecture, tokenizer: PreTrainedTokenizerFast | None = None) -> tuple[int, ...]:
    """Tokens of each window that a model reads, special tokens included.

    Counted, if the text and the tokenizer are here; else estimated at `RATE`.
    """
    special, limit = SPECIAL, network.positions
    if tokenizer is not None:
        prefix, suffix = special_tokens(tokenizer)
        special = max(len(prefix) + len(suffix), int(text.scored))
        limit = limit or (tokenizer.model_max_length if tokenizer.model_max_length < UNLIMITED else None)
    limit = limit and limit - special - network.encoder_decoder
    if tokenizer is None or text.passages is None:
        window_lengths = _estimated(text, limit, shared=text.scored or not network.encoder_decoder)
    elif network.encoder_decoder and text.scored:
        window_lengths = list(map(len, windows.whole_text_windows(tokenizer, text.passages, limit)))
    else:
        shared = not network.encoder_decoder
        text_windows, _ = windows.beginning_windows(tokenizer, text.passages, limit, shared=shared, words=text.scored)
        window_lengths = list(map(len, text_windows))
    return tuple(special + length for length in window_lengths)


@cache
def flops(network: Architecture, text: Text, window_lengths: tuple[int, ...], device: str) -> float:
    """Operations of all passes over windows of these lengths, each batch filled up to its longest."""
    place = SimpleNamespace(type=device)
    reader = SimpleNamespace(width=network.width, n_parameters=network.parameters, device=place)
    batches = batched(reader, list(map(range, window_lengths)))
    return sum(network.flops(len(batch.windows), max(map(len, batch.windows)), text.scored) for batch in batches)


@cache  # models differ in little else
def _estimated(text: Text, limit: int | None, shared: bool) -> list[int]:
    window_lengths = []
    for passage in text.words:
        stops = [round(RATE * words) for words in accumulate(passage)]
        if shared:
            window_lengths += [end - begin for begin, end in windows.bounds(stops[-1], limit)]
        else:
            window_lengths += [min(stop, limit or stop) for stop in stops]
    return window_lengths


def _text(study: Study, source: str | OwnRecording | OwnReadingTimes, scored: bool, load: bool) -> Text:
    name = name_of(source)
    catalog_texts = catalog.texts()
    if source in catalog_texts.index and (not load or source == WEHBE or any(map(absent, needed(source)))):
        passages, parts, words = catalog_texts.loc[source, ["passages", "parts", "words"]]
        cut = [parts * k // passages for k in range(passages + 1)]
        return Text(name, scored, [[words / parts] * (stop - start) for start, stop in pairwise(cut)])
    passages = _passages(source, scored)
    return Text(name, scored, [[len(part.split()) for part in passage.parts] for passage in passages], passages)


@cache
def _passages(source: str | OwnRecording | OwnReadingTimes, scored: bool) -> Sequence[Passage]:
    return (load_reading_times(source) if scored else load_recording(source)).passages
