"""Loading language models: tiny ones from folders, a made-up hub cache and a made-up hub; never the network."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import tiny
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from brainalign import catalog
from brainalign.llm.models import networks, sources
from brainalign.llm.models.load import load

COMMIT, OTHER_COMMIT = "0123456789abcdef" * 2 + "01234567", "f" * 40
TEXT = "Lily saw a bird in the tree."
MAKERS = {"gpt2": tiny.gpt2, "llama": tiny.llama, "t5": tiny.t5}
AUTO = {
    "gpt2": transformers.AutoModelForCausalLM,
    "llama": transformers.AutoModelForCausalLM,
    "t5": transformers.AutoModelForSeq2SeqLM,
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: make(folder / name) for name, make in MAKERS.items()}


@pytest.fixture
def folder(originals, tmp_path):
    """Copy of a tiny model, to be spoiled; GPT-2's if not asked otherwise."""
    return lambda name="gpt2": Path(shutil.copytree(originals[name], tmp_path / f"my-{name}"))


def answered_by(monkeypatch, address):
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and a hub that nobody answers for: its port is closed."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    answered_by(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def in_cache(cache, repository, model, commit=COMMIT, reference="main", without=()):
    """Lay a model out as the hub's cache does: blobs, links to them, and a reference."""
    of_model = cache / f"models--{repository.replace('/', '--')}"
    snapshot = of_model / "snapshots" / commit
    for part in (of_model / "blobs", of_model / "refs", snapshot):
        part.mkdir(parents=True, exist_ok=True)
    for file in sorted(model.iterdir()):
        if file.name in without:
            continue
        blob = of_model / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    (of_model / "refs" / reference).write_text(commit)
    return snapshot


def outputs(network, tokenizer):
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        decoder = {"decoder_input_ids": ids} if network.config.is_encoder_decoder else {}
        return network(input_ids=ids, **decoder).logits


def same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def edit(path, **entries):
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


# What is loaded


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_is_loaded_as_transformers_does(originals, name):
    model = load(originals[name])
    network = AUTO[name].from_pretrained(originals[name])
    tokenizer = transformers.AutoTokenizer.from_pretrained(originals[name])
    assert same_weights(model.network, network)
    assert model.tokenizer(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]
    torch.testing.assert_close(outputs(model.network, model.tokenizer), outputs(network, tokenizer), rtol=0, atol=0)
    assert not model.network.training
    assert not any(weights.requires_grad for weights in model.network.parameters())
    assert model.tokenizer.is_fast
    assert model.name == name
    assert str(originals[name]) not in json.dumps(model.identity)


def test_sizes_are_those_of_the_network(originals):
    models = {name: load(path) for name, path in originals.items()}
    assert {name: model.encoder_decoder for name, model in models.items()} == {
        "gpt2": False,
        "llama": False,
        "t5": True,
    }
    assert {name: model.n_layers for name, model in models.items()} == {"gpt2": 3, "llama": 3, "t5": 4}
    assert {name: model.n_positions for name, model in models.items()} == {"gpt2": 64, "llama": 64, "t5": None}
    for model in models.values():
        stored = model.network.state_dict()
        assert model.width == model.network.get_input_embeddings().weight.shape[1] == tiny.WIDTH
        assert model.n_vocabulary == outputs(model.network, model.tokenizer).shape[-1] == len(model.tokenizer)
        assert model.n_parameters == sum({weights.data_ptr(): weights.numel() for weights in stored.values()}.values())
        assert model.device == torch.device("cpu")


@pytest.mark.parametrize("untrained", [None, 0])
@pytest.mark.parametrize("name", MAKERS)
def test_what_the_configuration_tells_needs_no_weights(originals, name, untrained, monkeypatch):
    eager, lazy = load(originals[name], untrained=untrained), load(originals[name], untrained=untrained)
    network = eager.network
    monkeypatch.setattr(networks, "fresh", None)
    monkeypatch.setattr(networks, "trained", None)
    assert lazy.identity == eager.identity
    assert lazy.n_parameters == sum(weights.numel() for weights in network.parameters())
    assert lazy.n_layers == sum(map(len, networks.blocks(network).values()))
    assert lazy.width == network.get_input_embeddings().weight.shape[1]
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        lazy.read()


def test_weights_are_read_once_whatever_the_model_is_called(originals):
    model = load(originals["gpt2"])
    assert replace(model, name="other").network is model.network


def test_weights_that_were_exchanged_since_are_not_read(folder):
    path = folder()
    model = load(path)
    weights_of(lambda weights: {name: values + 1 for name, values in weights.items()})(path)
    with pytest.raises(ValueError, match="a file has been exchanged since the model was identified by it"):
        model.read()
    assert load(path).network is not None


@pytest.mark.parametrize("untrained", [None, 0])
@pytest.mark.parametrize("told", [None, "bfloat16"])
@pytest.mark.parametrize("shards", [False, True])
def test_the_stored_precision_is_known_before_weights_are_read(folder, told, untrained, shards):
    path = folder()
    network = load(path, dtype="float16").network
    if shards:
        (path / "model.safetensors").unlink()
    network.save_pretrained(path, max_shard_size="50KB" if shards else "1GB")
    edit(path / "config.json", dtype=told)
    model = load(path, dtype="auto", untrained=untrained)
    assert model.identity["dtype"] == str(model.network.dtype).removeprefix("torch.")
    assert model.identity["dtype"] == told or ("float16" if untrained is None else "float32")


@pytest.mark.parametrize(("config", "tokenizer", "expected"), [(512, 300, 512), (None, 300, 300), (None, 10**30, None)])
def test_a_t5_reads_as_much_as_its_config_or_its_tokenizer_says(folder, config, tokenizer, expected):
    path = folder("t5")
    edit(path / "config.json", n_positions=config)
    edit(path / "tokenizer_config.json", model_max_length=tokenizer)
    assert load(path).n_positions == expected


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("untrained", [None, 0])
@pytest.mark.parametrize("name", MAKERS)
def test_precision_is_what_was_asked_for(originals, name, untrained, dtype):
    model, full = load(originals[name], dtype=dtype, untrained=untrained), load(originals[name], untrained=untrained)
    expected = AUTO[name].from_pretrained(originals[name], dtype=dtype)  # T5 keeps a part in float32
    for (key, weights), kept, exact in zip(
        model.network.named_parameters(), expected.parameters(), full.network.parameters(), strict=True
    ):
        assert weights.dtype == kept.dtype, key
        assert torch.equal(weights, exact.to(kept.dtype))
    assert model.identity["dtype"] == dtype
    assert (model.identity == full.identity) == (dtype == "float32")


def test_auto_is_the_precision_that_was_stored(folder):
    path = folder()
    load(path, dtype="bfloat16").network.save_pretrained(path)
    for untrained in (None, 0):
        assert load(path, dtype="auto", untrained=untrained).identity["dtype"] == "bfloat16"
        assert load(path, untrained=untrained).identity["dtype"] == "float32"


def test_loading_is_quiet_and_leaves_the_caller_alone(originals, capfd):
    torch.manual_seed(7)
    before, verbosity = torch.get_rng_state(), transformers.utils.logging.get_verbosity()
    for path in originals.values():
        for model in (load(path), load(path, untrained=3)):
            assert model.n_parameters == sum(weights.numel() for weights in model.network.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    assert transformers.utils.logging.get_verbosity() == verbosity
    assert transformers.utils.logging.is_progress_bar_enabled()
    assert capfd.readouterr() == ("", "")


def test_importing_does_not_import_torch():
    code = "import brainalign.llm.models.load, sys; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# Untrained twins


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_an_untrained_twin_is_what_the_architecture_draws(originals, name):
    config = transformers.AutoConfig.from_pretrained(originals[name])
    torch.manual_seed(5)
    expected = AUTO[name].from_config(config)
    model = load(originals[name], untrained=5)
    assert same_weights(model.network, expected)
    assert model.name == f"{name}-untrained-5"
    assert model.identity["untrained"] == 5
    assert not same_weights(model.network, load(originals[name], untrained=6).network)


def test_the_head_of_an_untrained_t5_is_its_own_like_a_trained_ones(originals):
    for untrained in (None, 0):
        network = load(originals["t5"], untrained=untrained).network
        shared = network.shared.weight
        assert network.encoder.embed_tokens.weight is network.decoder.embed_tokens.weight is shared
        assert not torch.equal(network.lm_head.weight, shared)
        assert network.lm_head.weight.std() == pytest.approx(1, abs=0.05)
        assert not network.config.scale_decoder_outputs
    assert same_weights(network, load(originals["t5"], untrained=0).network)


def test_a_config_of_transformers_4_says_the_same_of_the_head(folder):
    path = folder("t5")
    new = [load(path, untrained=untrained).network for untrained in (None, 0)]
    edit(path / "config.json", scale_decoder_outputs=None, tie_word_embeddings=False)
    old = [load(path, untrained=untrained).network for untrained in (None, 0)]
    for one, other in zip(new, old, strict=True):
        assert same_weights(one, other)
        assert not other.config.scale_decoder_outputs


def test_the_head_of_an_old_t5_stays_tied(folder):
    path = folder("t5")
    edit(path / "config.json", scale_decoder_outputs=None, tie_word_embeddings=None)
    network = load(path, untrained=0).network
    assert network.lm_head.weight is network.shared.weight


def test_an_untrained_twin_needs_no_weights(folder):
    path = folder()
    expected = load(path, untrained=0)
    (path / "model.safetensors").unlink()
    model = load(path, untrained=0)
    assert same_weights(model.network, expected.network)
    assert model.identity == expected.identity
    with pytest.raises(FileNotFoundError, match="has no weights"):
        load(path)


def test_the_identity_of_a_twin_has_all_that_decides_it(folder, monkeypatch):
    path = folder()
    found = [load(path, untrained=0).identity, load(path, untrained=1).identity, load(path).identity]
    edit(path / "config.json", initializer_range=0.1)
    found.append(load(path, untrained=0).identity)
    edit(path / "tokenizer_config.json", add_prefix_space=True)
    found.append(load(path, untrained=0).identity)
    monkeypatch.setattr("transformers.__version__", "6.0.0")  # by name: transformers replaces its own module
    found.append(load(path, untrained=0).identity)
    monkeypatch.setattr("torch.__version__", "3.0.0+cpu")
    found.append(load(path, untrained=0).identity)
    assert len({json.dumps(identity) for identity in found}) == len(found)


@pytest.mark.parametrize("seed", [True, -1, 1.0, "0", 2**63])
def test_a_seed_is_a_number(originals, seed):
    with pytest.raises(ValueError, match=r"untrained is .*, expected the seed"):
        load(originals["gpt2"], untrained=seed)


# Identities


def test_the_identity_of_a_folder_is_its_content(folder, tmp_path):
    path = folder()
    first = load(path).identity
    moved = Path(shutil.copytree(path, tmp_path / "elsewhere"))
    (moved / "README.md").write_text("Not part of the model.")
    assert load(moved).identity == load(str(moved)).identity == first
    found = [first]
    edit(moved / "config.json", layer_norm_epsilon=1e-6)
    found.append(load(moved).identity)
    edit(moved / "tokenizer_config.json", model_max_length=32)
    found.append(load(moved).identity)
    weights = load_file(moved / "model.safetensors")
    save_file(weights | {"transformer.ln_f.bias": weights["transformer.ln_f.bias"] + 1}, moved / "model.safetensors")
    found.append(load(moved).identity)
    assert len({json.dumps(identity) for identity in found}) == 4


# The hub's cache, and mirrors


def test_a_model_of_the_cache_is_loaded_without_a_network(cache, originals):
    in_cache(cache, "org/tiny.model", originals["gpt2"])
    in_cache(cache, "org/tiny.model", originals["llama"], OTHER_COMMIT, "step1000")
    model = load("org/tiny.model")
    assert (model.name, model.identity) == (
        "org/tiny.model",
        {"hub": "org/tiny.model", "commit": COMMIT, "dtype": "float32"},
    )
    assert same_weights(model.network, load(originals["gpt2"]).network)
    for revision in ("step1000", OTHER_COMMIT):
        other = load("org/tiny.model", revision=revision)
        assert other.identity["commit"] == OTHER_COMMIT
        assert other.network.config.model_type == "llama"
    assert load("org/tiny.model", untrained=0).identity == load(originals["gpt2"], untrained=0).identity


def test_a_checkpoint_of_the_catalog_has_the_papers_name(cache, originals):
    in_cache(cache, "google/flan-t5-small", originals["t5"])
    model = load("flan-t5-small")
    assert (model.name, model.identity["hub"]) == ("flan-t5-small", "google/flan-t5-small")


def test_a_mirror_comes_first_and_the_network_never(cache, tmp_path, originals, monkeypatch, hub):
    monkeypatch.setenv("BRAINALIGN_MIRROR", str(tmp_path / "mirror"))
    in_cache(cache, "org/one", originals["gpt2"])
    assert load("org/one").network.config.model_type == "gpt2"
    in_cache(tmp_path / "mirror" / "huggingface" / "hub", "org/one", originals["llama"], OTHER_COMMIT)
    assert load("org/one").identity["commit"] == OTHER_COMMIT
    with pytest.raises(
        FileNotFoundError, match=r"org/model \(revision main\) is not in .*mirror.*hub or .*hub.*hf download"
    ):
        load("org/model")
    assert hub.asked == []


def test_what_a_cache_lacks_is_said(cache, tmp_path, originals, monkeypatch):
    snapshot = in_cache(cache, "org/model", originals["gpt2"], without=["model.safetensors"])
    message = rf"could not get org/model.*refused.*{re.escape(str(snapshot))} has no weights"
    with pytest.raises(ConnectionError, match=message):
        load("org/model")
    monkeypatch.setenv("BRAINALIGN_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(FileNotFoundError, match="has no weights"):
        load("org/model")


# The hub


class Hub(ThreadingHTTPServer):
    """A hub on 127.0.0.1 with one model, org/model, whose misbehavior is switched on by attributes."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.status, self.code = None, ""  # an error instead of any answer
        self.refused = {}  # an error instead of a file: status and code
        self.cut = False  # break off in the middle of weights
        self.asked = []


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            weights = self.path.endswith("safetensors")
            self.wfile.write(content[: len(content) // 2] if self.server.cut and weights else content)

    def do_GET(self):
        hub, path = self.server, unquote(urlsplit(self.path).path)
        if "org/model" in path:  # and not what the library asks of any hub, once a process
            hub.asked.append(path)
        name = path.rpartition("/")[2]
        status, code = hub.refused.get(name, (hub.status, hub.code))
        if status:
            self.answer(status, b"{}", X_Error_Code=code, X_Error_Message="made up")
        elif path.startswith("/api/models/org/model/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in hub.files.items()
            ]
            self.answer(200, json.dumps(entries).encode(), Content_Type="application/json")
        elif path.startswith("/api/models/org/model"):
            listed = {"id": "org/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in hub.files]}
            self.answer(200, json.dumps(listed).encode(), Content_Type="application/json")
        elif name in hub.files:
            digest = hashlib.sha256(hub.files[name]).hexdigest()
            self.answer(200, hub.files[name], ETag=f'"{digest}"', X_Repo_Commit=COMMIT)
        else:
            self.answer(404, X_Error_Code="EntryNotFound")

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(originals, monkeypatch):
    hub = Hub()
    hub.files = {file.name: file.read_bytes() for file in originals["gpt2"].iterdir()}
    extra = ("README.md", "pytorch_model.bin", "onnx/model.onnx", "onnx/model.safetensors", "model.fp16.safetensors")
    hub.files |= dict.fromkeys(extra, b"not wanted")
    threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True).start()
    answered_by(monkeypatch, f"http://127.0.0.1:{hub.server_address[1]}")
    yield hub
    hub.shutdown()
    hub.server_close()


def test_a_model_of_the_hub_is_downloaded_once_and_no_more_than_it_takes(hub, cache, originals, capfd):
    model = load("org/model")
    assert capfd.readouterr() == ("", "")  # bars are for terminals
    assert model.identity == {"hub": "org/model", "commit": COMMIT, "dtype": "float32"}
    assert same_weights(model.network, load(originals["gpt2"]).network)
    (snapshot,) = cache.glob("models--org--model/snapshots/*")
    assert {file.name for file in snapshot.rglob("*")} == {file.name for file in originals["gpt2"].iterdir()}
    hub.asked.clear()
    assert load("org/model").identity == model.identity
    assert load("org/model", revision=COMMIT).identity == model.identity
    assert hub.asked == []


def test_no_weights_are_downloaded_for_an_untrained_twin(hub, originals):
    model = load("org/model", untrained=0)
    assert model.identity == load(originals["gpt2"], untrained=0).identity
    assert not [path for path in hub.asked if path.endswith(("safetensors", ".bin"))]
    assert same_weights(load("org/model").network, load(originals["gpt2"]).network)


@pytest.mark.parametrize(
    ("status", "code", "error", "message"),
    [
        (
            401,
            "RepoNotFound",
            FileNotFoundError,
            "the hub has no model org/model, or shows it to some people only.*HF_TOKEN",
        ),
        (404, "RepoNotFound", FileNotFoundError, "the hub has no model org/model"),
        (404, "RevisionNotFound", FileNotFoundError, "org/model has no revision 'main' on the hub"),
        (403, "GatedRepo", PermissionError, "org/model is gated: accept its terms.*hf auth login.*HF_TOKEN"),
        (403, "", ConnectionError, "could not get org/model .*403"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_remedy(hub, cache, status, code, error, message):
    hub.status, hub.code = status, code
    with pytest.raises(error, match=message):
        load("org/model")
    assert not list(cache.rglob("config.json"))
    assert len(hub.asked) == 1


def test_a_gated_model_is_said_to_be_so_when_its_files_are_refused(hub):
    hub.refused["model.safetensors"] = 403, "GatedRepo"
    with pytest.raises(PermissionError, match="org/model is gated"):
        load("org/model")


def test_a_hub_that_cannot_be_reached_is_said_to_be_so():
    with pytest.raises(
        ConnectionError, match=r"could not get org/model \(revision v2\).*Try again with a network"
    ) as error:
        load("org/model", revision="v2")
    assert "BRAINALIGN_MIRROR" in str(error.value)
    assert str(constants.HF_HUB_CACHE) in str(error.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_down_is_asked_once(hub, status):
    hub.status = status
    with pytest.raises(ConnectionError, match=f"could not get org/model .*{status}"):
        load("org/model")
    assert len(hub.asked) == 1


def test_offline_mode_is_obeyed(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="could not get org/model"):
        load("org/model")
    assert hub.asked == []


def test_a_download_that_broke_off_is_no_model(hub, monkeypatch, originals):
    hub.cut = True
    with pytest.raises(ConnectionError, match="could not get org/model"):
        load("org/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"has no weights"):
        load("org/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.cut = False
    assert same_weights(load("org/model").network, load(originals["gpt2"]).network)


def test_pickles_of_the_hub_are_not_downloaded(hub, cache):
    del hub.files["model.safetensors"]
    with pytest.raises(FileNotFoundError, match=r"only as pytorch_model\.bin: pickles.*revision='refs/pr/NUMBER'"):
        load("org/model")
    assert not list(cache.rglob("*.bin"))


# What is no model


def test_names_are_suggested():
    with pytest.raises(LookupError, match=r"unknown language model 'gpt2-smal'\. Did you mean gpt2-small"):
        load("gpt2-smal")
    with pytest.raises(LookupError, match="Did you mean stories260k"):
        load("stories260")
    with pytest.raises(LookupError, match="unknown language model ''"):
        load("")


@pytest.mark.parametrize("name", ["./flan-t5-small", "~/flan-t5-small", "a/b/c", Path("flan-t5-small")])
def test_a_path_that_is_not_there_is_no_hub_id(name):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load(name)


def test_a_folder_counts_before_a_hub_id_and_the_catalog_before_a_folder(originals, tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    for name in ("org/model", "gpt2-small"):
        shutil.copytree(originals["llama"], tmp_path / name)
    in_cache(cache, "org/model", originals["gpt2"])
    in_cache(cache, "openai-community/gpt2", originals["gpt2"])
    assert load("org/model").network.config.model_type == "llama"
    assert load("gpt2-small").network.config.model_type == "gpt2"
    assert load(Path("gpt2-small")).network.config.model_type == "llama"


def test_only_the_hub_has_revisions(originals):
    with pytest.raises(ValueError, match="not on the hub, so it has no revision 'v2'"):
        load(originals["gpt2"], revision="v2")


def without(*names):
    return lambda path: [(path / name).unlink() for name in names]


def only_pickles(path):
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def in_shards(path):
    network = load(path).network
    (path / "model.safetensors").unlink()
    network.save_pretrained(path, max_shard_size="50KB")
    assert len(list(path.glob("model-*.safetensors"))) > 2
    return network


def one_shard_short(path):
    in_shards(path)
    next(path.glob("model-00002-*.safetensors")).unlink()


def adapter(path):
    (path / "adapter_config.json").write_text("{}")


def settings(**entries):
    return lambda path: edit(path / "config.json", **entries)


def cut_short(path):
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def weights_of(change):
    def spoil(path):
        save_file(change(load_file(path / "model.safetensors")), path / "model.safetensors", {"format": "pt"})

    return spoil


def no_head(weights):
    return {name.removeprefix("transformer."): values for name, values in weights.items() if ".h.1." not in name}


def slow(path):
    (path / "tokenizer.json").unlink()
    edit(path / "tokenizer_config.json", tokenizer_class="CanineTokenizer")
    (path / "vocab.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (without("config.json"), FileNotFoundError, r"has no config\.json"),
        (
            without("tokenizer.json"),
            FileNotFoundError,
            r"has no tokenizer \(tokenizer\.json.*tokenizer\.save_pretrained",
        ),
        (without("model.safetensors"), FileNotFoundError, r"has no weights: no model\.safetensors"),
        (only_pickles, FileNotFoundError, r"only as pytorch_model\.bin: pickles, which run code.*save_pretrained"),
        (
            one_shard_short,
            FileNotFoundError,
            r"lacks model-00002-of-.*\.safetensors, named in model\.safetensors\.index",
        ),
        (adapter, ValueError, "holds an adapter.*merge_and_unload"),
        (settings(transformers_weights="adapter_model.bin"), ValueError, r"own for its weights \(adapter_model\.bin\)"),
        (settings(model_type="telepathy"), ValueError, "describes no model that transformers .* knows.*telepathy"),
        (
            settings(model_type="mine", auto_map={"AutoConfig": "mine.C"}),
            ValueError,
            "without running the model's own code",
        ),
        (settings(n_layer=4), ValueError, r"lacks weights that .* asks for: 12 \(transformer\.h\.3.*be random"),
        (settings(n_layer=2), ValueError, r"has weights that .* not ask for: 11 \(transformer\.h\.2.*be left out"),
        (
            settings(n_positions=128),
            ValueError,
            r"transformer\.wpe\.weight has shape \(64, 32\), and by its config\.json \(128, 32\)",
        ),
        (cut_short, ValueError, "cannot be loaded: "),
        (weights_of(no_head), ValueError, r"lacks weights that .* asks for: 12 \(transformer\.h\.1\."),
        (slow, ValueError, "has a slow tokenizer, CanineTokenizer"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(folder, spoil, error, message):
    path = folder()
    spoil(path)
    with pytest.raises(error, match=f"(?s){re.escape(str(path))}.*{message}"):
        load(path).read()


def test_shards_are_loaded_and_identified(folder):
    path = folder()
    network = in_shards(path)
    model = load(path)
    assert same_weights(model.network, network)
    part = next(path.glob("model-00002-*.safetensors"))
    save_file({name: values + 1 for name, values in load_file(part).items()}, part, {"format": "pt"})
    assert load(path).identity != model.identity


def test_masks_of_old_checkpoints_may_be_left_over(folder):
    path = folder()
    masks = {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
    }
    weights_of(lambda weights: weights | masks)(path)
    assert load(path).n_layers == 3


def test_a_model_that_fills_in_masks_is_none(folder):
    path = folder()
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=500
    )
    transformers.BertForMaskedLM(config).save_pretrained(path)
    for untrained in (None, 0):
        with pytest.raises(ValueError, match="of type bert, which predicts no next words"):
            load(path, untrained=untrained)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dtype": "float23"}, ValueError, "unknown dtype 'float23'. Did you mean float32"),
        ({"device": "cuda:99"}, ValueError, "device 'cuda:99' is not here"),
        ({"device": "gpu"}, ValueError, "device 'gpu' is not here"),
        ({"untrained": 0, "base": "llama-7b"}, ValueError, "an untrained model is no difference"),
        ({"base": "alpaca-7b"}, ValueError, "alpaca-7b is itself published as a difference"),
    ],
)
def test_options_that_do_not_fit_are_named(originals, options, error, message):
    with pytest.raises(error, match=message):
        load(originals["gpt2"], **options)


# Published differences


def difference(tuned, base, new_rows, path, dtype=torch.float32):
    """Write tuned - base, whose embeddings get rows of zeros or means for tokens that only the tuned one has."""
    minuend, subtrahend = load_file(tuned / "model.safetensors"), load_file(base / "model.safetensors")
    found = {}
    for name, values in minuend.items():
        other = subtrahend[name]
        if n_new := len(values) - len(other):
            row = other.mean(dim=0, keepdim=True) if new_rows == "mean" else torch.zeros(1, other.shape[1])
            other = torch.cat([other, *[row] * n_new])
        found[name] = (values - other).to(dtype)
    shutil.copytree(tuned, path)
    save_file(found, path / "model.safetensors", {"format": "pt"})
    return path


@pytest.fixture
def tuned(originals, tmp_path):
    """A Llama with a token more than the original, tuned: all its weights differ."""
    network = load(originals["llama"]).network
    network.resize_token_embeddings(501)
    generator = torch.Generator().manual_seed(0)
    for weights in network.parameters():
        weights += 0.01 * torch.randn(weights.shape, generator=generator)
    path = Path(shutil.copytree(originals["llama"], tmp_path / "tuned"))
    network.save_pretrained(path)
    return path


def test_a_difference_and_its_base_are_the_tuned_model(originals, tuned, tmp_path):
    path = difference(tuned, originals["llama"], "zero", tmp_path / "difference")
    model = load(path, base=originals["llama"])
    for (name, ours), theirs in zip(model.network.named_parameters(), load(tuned).network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0, msg=name)
    assert model.identity["base"] | {"dtype": "float32"} == load(originals["llama"]).identity
    assert model.identity["new_rows"] == "zero"
    assert not model.network.training
    assert not any(weights.requires_grad for weights in model.network.parameters())


def test_sums_are_as_precise_as_asked_for_whatever_was_stored(originals, tuned, tmp_path):
    path = difference(tuned, originals["llama"], "zero", tmp_path / "half", torch.float16)
    edit(path / "config.json", dtype="float16")
    exact, stored = (load(path, base=originals["llama"], dtype=dtype).network for dtype in ("float32", "auto"))
    halves, base = load_file(path / "model.safetensors"), load(originals["llama"]).network.model.norm.weight
    assert torch.equal(exact.model.norm.weight, halves["model.norm.weight"].float() + base)
    assert torch.equal(stored.model.norm.weight, exact.model.norm.weight.half())


def test_weights_that_are_shared_are_added_once(originals, tmp_path):
    path = difference(originals["gpt2"], originals["gpt2"], "zero", tmp_path / "nothing")
    assert same_weights(load(path, base=originals["gpt2"]).network, load(originals["gpt2"]).network)


def test_the_catalog_knows_which_checkpoints_are_differences(cache, originals, tuned, tmp_path):
    in_cache(cache, "huggyllama/llama-7b", originals["llama"])
    in_cache(cache, "tatsu-lab/alpaca-7b-wdiff", difference(tuned, originals["llama"], "mean", tmp_path / "alpaca"))
    in_cache(cache, "huggyllama/llama-13b", originals["llama"])
    in_cache(
        cache, "CarperAI/stable-vicuna-13b-delta", difference(tuned, originals["llama"], "zero", tmp_path / "vicuna")
    )
    expected = load(tuned).network.lm_head.weight
    for name in ("alpaca-7b", "stable-vicuna-13b"):
        model = load(name)
        torch.testing.assert_close(model.network.lm_head.weight, expected, atol=1e-6, rtol=0)
        assert model.identity["base"]["hub"].startswith("huggyllama/")
        assert load(name, untrained=0).n_vocabulary == 501


def test_differences_of_the_catalog_are_of_checkpoints_of_one_architecture():
    checkpoints = catalog.checkpoints()
    differences = checkpoints[checkpoints.delta_of.notna()]
    assert set(differences.index) == {"alpaca-7b", "stable-vicuna-13b"}
    assert (checkpoints.delta_rows.notna() == checkpoints.delta_of.notna()).all()
    for name, row in differences.iterrows():
        assert row.delta_rows in ("zero", "mean")
        assert checkpoints.layers[row.delta_of] == row.layers
        assert row.delta_of not in differences.index, name


def test_a_base_that_does_not_fit_is_named(originals, tuned, tmp_path):
    path = difference(tuned, originals["llama"], "zero", tmp_path / "difference")
    with pytest.raises(
        ValueError, match=r"difference is no difference to gpt2: one of them lacks weights.*: \d+ \(lm_head"
    ):
        load(path, base=originals["gpt2"]).read()
    edit(path / "config.json", intermediate_size=48)
    narrow = load_file(path / "model.safetensors")
    for name, values in list(narrow.items()):
        if "mlp" in name:
            narrow[name] = (values[:, :48] if "down" in name else values[:48]).contiguous()
    save_file(narrow, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError, match=r"mlp\.gate_proj\.weight has shape \(48, 32\) in one and \(64, 32\) in the other"
    ):
        load(path, base=originals["llama"]).read()
    with pytest.raises(ValueError, match=r"embed_tokens\.weight has shape \(500, 32\) in one and \(501, 32\)"):
        load(originals["llama"], base=tuned).read()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load(path, base=tmp_path / "nowhere")


def test_sources_say_what_they_are_of(originals):
    found = sources.find(originals["gpt2"])
    assert (found.name, found.folder) == ("gpt2", originals["gpt2"])
    assert sources.lacks(found.folder) is None
