"""Time the extraction of activations and surprisal against the plain loop, and against one bare forward pass.

    python benchmarks/extraction.py                            # GPT-2 small's shape, random weights
    python benchmarks/extraction.py --model EleutherAI/pythia-70m --device cuda
    python benchmarks/extraction.py --every 1                  # the loop over every beginning: half an hour and more
    python benchmarks/extraction.py --model model.gguf --stories 10 --every 400 --repeats 3

Three texts, all from the Natural Stories: passages of three or four sentences of twelve words as in Pereira2018's
243, one story in 150 parts as in Blank2014, and the words of two stories. The plain loop reads every beginning of a
passage by itself, with all hidden states and the head, as Brain-Score does. It takes minutes to hours, so it reads
only every so many beginnings, and its seconds are scaled by the tokens that it left out. The bare pass reads the same
tokens as ours, window by window, and keeps nothing: no extraction that reads one text at a time could be faster. It is
made with and without the head, and as transformers gives all hidden states. The loop of surprisal reads each word's
beginning as minicons does, which is timed too where it is installed.

How long each network is probed before it reads, the same for a text of any length, is timed, too.

Writes benchmarks/results/extraction.json: seconds, ratios, agreement, memory, and the machine; what is said of another
model than GPT-2's shape is added to it, under the model's name.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import machine, peak_memory

from brainalign import catalog, human, llm, store
from brainalign.human.download import fetch
from brainalign.human.recording import Passage
from brainalign.llm.models import causality
from brainalign.llm.models.load import LanguageModel, load
from brainalign.llm.reading.tokens import join
from brainalign.llm.reading.windows import beginning_windows

RESULTS = Path(__file__).parent / "results" / "extraction.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="any that llm.load knows; GPT-2 small's shape if left out")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device")
    parser.add_argument("--every", type=int, default=12, help="beginnings that the plain loop leaves out, and one")
    parser.add_argument("--stories", type=int, default=2, help="stories of which the words are read")
    parser.add_argument("--texts", nargs="*", help="names of texts; all if left out")
    parser.add_argument("--repeats", type=int, default=5)
    settings = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        downloads = store.root() / "downloads"
        os.environ["BRAINALIGN_STORE"] = folder  # so that nothing has been computed before
        Path(folder, "downloads").symlink_to(downloads)
        model = load(settings.model or gpt2_shape(Path(folder, "gpt2")), dtype=settings.dtype, device=settings.device)
        _, probe_seconds = repeated(lambda: causality.check(model.network), settings.repeats)
        measured = {
            name: measure(model, passages, settings)
            for name, passages in texts(settings.stories).items()
            if not settings.texts or name in settings.texts
        }
    result = {"settings": vars(settings), "model": model.name, "parameters": model.n_parameters, "texts": measured}
    result |= {"probe_seconds": probe_seconds}  # once a model, before its first text
    result |= {"peak_gib": peak_memory(), "device": str(model.device), "machine": machine()}
    before = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if settings.model:
        result = before | {"models": before.get("models", {}) | {model.name: result}}
    else:
        result["models"] = before.get("models", {})
    with store.writing(RESULTS) as temporary:
        temporary.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


def gpt2_shape(folder: Path) -> Path:
    """A model of GPT-2 small's shape with random weights and GPT-2's own tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    merges = fetch(catalog.dataset("gpt2_merges").file("weights/tokenization/vocab.bpe"))
    pairs = [tuple(line.split(" ")) for line in merges.read_text(encoding="utf-8").splitlines()[1:] if line]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, pairs), "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>").save_pretrained(folder)
    return folder


def texts(n_stories: int) -> dict[str, list[Passage]]:
    """Passages of sentences, a story in short parts, and stories in words."""
    stories = [passage.parts for passage in human.load("natural_stories").passages]
    words = [word for story in stories for word in story]
    sentences = [" ".join(words[start : start + 12]) for start in range(0, 243 * 12, 12)]
    starts = np.cumsum([0, *([3, 4, 3, 3, 4, 3, 4, 3, 3, 4] * 8)])
    passages = [tuple(sentences[a:b]) for a, b in itertools.pairwise(starts) if a < len(sentences)]
    story = [" ".join(some) for some in np.array_split(np.array(stories[1], dtype=object), 150)]
    return {
        "pereira-like": [Passage(str(number), parts) for number, parts in enumerate(passages)],
        "blank-like": [Passage("story", tuple(story))],
        "natural stories": [Passage(str(number), parts) for number, parts in enumerate(stories[:n_stories])],
    }


def measure(model: LanguageModel, passages: Sequence[Passage], settings: argparse.Namespace) -> dict:
    """Seconds of each way to read some passages, and how well they agree."""
    anew = iter(range(1_000_000))  # a name that no result in the store has

    def ours(extract: Callable) -> Callable:
        return lambda: extract(renamed(model, next(anew)), passages)

    activations, seconds = repeated(ours(llm.activations), settings.repeats)
    _, surprisal_seconds = repeated(ours(llm.surprisal), settings.repeats)
    windows, _ = beginning_windows(model.tokenizer, passages, model.n_positions)
    ids = [window.tokens for window in windows]
    _, bare_seconds = repeated(lambda: bare(model.network.base_model, ids), settings.repeats)
    _, head_seconds = repeated(lambda: bare(model.network, ids), settings.repeats)
    hidden = {"output_hidden_states": True}
    _, hidden_seconds = repeated(lambda: bare(model.network.base_model, ids, **hidden), settings.repeats)
    loop = plain_loop(model, passages, settings.every)
    # What is longer than the positions is cut otherwise, and the loop's last layer has the final norm applied.
    ours_too, plain = activations.to_numpy()[:-1, loop["parts"]], loop["states"][:-1]
    ways = {"ours": seconds, "bare": bare_seconds, "surprisal": surprisal_seconds, "head": head_seconds}
    middle = {name: statistics.median(runs) for name, runs in ways.items()}
    return {
        "passages": len(passages),
        "parts": activations.sizes["part"],
        "tokens": sum(
            len(ids) for ids in model.tokenizer([join(passage.parts).text for passage in passages])["input_ids"]
        ),
        "tokens_read": activations.attrs["tokens"],
        "activations_seconds": seconds,
        "surprisal_seconds": surprisal_seconds,
        "bare_seconds": bare_seconds,
        "bare_with_head_seconds": head_seconds,
        "hidden_states_seconds": hidden_seconds,
        "minicons_seconds": minicons_seconds(model, passages, settings.every),
        "loop_seconds": loop["seconds"],
        "loop_seconds_measured": loop["measured"],
        "loop_share_of_tokens": loop["share"],
        "times_faster_than_loop": loop["seconds"] / middle["ours"],
        "times_bare_pass": middle["ours"] / middle["bare"],
        "surprisal_times_bare_pass": middle["surprisal"] / middle["head"],
        "surprisal_times_faster_than_loop": loop["seconds"] / middle["surprisal"],
        "largest_difference": float(np.abs(ours_too - plain).max() / np.abs(plain).max()),
        "parts_compared": len(loop["parts"]),
        "parts_encoded_anew": activations.attrs["parts_encoded_anew"],
    }


def renamed(model: LanguageModel, number: int) -> LanguageModel:
    return replace(model, identity={**model.identity, "run": number})


def repeated(function: Callable, repeats: int) -> tuple:
    """What a function returns, and its seconds in several runs after a first."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        synchronize()
        seconds.append(time.perf_counter() - start)
    return result, seconds


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@torch.inference_mode()
def bare(network: torch.nn.Module, windows: Sequence[list[int]], **options) -> None:
    """Read tokens by a network, or by its blocks, and keep nothing."""
    for ids in windows:
        network(input_ids=torch.tensor([ids], device=network.device), use_cache=False, **options)


def minicons_seconds(model: LanguageModel, passages: Sequence[Passage], every: int) -> float | None:
    """Seconds that minicons takes for the surprisal of every word, scaled from some; None where it is not installed."""
    try:
        from minicons.scorer import IncrementalLMScorer
    except ImportError:
        return None
    scorer = IncrementalLMScorer(model.network, tokenizer=model.tokenizer, device=str(model.device))
    pairs = [(join(p.parts[:n]).text, p.parts[n]) for p in passages for n in range(1, len(p.parts))]
    chosen = pairs[every // 2 :: every]
    start = time.perf_counter()
    for beginning, word in chosen:
        scorer.conditional_score(beginning, word)
    letters = [sum(len(beginning) for beginning, _ in group) for group in (chosen, pairs)]
    return (time.perf_counter() - start) * letters[1] / letters[0]


@torch.inference_mode()
def plain_loop(model: LanguageModel, passages: Sequence[Passage], every: int) -> dict:
    """Last states of some beginnings that fit, one pass each, and the seconds that all beginnings would take."""
    beginnings = [join(passage.parts[: n + 1]).text for passage in passages for n in range(len(passage.parts))]
    most = model.n_positions
    lengths = [min(len(ids), most or len(ids)) for ids in model.tokenizer(beginnings)["input_ids"]]
    chosen = range(every // 2, len(beginnings), every)
    states, start = [], time.perf_counter()
    for number in chosen:
        ids = model.tokenizer(beginnings[number], return_tensors="pt")["input_ids"][:, -most if most else None :]
        found = model.network(ids.to(model.device), output_hidden_states=True, use_cache=False)
        states.append(np.stack([layer[0, -1].float().cpu().numpy() for layer in found.hidden_states]))
    measured = time.perf_counter() - start
    share = sum(lengths[number] for number in chosen) / sum(lengths)
    fits = [lengths[number] < (most or np.inf) for number in chosen]
    return {
        "parts": np.array(chosen)[fits],
        "states": np.stack(states, axis=1)[:, fits],
        "measured": measured,
        "share": share,
        "seconds": measured / share,
    }


if __name__ == "__main__":
    main()
