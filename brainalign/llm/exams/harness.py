"""lm-evaluation-harness at work: a loaded model as it takes models, and tasks as it builds them.

Nothing goes through the hub, or to disk: questions are handed over in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING

from brainalign.llm.exams.benchmarks import HARNESS, Splits
from brainalign.llm.models import networks
from brainalign.llm.reading.tokens import spelling_out

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    from brainalign.llm.models.load import LanguageModel

DEFAULT_POSITIONS = 2048  # what the harness takes a model to read that sets no limit
STARTS_WITH_TARGET = "starts_with_target"  # what a task file calls the rule of instruct-eval


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the harness's notes to itself: what matters of them is in our record."""
    logger = logging.getLogger(HARNESS)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with networks.quiet():
            yield
    finally:
        logger.setLevel(level)


def reader(model: LanguageModel, positions: int) -> HFLM:
    """Hand a loaded model to the harness, which reads ``positions`` tokens at once."""
    from lm_eval.models.huggingface import HFLM

    tokenizer = deepcopy(model.tokenizer)  # it is given a token to pad with
    tokenizer._tokenizer, tokenizer.split_special_tokens = spelling_out(model.tokenizer.backend_tokenizer), True
    with quiet():
        return HFLM(
            model.network,
            backend="seq2seq" if model.encoder_decoder else "causal",
            tokenizer=tokenizer,
            max_length=positions,
        )


def task(config: dict, splits: Splits) -> ConfigurableTask:
    """Build a task of its settings and its questions by split."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    _compile_templates_once()
    config = deepcopy(config)
    by_start = config.pop("process_results", None) == STARTS_WITH_TARGET
    data = {split: Dataset.from_list(docs) for split, docs in splits.items()}
    with quiet():
        built = ConfigurableTask(config=config | {"custom_dataset": lambda **_: data})
    if by_start:
        built.config.process_results = lambda doc, responses: {
            "acc": responses[0].strip().startswith(built.doc_to_target(doc))
        }
    return built


@cache
def _compile_templates_once() -> None:
    """Keep the templates of tasks: the harness compiles them anew for each question, which is most of the time."""
    from lm_eval import utils

    utils.env.from_string = cache(utils.env.from_string)


def prompts(task: ConfigurableTask, docs: Sequence[dict], shots: int) -> list[str]:
    """What stands before each answer: examples, which are the same for all questions, and the question."""
    with quiet():
        first = task.fewshot_context(docs[0], num_fewshot=shots)
        examples = first.removesuffix(task.doc_to_text(docs[0]))
        return [examples + task.doc_to_text(doc) for doc in docs]


def requests(task: ConfigurableTask, doc: dict, prompt: str) -> list[Instance]:
    """What a model is asked about one question: each of its choices, or to go on."""
    instances = task.construct_requests(doc, prompt, metadata=(task.config.task, 0, 1))
    return instances if isinstance(instances, list) else [instances]


def answered(reader: HFLM, instances: list[Instance]) -> list:
    """Have a model answer in one go: log-likelihoods and whether they are the greedy choice, or texts."""
    reader.batch_size_per_gpu = len(instances)
    with quiet():
        return getattr(reader, instances[0].request_type)(instances, disable_tqdm=True)


def right(task: ConfigurableTask, requests_by_question: list[list[Instance]], responses: list[list]) -> list[bool]:
    """Whether the answer to each question counts as right, by the task's filters and its one metric."""
    task._instances = [request for group in requests_by_question for request in group]
    for request, response in zip(task.instances, (answer for group in responses for answer in group), strict=True):
        request.resps = [response]
    task.apply_filters()
    (name,) = task.instances[0].filtered_resps
    scores = [
        task.process_results(group[0].doc, [request.filtered_resps[name] for request in group])
        for group in requests_by_question
    ]
    return [bool(score == 1) for (score,) in (metrics.values() for metrics in scores)]
