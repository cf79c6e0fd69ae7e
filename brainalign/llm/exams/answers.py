"""What a model knows: its answers to the questions of a benchmark, by lm-evaluation-harness.

    answers(load("gpt2-small"), "mmlu", "standard")        # a row a question

Each file of questions is an entry of the store, so that a run that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from brainalign import store
from brainalign.llm.exams import benchmarks, harness
from brainalign.llm.exams.benchmarks import Benchmark, Splits
from brainalign.llm.reading.batches import Arrays, Batch, batched, read_all
from brainalign.llm.reading.tokens import encode, special_tokens, spelled_out
from brainalign.llm.reading.windows import Window

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM
    from tqdm import tqdm

    from brainalign.llm.models.load import LanguageModel

REVISION = 1  # of what is computed here; a new one leaves stored answers behind
MOST_NEW = 256  # tokens that are generated where a task sets no limit, as in the harness
SLACK = 8  # tokens beyond the longest target, for white space and a stop
BYTES_PER_TOKEN = 8  # of a generated answer that are kept


def answers(
    model: LanguageModel, benchmark: str | Benchmark, protocol: str = "standard", *, items: int | None = None
) -> pd.DataFrame:
    """Have a model answer, file by file of questions, each computed once and kept in the store (protocols, section 9).

    Greedy, and in batches that fit into memory. What is too long for the model is cut on the left, as the harness does.
    The benchmark is ``mmlu``, ``bbh``, or one's own; its protocol ``standard`` (the harness's own) or ``instruct-eval``
    (the paper's). Of each file, at most the first so many items are asked.

    Returns
    -------
    DataFrame
        A row a question: ``category``, ``task``, ``name`` (of the file), ``item`` (its place among those asked),
        ``given`` (the choice, or the beginning of what was generated), ``right`` (bool), ``shots`` (worked examples
        before it), ``cut`` (bool: the prompt did not fit). ``attrs``: ``over`` (what scores are means over:
        ``questions`` or ``files``), ``version`` (of the tasks), and ``cut``, the number of prompts.

    Raises
    ------
    LookupError
        No such benchmark or protocol.
    ValueError
        The tokenizer does not tell the letters of the choices apart, or has no token that ends a text; `items` is less
        than one.
    MemoryError, OSError
        As in `activations`; ``OSError`` also where the questions cannot be fetched.
    """
    from tqdm import tqdm

    if items is not None and items < 1:
        raise ValueError(f"items: a model is asked 1 or more questions of each file, not {items}.")
    if isinstance(benchmark, str):
        benchmark = benchmarks.load(benchmark)
    configs = {name: benchmark.config(protocol, name) for name in benchmark.tasks.index}
    settings = next(iter(configs.values()))
    _require_tokens(model, benchmark)
    questions = {name: _selected_questions(benchmark.splits(name), config, items) for name, config in configs.items()}
    positions = _positions(model, settings)
    reader = cache(lambda: harness.reader(model, positions))

    title = f"{model.name}, {benchmark.name} {protocol}"
    total, tables = sum(len(splits["test"]) for splits in questions.values()), []
    with tqdm(total=total, unit=" questions", desc=title, disable=None) as bar:
        for name, config in configs.items():
            bar.set_postfix_str(name)
            splits = questions[name]
            key = _key(model, benchmark, protocol, name, config, splits, positions)
            exam = _Exam(model, config, splits, positions, reader)
            entry = store.get("capability", key, lambda exam=exam, key=key: exam.take(key, bar))
            tables.append(_table(entry, config, splits).assign(name=name, **benchmark.tasks.loc[name]))
            bar.update(sum(map(len, tables)) - bar.n)
    table = pd.concat(tables, ignore_index=True)
    table.attrs = {"over": settings["metadata"]["over"], "version": benchmarks.version(settings)}
    table.attrs["cut"] = int(table.cut.sum())
    return table[["category", "task", "name", "item", "given", "right", "shots", "cut"]]


@dataclass(frozen=True)
class _Exam:
    """The questions of one file, put to a model."""

    model: LanguageModel
    config: dict
    splits: Splits
    positions: int
    reader: Callable[[], HFLM]

    def take(self, key: dict, bar: tqdm) -> tuple[Arrays, dict]:
        """Answers, in the order of questions, and notes on how they were computed."""
        task, docs = harness.task(self.config, self.splits), self.splits["test"]
        n_new = min(_new_tokens(task, docs), self.positions // 2)
        if n_new:
            task.config.generation_kwargs["max_gen_toks"] = n_new
            if self.model.encoder_decoder:  # else the harness adds the prompt's length, though the encoder reads that
                task.config.generation_kwargs["max_length"] = n_new + 1
        prompts = self._prompts(task, n_new)
        requests = [harness.requests(task, doc, prompt.text) for doc, prompt in zip(docs, prompts, strict=True)]
        windows = [self._window(part, *pair, n_new) for part, pair in enumerate(zip(prompts, requests, strict=True))]
        width = BYTES_PER_TOKEN * n_new or max(map(len, requests))
        # Beside states: keys and values of each block, or three values for each token of the vocabulary.
        values = 2 * self.model.n_layers * self.model.width if n_new else 3 * self.model.n_vocabulary

        def work(batch: Batch) -> Arrays:
            arrays = _answer(self.reader(), task, [requests[part] for part in batch.parts], width)
            bar.update(len(batch.parts))
            return arrays

        batches = batched(self.model, windows, values)
        results = read_all("capability", key, batches, work)
        order = np.argsort(np.concatenate([parts for parts, _ in results]))
        names = results[0][1]
        arrays = {name: np.concatenate([batch_arrays[name] for _, batch_arrays in results])[order] for name in names}
        arrays["shots"] = np.array([prompt.shots for prompt in prompts])
        arrays["cut"] = np.array([prompt.cut for prompt in prompts])
        notes = {"cut": int(arrays["cut"].sum()), "tokens_generated": n_new or None}
        return arrays, notes | {"special_tokens": _special(self.model)}

    def _prompts(self, task: ConfigurableTask, n_new: int) -> list[_Prompt]:
        """What stands before each answer; where the task says so, with as many examples as fit."""
        docs, fits = self.splits["test"], self.config["metadata"].get("fits")
        # A causal model reads its own answer too; an encoder reads the prompt alone.
        room = self.positions - (0 if self.model.encoder_decoder else n_new) - len(_special(self.model))
        limit = min(room, fits or room)
        prompts: dict[int, _Prompt] = {}
        for shots in range(task.config.num_fewshot, -1, -1):
            remaining = [number for number in range(len(docs)) if number not in prompts]
            if not remaining:
                break
            texts = harness.prompts(task, [docs[number] for number in remaining], shots)
            for number, text, encoded in zip(remaining, texts, encode(self.model.tokenizer, texts), strict=True):
                if len(encoded.ids) <= limit or shots == 0 or not fits:
                    prompts[number] = _Prompt(text, encoded.ids[-room:], shots, len(encoded.ids) > room)
        return [prompts[number] for number in range(len(docs))]

    def _window(self, part: int, prompt: _Prompt, requests: list[Instance], n_new: int) -> Window:
        """What the network reads for one question: its length counts, for batches that fit into memory."""
        if n_new:
            return Window(prompt.ids + [0] * n_new, [part], [])
        choices = [encoding.ids for encoding in encode(self.model.tokenizer, [request.args[1] for request in requests])]
        # Choices of one token are read off one pass.
        rows = 1 if all(len(ids) == 1 for ids in choices) and not self.model.encoder_decoder else len(choices)
        return Window((prompt.ids + max(choices, key=len)) * rows, [part], [])


class _Prompt(NamedTuple):
    text: str
    ids: list[int]  # as many as are read
    shots: int
    cut: bool


def _answer(reader: HFLM, task: ConfigurableTask, requests: list[list[Instance]], width: int) -> Arrays:
    """Answers of a batch: whether they are right, and log-likelihoods of choices, or the texts as bytes."""
    outputs = iter(harness.answered(reader, [request for group in requests for request in group]))
    responses = [[next(outputs) for _ in group] for group in requests]
    right = np.array(harness.right(task, requests, responses))
    if task.OUTPUT_TYPE == "generate_until":
        texts = np.array([text.encode()[:width] for (text,) in responses], f"S{width}")
        return {"right": right, "given": texts.view(np.uint8).reshape(len(texts), width)}
    likelihoods = np.full((len(requests), width), -np.inf)
    for row, question_responses in zip(likelihoods, responses, strict=True):
        row[: len(question_responses)] = [likelihood for likelihood, _ in question_responses]
    return {"right": right, "likelihoods": likelihoods}


def _table(entry: store.Entry, config: dict, splits: Splits) -> pd.DataFrame:
    """Rows of one file of questions."""
    arrays = entry.arrays
    if "given" in arrays:
        texts = arrays["given"].view(f"S{arrays['given'].shape[1]}")[:, 0]
        replies = [text.decode(errors="ignore") for text in texts]
    else:
        choices = config["doc_to_choice"]  # letters, or the field that has them
        options = [doc[choices] if isinstance(choices, str) else choices for doc in splits["test"]]
        replies = [letters[best] for letters, best in zip(options, arrays["likelihoods"].argmax(axis=1), strict=True)]
    columns = {name: arrays[name] for name in ("right", "shots", "cut")}
    return pd.DataFrame({"item": range(len(replies)), "given": replies, **columns})


def _selected_questions(splits: Splits, config: dict, items: int | None) -> Splits:
    """Questions to put, with those apart that are examples."""
    n_examples = config.get("dataset_kwargs", {}).get("examples", 0)
    test = splits["test"]
    examples = {"examples": test[:n_examples]} if n_examples else {}
    return splits | examples | {"test": test[n_examples:][:items]}


def _key(
    model: LanguageModel, benchmark: Benchmark, protocol: str, name: str, config: dict, splits: Splits, positions: int
) -> dict:
    """What tells the answers to one file of questions from any other."""
    return {
        "model": model.identity,
        "benchmark": benchmark.name,
        "protocol": protocol,
        "task": name,
        "version": benchmarks.version(config),
        "config": store.digest(config),
        "questions": store.digest(splits),
        "items": len(splits["test"]),
        "shots": config["num_fewshot"],
        "positions": positions,
        "revision": REVISION,
    } | spelled_out(model.tokenizer, _strings(splits))


def _strings(content: object) -> Iterator[str]:
    """All texts in what JSON can say."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, (dict, list, tuple)):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _strings(part)


def _positions(model: LanguageModel, config: dict) -> int:
    """Tokens that the model reads at once."""
    fits = config["metadata"].get("fits")
    # T5 knows how far tokens are apart, not where they are: instruct-eval has it read what it was not trained to.
    if fits and hasattr(model.config, "relative_attention_num_buckets"):
        return fits
    return model.n_positions or harness.DEFAULT_POSITIONS


def _new_tokens(task: ConfigurableTask, docs: Sequence[dict]) -> int:
    """Tokens to generate; 0 if choices are compared. More than a target has bytes cannot be that target."""
    if task.OUTPUT_TYPE != "generate_until":
        return 0
    longest = max(len(task.doc_to_target(doc).encode()) for doc in docs)
    return task.config.generation_kwargs.get("max_gen_toks") or min(MOST_NEW, longest + SLACK)


def _special(model: LanguageModel) -> list[int]:
    prefix, suffix = special_tokens(model.tokenizer)
    return [*prefix, *suffix]


def _require_tokens(model: LanguageModel, benchmark: Benchmark) -> None:
    """See that the tokenizer has what answers are made of."""
    tokenizer, letters = model.tokenizer, benchmark.letters()
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"{model.name}: the tokenizer has no token that ends a text, so that no answer would end. Give it one."
        )
    ids = [tuple(encoding.ids) for encoding in encode(tokenizer, [*letters])]
    pairs, unknown = list(zip(letters, ids, strict=True)), tokenizer.unk_token_id
    lacking = [letter for letter, tokens in pairs if not tokens or unknown in tokens]
    if lacking := lacking or [letter for letter, tokens in pairs if ids.count(tokens) > 1]:
        raise ValueError(
            f"{model.name}: the tokenizer has no tokens of their own for {', '.join(lacking)}, letters of choices in "
            f"{benchmark.name}. Add them to it and resize the embeddings, or leave {benchmark.name} out for this model."
        )
