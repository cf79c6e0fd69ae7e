"""Language models of the microworld: real transformers, trained on its texts on the spot, and then tuned.

    folder = pretrained(world, "llama-medium")           # in Hugging Face's layout, for `llm.load`
    folders = tuned(world, "llama-medium")               # by step; the last is the tuned model

Llama-shaped models predict the next word of a stream of texts. T5-shaped ones are prefix language models: the encoder
reads the beginning of a piece of that stream, the decoder goes on with it. Either is tuned as a large model would be
(`llm.tuning`). All are kept in the store, under a digest of everything that determines them.
"""

import re
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import numpy as np

from brainalign import messages, store
from brainalign.llm import tuning
from brainalign.llm.models import networks
from brainalign.llm.reading.tokens import encode
from brainalign.llm.tuning import Tuning, checkpoints, samples, training
from brainalign.llm.tuning.training import Example, Recipe
from brainalign.microworld import grammar, questions
from brainalign.microworld.world import World
from brainalign.store.entries import locked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REVISION = 1  # of what is trained here; a new one leaves trained models behind
N_WORDS, N_RECITATIONS = 300_000, 4000  # of the corpus; about one text in three asks a question
N_SAMPLES = 1200  # to tune with
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
PAD, BEGIN, END, _ = range(len(SPECIAL))
POSITIONS = 128  # tokens that a Llama-shaped model reads at once


@dataclass(frozen=True)
class Shape:
    """A network and how it is trained: blocks are those of a stack, encoder and decoder have as many each."""

    family: str
    width: int
    n_blocks: int
    n_steps: int
    learning_rate: float
    length: int = POSITIONS  # most tokens of an example
    batch_size: int = 8


SHAPES = {
    "llama-small": Shape("llama", 32, 2, 1200, 1e-2),
    "llama-medium": Shape("llama", 64, 2, 1200, 4e-3),
    "llama-large": Shape("llama", 96, 3, 1300, 6e-3),
    "t5-small": Shape("t5", 32, 2, 900, 1e-2, 48, 24),
    "t5-large": Shape("t5", 64, 2, 800, 1e-2, 48, 24),
}
TUNING = Tuning(
    recipe=Recipe(epochs=2, batch_size=16, at_once=16, learning_rate=5e-4, max_length=POSITIONS),
    checkpoints=(0, 10, 20, 50, 100),
)


def shape_of(name: str) -> Shape:
    """Network of a model, and how it is trained; a `LookupError` that suggests near names where there is none."""
    if name not in SHAPES:
        raise LookupError(messages.unknown("model of the microworld", name, SHAPES))
    return SHAPES[name]


def effort(name: str) -> float:
    """How long a model is trained, relative to the mean of them: by tokens, width and blocks of all stacks."""

    def product(shape: Shape) -> int:
        stacks = 3 if shape.family == "t5" else 1  # blocks of a decoder that attends to an encoder count twice
        return shape.n_steps * shape.batch_size * shape.length * shape.width * shape.n_blocks * stacks

    return product(SHAPES[name]) / np.mean([*map(product, SHAPES.values())])


def pretrained(world: World, name: str) -> Path:
    """Folder of one of `SHAPES`, trained on the corpus of a world: made once, read off the store from then on.

    Raises as `shape_of`.
    """
    shape = shape_of(name)
    folder = _folder(name, _identity(world, name))
    with locked(folder):
        if not (folder / "config.json").exists():
            network, words = networks.fresh(_config(shape), world.seed), tokenizer(shape.family)
            examples = _examples(world, shape)
            recipe = _recipe(world, shape, len(examples))

            def save(step: int) -> None:
                checkpoints.save_model(network, words, folder)

            state = folder.with_suffix(".run")
            with training.few_threads(network.num_parameters()):
                training.train(network, examples, recipe, state, save=save, every=20, title=name)
            rmtree(state, ignore_errors=True)
    return folder


def tuned(world: World, name: str, settings: Tuning | None = None) -> dict[int, Path]:
    """Folders of a model along its tuning (`TUNING`) on the world's samples, by the steps made; as `pretrained`."""
    base = pretrained(world, name)
    options = {"name": f"microworld-{name}", "device": "cpu", "every": 20}
    return tuning.tuned(base, questions.instructions(world, N_SAMPLES), settings or TUNING, **options)


def tokenizer(family: str) -> "PreTrainedTokenizerFast":
    """A token a word, lower case, and a token a mark; for Llama with ``<s>`` in front, for T5 with ``</s>`` behind."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    frame = re.findall(r"\w+|[^\w\s]+", f"{samples.WITH_INPUT} {samples.WITHOUT_INPUT}".lower())
    pieces = dict.fromkeys([*SPECIAL, *".,?'", *sorted(frame), *questions.vocabulary()])
    words = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    single, special = ("<s> $A", ("<s>", BEGIN)) if family == "llama" else ("$A </s>", ("</s>", END))
    words.post_processor = processors.TemplateProcessing(single=single, special_tokens=[special])
    roles = ("pad_token", "bos_token", "eos_token", "unk_token")
    tokens = {role: token for role, token in zip(roles, SPECIAL, strict=True) if (role, family) != ("bos_token", "t5")}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=POSITIONS, **tokens)


def _config(shape: Shape):
    """Settings of the network. Embeddings and head are apart: tied, facts are learned several times slower."""
    from transformers import LlamaConfig, T5Config

    common = {"vocab_size": len(tokenizer(shape.family)), "tie_word_embeddings": False}
    common |= {"pad_token_id": PAD, "eos_token_id": END}
    if shape.family == "t5":
        return T5Config(
            d_model=shape.width,
            d_kv=16,
            d_ff=2 * shape.width,
            num_heads=shape.width // 16,
            num_layers=shape.n_blocks,
            feed_forward_proj="gated-gelu_pytorch_tanh",
            dropout_rate=0.0,
            initializer_factor=0.4,  # with 1, as for embeddings that are scaled down, losses begin at 20 nats
            decoder_start_token_id=PAD,
            **common,
        )
    return LlamaConfig(
        hidden_size=shape.width,
        intermediate_size=3 * shape.width,
        num_attention_heads=shape.width // 16,
        num_hidden_layers=shape.n_blocks,
        max_position_embeddings=POSITIONS,
        initializer_range=0.5 * shape.width**-0.5,  # 0.02, meant for widths of thousands, learns slowly here
        bos_token_id=BEGIN,
        **common,
    )


def _recipe(world: World, shape: Shape, n_examples: int) -> Recipe:
    return Recipe(
        epochs=shape.n_steps * shape.batch_size / n_examples,
        batch_size=shape.batch_size,
        at_once=shape.batch_size,
        learning_rate=shape.learning_rate,
        weight_decay=0.01,
        beta2=0.95,
        seed=world.seed,
    )


def _examples(world: World, shape: Shape) -> list[Example]:
    """Pieces of texts: for a causal model of all in a row, for an encoder-decoder of each alone, cut in two."""
    stream = _stream(world)
    if shape.family == "llama":
        n_pieces = len(stream) // shape.length
        return [Example([], piece) for piece in stream[: n_pieces * shape.length].reshape(n_pieces, -1).tolist()]
    # Were there other ends of texts in its input, the decoder could hardly tell which of them it has to go on from.
    texts = [text[1:].tolist() for text in np.split(stream, np.flatnonzero(stream == END) + 1)[:-1]]
    pieces = [text[start : start + shape.length] for text in texts for start in range(0, len(text), shape.length)]
    pieces = [piece for piece in pieces if len(piece) > 2]
    cuts = np.random.default_rng(world.seed).integers(1, [len(piece) - 1 for piece in pieces]).tolist()
    return [Example([*piece[:cut], END], piece[cut:]) for piece, cut in zip(pieces, cuts, strict=True)]


def _stream(world: World) -> np.ndarray:
    """Tokens of all texts in random order, each between ``<s>`` and ``</s>``: (n_tokens,)."""

    def compute() -> tuple[dict[str, np.ndarray], dict]:
        texts = [str(text) for text in grammar.corpus(world, N_WORDS)] + questions.recitations(world, N_RECITATIONS)
        order = np.random.default_rng(world.seed).permutation(len(texts))
        encoded = encode(tokenizer("llama"), [texts[i] for i in order])
        return {"tokens": np.array([token for text in encoded for token in (BEGIN, *text.ids, END)], np.int16)}, {}

    return store.get("microworld", {"what": "stream of texts", **_text(world)}, compute).arrays["tokens"].astype(int)


def _text(world: World) -> dict:
    """What tells the texts of a world from any other's: their number, and what some of them say."""
    return {"revision": REVISION, "world": world.seed, "n": [N_WORDS, N_RECITATIONS], "text": _sample_text(world)}


@cache
def _sample_text(world: World) -> str:
    return store.digest([str(text) for text in islice(grammar.corpus(world), 100)] + questions.recitations(world, 100))


def _identity(world: World, name: str) -> dict:
    shape = shape_of(name)
    settings = {"shape": asdict(shape), "recipe": asdict(_recipe(world, shape, 1))}
    return {**_text(world), **settings, "config": _config(shape).to_json_string(), **networks.versions()}


def _folder(name: str, identity: dict) -> Path:
    return store.root() / "models" / f"microworld-{name}-{store.digest(identity)[:16]}"
