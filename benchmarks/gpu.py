"""Time extraction, encoding and tuning at the paper's sizes on one GPU, in under ten minutes.

    python benchmarks/gpu.py                              # 40 GiB of GPU memory, 32 of the machine's; no network
    python benchmarks/gpu.py --small --device cpu         # does it run? Its times say nothing

Networks have the shapes of LLaMA-7B and T5-XL, random weights and bfloat16; texts are made up, in the shapes of
Pereira2018's and of a story. Activations and surprisal are compared with a bare pass over the same batches that keeps
nothing, encoding models of 33 layers of 4,096 features with himalaya on the same GPU. A tuning step is that of LoRA, on
samples as long as they may be. Rates are operations as the plan counts them, by seconds.

Writes benchmarks/results/gpu.json, which the page on speed and `brainalign plan` read; with --small, prints it only.
"""

import argparse
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
from encoding import Case, ours
from machine import machine, peak_memory

from brainalign import catalog, llm, store
from brainalign.human.recording import Passage
from brainalign.llm.models import architectures, networks
from brainalign.llm.models.load import LanguageModel
from brainalign.llm.reading.batches import Batch, batched, inputs
from brainalign.llm.reading.tokens import special_tokens
from brainalign.llm.reading.windows import beginning_windows
from brainalign.llm.tuning import adapters, training
from brainalign.llm.tuning.objective import losses_of

RESULTS = Path(__file__).parent / "results" / "gpu.json"
SHAPES = {"LLaMA-7B": "llama-7b", "T5-XL": "t5-v1_1-xl"}
FEW = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
FEW |= {"num_key_value_heads": 4, "num_layers": 2, "num_decoder_layers": 2, "d_model": 64, "d_ff": 128, "num_heads": 4}
CASES = {False: Case(384, 4096, 12155, 33), True: Case(40, 64, 20, 2)}
SAMPLES = {False: (16, 8, 512), True: (4, 2, 32)}  # in a step, at once, and tokens of each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="shapes of no interest, to see whether it runs")
    parser.add_argument("--repeats", type=int, default=3)
    settings = parser.parse_args()
    if settings.device == "cpu" and not settings.small:
        parser.error("on a CPU this takes days. Give --small, or measure with benchmarks/extraction.py.")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BRAINALIGN_STORE"] = folder  # so that nothing has been computed before
        result = {"settings": vars(settings), "machine": machine(), "card": card(settings.device)}
        result["extraction"] = {name: extraction(shape, settings) for name, shape in SHAPES.items()}
        result["encoding"] = encoding(CASES[settings.small], settings)
        result["tuning"] = tuning(SHAPES["LLaMA-7B"], settings)
    result["rates"] = {"half": min(shape["bare"]["rate"] for shape in result["extraction"].values())}
    result["peak_gib"] = peak_memory()
    if not settings.small:
        with store.writing(RESULTS) as temporary:
            temporary.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


def card(device: str) -> str:
    """The catalog's name of a GPU, or its maker's where it has none."""
    if not torch.cuda.is_available() or device == "cpu":
        return "none"
    name = torch.cuda.get_device_name(device)
    return next((known for known in sorted(catalog.accelerators()["cards"], reverse=True) if known in name), name)


def extraction(shape: str, settings: argparse.Namespace) -> dict:
    """Seconds of activations, of surprisal and of bare passes, and the rate of those."""
    model = random_model(shape, settings)
    n_sentences, n_words = (24, 100) if settings.small else (243, 1000)
    texts = {"activations": sentences(n_sentences), "surprisal": [Passage("story", tuple(words(n_words)))]}
    number = iter(range(1_000_000))

    def measured(extract: Callable, passages: Sequence[Passage]) -> dict:
        # Another identity each time, so that nothing is found in the store.
        return timed(lambda: extract(replace(model, identity={"run": next(number)}), passages), settings)

    windows, _ = beginning_windows(model.tokenizer, texts["activations"], 512, shared=not model.encoder_decoder)
    batches = batched(model, windows)
    bare_pass = timed(lambda: bare(model, batches), settings)
    operations = architectures.from_settings(shrunk(shape, settings.small))
    total = sum(operations.flops(len(batch.windows), max(map(len, batch.windows))) for batch in batches)
    return {
        "parameters": model.n_parameters,
        "tokens": sum(map(len, windows)),
        "activations": measured(llm.activations, texts["activations"]),
        "surprisal": measured(llm.surprisal, texts["surprisal"]),
        "bare": bare_pass | {"rate": total / bare_pass["seconds"]},
    }


def shrunk(shape: str, small: bool) -> dict:
    """Settings of a network: those of a checkpoint, or with few and narrow layers."""
    config = catalog.architectures()[shape]
    return config | {key: value for key, value in FEW.items() if key in config} if small else config


def random_model(shape: str, settings: argparse.Namespace) -> LanguageModel:
    """A network of random weights, drawn on its device, and a tokenizer of few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    config = architectures.configured(shrunk(shape, settings.small))
    config.decoder_start_token_id = 0
    torch.manual_seed(0)
    with networks.quiet(), torch.device(settings.device):
        network = networks.architecture(config).from_config(config, dtype=torch.bfloat16).eval().requires_grad_(False)
    pieces = {"<s>": 0, "</s>": 1, "<unk>": 2} | {piece: number for number, piece in enumerate(WORDS, start=3)}
    backend = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    around = {"single": "$A </s>" if config.is_encoder_decoder else "<s> $A"}
    backend.post_processor = processors.TemplateProcessing(**around, special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    return LanguageModel(shape, config, tokenizer, {"shape": shape}, lambda: network)


WORDS = [f"w{number}" for number in range(100)]


def words(n: int, seed: int = 0) -> list[str]:
    """Words at random: a word is a token."""
    return np.random.default_rng(seed).choice(WORDS, n).tolist()


def sentences(n: int) -> list[Passage]:
    """Passages of three or four sentences of twelve words, and a third more for tokenizers that cut words."""
    parts = [" ".join(words(16, seed)) for seed in range(n)]
    return [Passage(str(start), tuple(parts[start : start + 4])) for start in range(0, n, 4)]


def timed(function: Callable, settings: argparse.Namespace) -> dict:
    """Median seconds of some runs after a first, and the most GPU memory."""
    function()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(settings.repeats):
        synchronize()
        start = time.perf_counter()
        function()
        synchronize()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    return {"seconds": statistics.median(seconds), "runs": seconds, "gpu_gib": peak}


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@torch.inference_mode()
def bare(model: LanguageModel, batches: Sequence[Batch]) -> None:
    """Read batches without the head, and keep nothing."""
    for batch in batches:
        networks.run_without_head(model.network, **inputs(model, batch, *special_tokens(model.tokenizer)))


def encoding(case: Case, settings: argparse.Namespace) -> dict:
    """Seconds of all layers by our solvers, and by himalaya on one layer times their number."""
    layers = case.layers()
    responses = torch.from_numpy(case.responses(layers[0])).to(settings.device)
    on_device = [torch.from_numpy(layer).to(settings.device) for layer in layers]
    backend = "torch" if settings.device == "cpu" else "torch_cuda"
    solvers = {
        "least squares": lambda: ours(case, on_device, responses),
        "ridge": lambda: ours(case, on_device, responses, "all"),
        "himalaya, one layer": lambda: himalaya(case, on_device[0], responses, backend),
    }
    return {"shape": case._asdict(), "solvers": {name: timed(solve, settings) for name, solve in solvers.items()}}


def himalaya(case: Case, layer: torch.Tensor, responses: torch.Tensor, backend: str) -> None:
    """Fit and predict all folds, with one penalty for all units, as in `encoding.himalaya`; r is left out."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV

    set_backend(backend)
    for train, test in case.splits:
        model = KernelRidgeCV(case.alphas, fit_intercept=True, warn=False, solver_params={"local_alpha": False})
        model.fit(layer[train], responses[train]).predict(layer[test])


def tuning(shape: str, settings: argparse.Namespace) -> dict:
    """Seconds of a step of LoRA, its rate and its memory."""
    n, at_once, length = SAMPLES[settings.small]
    network = random_model(shape, settings).network
    adapters.attach(network, adapters.Lora(), 0)
    ids = list(range(3, 3 + length // 2))
    examples = [training.Example(ids, ids)] * n
    optimizer = torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], 1e-4)

    def step() -> None:
        training._backward(network, examples, at_once)
        optimizer.step()
        optimizer.zero_grad()

    with losses_of(network.train()):
        taken = timed(step, settings)
    forward = architectures.from_settings(shrunk(shape, settings.small)).flops(n, length, head=True)
    return taken | {"examples": n, "tokens": n * length, "rate": 2 * forward / taken["seconds"]}


if __name__ == "__main__":
    main()
