"""The plain way to read a text: every beginning by itself, through transformers' own outputs."""

import re

import numpy as np
import torch

from brainalign.human.recording import Passage


def beginning(passage: Passage, part: int, context: int | None = None) -> str:
    """Text up to a part."""
    parts = passage.parts[: part + 1][-context if context else None :]
    return re.sub(r"\s+([.,!?;:])", r"\1", " ".join(part for part in parts if part.strip()))


def cut(model, ids: list[int], most: int | None) -> list[int]:
    """Cut on the left as a tokenizer does, which keeps the special token in front."""
    front = [ids[0]] if ids[0] == model.tokenizer.bos_token_id else []
    text = ids[len(front) :]
    return front + (text if most is None else text[-(most - len(front)) :])


@torch.inference_mode()
def states_of(model, text: str, most: int | None = None) -> np.ndarray:
    """All states of one text, as transformers gives them: layer x token x feature, special tokens at the end left out.

    Its last layer has the final norm applied, so that the norm is taken out of the network.
    """
    ids = cut(model, model.tokenizer(text)["input_ids"], most)
    if model.encoder_decoder:
        decoder = [model.network.config.decoder_start_token_id, *ids[:-1]]
        given = {"input_ids": torch.tensor([ids]), "decoder_input_ids": torch.tensor([decoder])}
        found = model.network(**given, output_hidden_states=True)
        encoder = torch.stack(found.encoder_hidden_states)[:, 0, :-1]
        return torch.cat([encoder, torch.stack(found.decoder_hidden_states)[:, 0, 1:]]).numpy()
    found = model.network(torch.tensor([ids]), output_hidden_states=True)
    return torch.stack(found.hidden_states)[:, 0].numpy()


@torch.inference_mode()
def bits_after(model, text: str, n_characters: int, most: int | None = None) -> float:
    """Surprisal of a text after its first characters: the sum over the tokens that end later, in one plain pass."""
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = cut(model, [model.tokenizer.bos_token_id, *encoded["input_ids"]], most)
    n_new = sum(end > n_characters for _, end in encoded["offset_mapping"])
    logits = model.network(torch.tensor([ids])).logits[0].double()
    log2 = torch.log_softmax(logits, dim=-1) / np.log(2)
    return -sum(log2[place - 1, ids[place]].item() for place in range(len(ids) - n_new, len(ids)))
