"""llama2.c exports: against its run.c, written out in NumPy and plain Python, on made-up models and a real one."""

import json
import math
import struct

import numpy as np
import pytest
import torch
from close import assert_close
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainalign.human.download import fetch_all
from brainalign.llm.models import llama2c
from brainalign.llm.models.load import load

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LETTERS = [" ", *"etaoinshrdlucmfwypvbgkjqxz.,'\"TOSL\u00e9\u2026"]
MADE = [" t", "he", " the", "th", "ll", " l", "il", "  ", "ed", "...", "..", " a", "and", "an", "es", "ere", "re"]
SIZES = {"dim": 24, "hidden_dim": 40, "n_layers": 2, "n_heads": 6, "n_kv_heads": 2, "seq_len": 32}
TEXTS = [
    "Once upon a time, there was a little girl named Lily.",
    "  two  spaces   three ",
    " leading and trailing ",
    "\"Quotes,\" she said, 'are hard'; isn't it\u2026 \u201cyes\u201d",
    "na\u00efve caf\u00e9 \u2014 \u65e5\u672c\u8a9e \U0001f600 \u0000 \u00a0",
    "line\nfeeds\n\n\tand tabs\r\n",
    "....... !!!! aaaa    ",
    " ",
    "x",
    "",
]


def pieces_of(path):
    """Pieces and scores as they are in the file."""
    content, place, pieces = path.read_bytes(), 4, []
    while place < len(content):
        score, length = struct.unpack_from("<fi", content, place)
        pieces.append((content[place + 8 : place + 8 + length].decode(), score))
        place += 8 + length
    return pieces


def written_pieces(path, pieces):
    longest = max(len(piece.encode()) for piece, _ in pieces)
    entries = [struct.pack("<fi", score, len(piece.encode())) + piece.encode() for piece, score in pieces]
    path.write_bytes(struct.pack("<i", longest) + b"".join(entries))
    return path


def vocabulary():
    made = [(piece, -float(rank)) for rank, piece in enumerate([*MADE, *LETTERS])]
    return [("<unk>", 0.0), ("\n<s>\n", 0.0), ("\n</s>\n", 0.0), *((piece, 0.0) for piece in BYTES), *made]


N_PIECES = len(vocabulary())


def shapes_of(dim, hidden, n, heads, kv_heads, n_pieces, positions):
    """What is in an export after its header, in order."""
    kv = dim // heads * kv_heads
    shapes = {"tok": (abs(n_pieces), dim), "rms_att": (n, dim), "wq": (n, dim, dim), "wk": (n, kv, dim)}
    shapes |= {"wv": (n, kv, dim), "wo": (n, dim, dim), "rms_ffn": (n, dim), "w1": (n, hidden, dim)}
    shapes |= {"w2": (n, dim, hidden), "w3": (n, hidden, dim), "rms_final": (dim,)}
    shapes |= {"cos": (positions, dim // heads // 2), "sin": (positions, dim // heads // 2)}
    return shapes if n_pieces > 0 else shapes | {"wcls": (-n_pieces, dim)}


def written_weights(path, shared=True, seed=0, **sizes):
    """A random export."""
    *sizes, positions = (SIZES | sizes).values()
    header = *sizes, N_PIECES if shared else -N_PIECES, positions
    rng = np.random.default_rng(seed)
    tensors = [rng.normal(0.3 if name[:3] == "rms" else 0, 0.3, shape) for name, shape in shapes_of(*header).items()]
    path.write_bytes(struct.pack("<7i", *header) + b"".join(values.astype("<f4").tobytes() for values in tensors))
    return path


def export(folder, **sizes):
    folder.mkdir(exist_ok=True)
    written_pieces(folder / "tokenizer.bin", vocabulary())
    return written_weights(folder / "model.bin", **sizes)


def run_c(path, tokens):
    """Logits at every token, one at a time with a cache of keys and values: `forward` of run.c."""
    content = path.read_bytes()
    header = struct.unpack_from("<7i", content)
    dim, _, n_layers, n_heads, n_kv, *_ = header
    head, shapes = dim // n_heads, shapes_of(*header)
    stops = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(np.frombuffer(content, "<f4", int(stops[-1]), offset=28), stops[:-1])
    w = {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}

    def normed(x, weight):
        return weight * (x / np.sqrt((x @ x) / len(x) + 1e-5))

    def rotated(x, position):
        out = x.copy()
        for i in range(0, len(x), 2):
            angle = position / 10000 ** ((i % head) / head)
            out[i] = x[i] * np.cos(angle) - x[i + 1] * np.sin(angle)
            out[i + 1] = x[i] * np.sin(angle) + x[i + 1] * np.cos(angle)
        return out

    keys, values = [[] for _ in range(n_layers)], [[] for _ in range(n_layers)]
    logits = []
    for position, token in enumerate(tokens):
        x = w["tok"][token].astype(float)
        for layer in range(n_layers):
            y = normed(x, w["rms_att"][layer])
            q = rotated(w["wq"][layer] @ y, position).reshape(n_heads, head)
            keys[layer].append(rotated(w["wk"][layer] @ y, position).reshape(n_kv, head))
            values[layer].append((w["wv"][layer] @ y).reshape(n_kv, head))
            attended = []
            for h in range(n_heads):
                of_kv = h // (n_heads // n_kv)
                scores = np.array([q[h] @ key[of_kv] for key in keys[layer]]) / np.sqrt(head)
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                attended.append(sum(share * value[of_kv] for share, value in zip(weights, values[layer], strict=True)))
            x = x + w["wo"][layer] @ np.concatenate(attended)
            y = normed(x, w["rms_ffn"][layer])
            gate = w["w1"][layer] @ y
            x = x + w["w2"][layer] @ (gate / (1 + np.exp(-gate)) * (w["w3"][layer] @ y))
        logits.append(w.get("wcls", w["tok"]) @ normed(x, w["rms_final"]))
    return np.array(logits)


def encoded(text, pieces):
    """`encode` of run.c: letters or their bytes, then the pair with the best score merged until none is left."""
    numbers = {piece: number for number, (piece, _) in enumerate(pieces)}
    tokens = [1] + ([numbers[" "]] if text else [])
    for letter in text:
        tokens += [numbers[letter]] if letter in numbers else [byte + 3 for byte in letter.encode()]
    while True:
        best, where = -1e10, None
        for i in range(len(tokens) - 1):
            merged = numbers.get(pieces[tokens[i]][0] + pieces[tokens[i + 1]][0])
            if merged is not None and pieces[merged][1] > best:
                best, where = pieces[merged][1], i
        if where is None:
            return tokens
        tokens[where : where + 2] = [numbers[pieces[tokens[where]][0] + pieces[tokens[where + 1]][0]]]


@pytest.fixture
def real(mirror):
    """The real export: weights and tokenizer."""
    return tuple(fetch_all("stories260k").values())


def logits(model, tokens):
    with torch.inference_mode():
        return model.network(torch.tensor([tokens])).logits[0].numpy()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    "sizes", [{}, {"n_kv_heads": 6}, {"n_kv_heads": 1, "n_layers": 3}, {"dim": 12, "n_heads": 3, "n_kv_heads": 3}]
)
def test_a_made_up_model_gives_the_logits_of_run_c(tmp_path, shared, sizes):
    path = export(tmp_path / "made", shared=shared, **sizes)
    model = load(path)
    tokens = np.random.default_rng(0).integers(0, N_PIECES, 20).tolist()
    expected = run_c(path, tokens)
    assert expected.std() > 0.3
    assert_close(logits(model, tokens), expected)
    assert (model.name, model.n_positions, model.n_layers) == ("model", 32, (SIZES | sizes)["n_layers"])
    assert model.n_vocabulary == N_PIECES
    head, embedding = model.network.get_output_embeddings(), model.network.get_input_embeddings()
    assert (head.weight is embedding.weight) == shared


def test_the_real_model_gives_the_logits_of_run_c(real):
    model = load("stories260k")
    tokens = model.tokenizer(TEXTS[0])["input_ids"]
    assert_close(logits(model, tokens), run_c(real[0], tokens))


def test_the_real_model_knows_its_stories(mirror):
    model, twin = load("stories260k"), load("stories260K", untrained=0)
    ids = model.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        known, random = (one.network(ids, labels=ids).loss.item() for one in (model, twin))
    assert known < 1 < math.log(512) - 1 < random  # nats a token
    told = model.network.generate(ids, max_new_tokens=60, do_sample=False)
    text = model.tokenizer.decode(told[0], skip_special_tokens=True)
    assert text.startswith(TEXTS[0] + " She loved to play outside in the park.")
    assert "\ufffd" not in text


@pytest.mark.parametrize("text", TEXTS)
def test_the_real_tokenizer_merges_as_run_c_does(real, text):
    tokenizer, pieces = load("stories260k").tokenizer, pieces_of(real[1])
    tokens = tokenizer(text)["input_ids"]
    assert tokens == encoded(text, pieces)
    assert tokenizer.decode(tokens, skip_special_tokens=True) == text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    llama2c.convert(export(folder / "export"), folder / "export" / "tokenizer.bin", folder / "converted")
    return load(folder / "converted").tokenizer


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text("theland. \n\u00e9<>", max_size=40),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=20),
    )
)
def test_any_text_is_merged_as_run_c_does_and_comes_back(made, text):
    if any(special in text for special in ("<s>", "</s>", "<unk>")):
        return
    tokens = made(text)["input_ids"]
    assert tokens == encoded(text, vocabulary())
    assert made.decode(tokens, skip_special_tokens=True) == text


def test_tokens_know_their_characters(made):
    text = "the little \u00e9\u2713 land"
    read = made(text, return_offsets_mapping=True)
    assert read["input_ids"][0] == made.bos_token_id == 1
    covered = {i for start, end in read["offset_mapping"] for i in range(start, end)}
    assert covered == set(range(len(text)))
    assert made("<s>")["input_ids"][:2] == [1, 1]  # in a text, it is the token, as in every Llama


def test_a_model_is_converted_once_and_under_its_content(tmp_path, monkeypatch):
    path = export(tmp_path / "one")
    identity = llama2c.identify(path)
    assert identity == json.loads(json.dumps(identity))
    folder = llama2c.converted(path)
    other = llama2c.converted(export(tmp_path / "two", seed=1))
    assert other != folder
    monkeypatch.setattr(llama2c, "convert", None)
    same = llama2c.converted(export(tmp_path / "three"))
    assert same == folder
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {file.name for file in folder.iterdir()} == names


def test_a_conversion_that_was_killed_is_done_again(tmp_path, monkeypatch):
    path = export(tmp_path / "one")
    with monkeypatch.context() as killed:
        killed.setattr(llama2c, "_tokenizer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            load(path)
    assert not list((tmp_path / "store").rglob("config.json"))
    assert load(path).n_layers == 2


def test_the_tokenizer_must_be_beside_the_weights_and_the_only_one(tmp_path):
    path = export(tmp_path / "one")
    (tmp_path / "one" / "tok512.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"one tokenizer .* beside .*, got tok512\.bin, tokenizer\.bin"):
        load(path)
    for file in (tmp_path / "one").glob("tok*.bin"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"beside .*, got none"):
        load(path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*none\.bin"):
        load(tmp_path / "none.bin")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:20], "has 20 bytes, less than a header"),
        (lambda content: content[:-4], "expected .* for .*'hidden_size': 24, 'intermediate_size': 40"),
        (lambda content: content + b"\0" * 4, "expected"),
        (lambda content: struct.pack("<2i", 0x616B3432, 2) + content[8:], "export of version 0 .*: it is of version 2"),
        (lambda content: b"\0" * len(content), "begins with .*'hidden_size': 0"),
        (lambda content: content[:12] + struct.pack("<i", 5) + content[16:], "heads of an even width"),
        (lambda content: content[:16] + struct.pack("<i", 4) + content[20:], "multiple of num_key_value_heads"),
        (lambda content: content[:20] + struct.pack("<i", 12) + content[24:], "a vocabulary of more than 259"),
    ],
)
def test_bad_weights_are_named(tmp_path, spoil, message):
    path = export(tmp_path / "one")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        load(path)
    assert str(path) in str(error.value)
    assert not list((tmp_path / "store").rglob("config.json"))


def changed(number, piece):
    pieces = vocabulary()
    pieces[number] = (piece, 0.0)
    return pieces


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (vocabulary()[:-1], f"after {N_PIECES - 1} of {N_PIECES} pieces"),
        ([*vocabulary(), ("zz", -99.0)], f"after {N_PIECES} of {N_PIECES} pieces: the file goes on"),
        (changed(70, "A"), "piece 70 of .* is 'A', expected '<0x43>'"),
        (changed(1, "[CLS]"), r"piece 1 of .* is '\[CLS\]', expected '<s>'"),
        (changed(300, "he"), "has the piece 'he' more than once"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_named(tmp_path, pieces, message):
    path = export(tmp_path / "one")
    written_pieces(tmp_path / "one" / "tokenizer.bin", pieces)
    with pytest.raises(ValueError, match=message) as error:
        load(path)
    assert "tokenizer.bin" in str(error.value)
    assert not list((tmp_path / "store").rglob("config.json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"after 0 of {N_PIECES} pieces"),
        (struct.pack("<ifi", 7, 0, 8) + b"x" * 7, f"after 0 of {N_PIECES} pieces"),
        (struct.pack("<ifi", 7, 0, -1), f"after 0 of {N_PIECES} pieces"),
        (struct.pack("<ifi", 7, 0, 2) + b"\xff\xfe", "utf-8"),
    ],
)
def test_a_tokenizer_that_is_none_is_named(tmp_path, content, message):
    path = export(tmp_path / "one")
    (tmp_path / "one" / "tokenizer.bin").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(path)
