"""Examinations: which of four answers a model finds the likeliest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from brainalign.human.recording import Passage
from brainalign.llm import surprisal
from brainalign.microworld.questions import Question

if TYPE_CHECKING:
    from brainalign.llm.load import LanguageModel


def examine(
    model: LanguageModel,
    questions: Sequence[Question],
    prompt: Callable[[Question], str] = lambda question: question.prompt,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Have a model answer: the choice of the least surprisal after the prompt, summed over its tokens.

    Choices of a question are sentences alike but for the answer, so that no correction for length is called for. An
    encoder reads the prompt, and its decoder is scored on the choice.

    Parameters
    ----------
    model : LanguageModel
    questions : sequence of Question
    prompt : function
        What stands before the choices; the question if left out.
    progress : bool, optional
        As in `llm.surprisal`.

    Returns
    -------
    DataFrame
        A row per question: ``kind``, ``domain``, ``given`` (the choice), ``right`` (bool).
    """
    passages = [
        Passage(f"{number}.{place}", (prompt(question), choice))
        for number, question in enumerate(questions)
        for place, choice in enumerate(question.choices)
    ]
    mode = "continuation" if model.encoder_decoder else None
    bits = surprisal(model, passages, mode=mode, text="examination", progress=progress).to_numpy()
    given = bits[1::2].reshape(len(questions), -1).argmin(axis=1)
    return pd.DataFrame(
        {
            "kind": [question.kind for question in questions],
            "domain": [question.domain for question in questions],
            "given": given,
            "right": [question.answer == answer for question, answer in zip(questions, given, strict=True)],
        }
    )
