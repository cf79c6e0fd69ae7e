"""The questions of the microworld as a benchmark like any other: a task for each domain of knowledge and reasoning."""

from collections.abc import Sequence

import pandas as pd

from brainalign.llm.exams.benchmarks import Benchmark, Splits
from brainalign.microworld.questions import Question


def benchmark(questions: Sequence[Question]) -> Benchmark:
    """Questions as `llm.capability.answers` takes them.

    An encoder reads the question, and its decoder is scored on the choices.

    Parameters
    ----------
    questions : sequence of Question

    Returns
    -------
    Benchmark
        Called ``microworld``; its tasks are domains, and their categories the kinds of question.
    """
    domains = {question.domain: question.kind for question in questions}
    tasks = pd.DataFrame({"task": domains.keys(), "category": domains.values()}, index=pd.Index(domains, name="name"))

    def splits(domain: str) -> Splits:
        subset = [question for question in questions if question.domain == domain]
        return {
            "test": [
                {"prompt": question.prompt, "choices": list(question.choices), "answer": question.answer}
                for question in subset
            ]
        }

    return Benchmark("microworld", tasks, splits)
