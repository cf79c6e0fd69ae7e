"""The catalog against itself, the printed tables, the architectures' own arithmetic, and the mirror."""

import hashlib
import inspect
import re

import pandas as pd
import pytest

from brainalign import catalog, messages
from brainalign.paper.claims import printed, recompute, retest

CHECKPOINTS = catalog.checkpoints()
PRINTED = catalog.printed("models").set_index("model")
SERIES = catalog.surprisal_series("kuribayashi2024")
CLAIMS = catalog.claims()
FILES = [file for data in catalog.datasets().values() for file in data.files.values()]
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def filled(row, columns):
    """Values of a row, with None for what is missing."""
    return [None if pd.isna(row[name]) else row[name] for name in columns]


# --- checkpoints ------------------------------------------------------------------------------------------


def test_checkpoints_are_the_papers_and_the_true_parents():
    assert CHECKPOINTS.index.is_unique
    assert CHECKPOINTS.group.value_counts().to_dict() == {
        "main": 25,
        "gpt2": 8,
        "table8": 8,
        "extension": 5,
        "laptop": 15,
    }
    assert set(PRINTED.index) == set(CHECKPOINTS.index[CHECKPOINTS.group.isin(["main", "gpt2"])])


@pytest.mark.parametrize("name", PRINTED.index)
def test_printed_model_is_a_checkpoint(name):
    ours, theirs = CHECKPOINTS.loc[name], PRINTED.loc[name]
    columns = ["family", "kind", "vanilla", "layers"]
    assert filled(ours, columns) == filled(theirs, columns)
    assert (ours.group == "main") == (theirs.in_main_25 == "yes")
    size = float(theirs.params[:-1]) * printed.UNITS[theirs.params[-1]]
    assert ours.parameters == pytest.approx(size, rel=0.1)


def test_printed_links_are_the_hub_ids():
    links = PRINTED.link_in_paper_table4
    links = links[links.map(lambda link: HUB.fullmatch(link) is not None)]
    # All but LLaMA and Alpaca, for which the paper links GitHub.
    assert set(PRINTED.index) - set(links.index) == {"llama-7b", "llama-13b", "llama-33b", "alpaca-7b"}
    assert CHECKPOINTS.huggingface[links.index].to_dict() == links.to_dict()


def test_hub_ids_are_well_formed_and_unique():
    assert [hub for hub in CHECKPOINTS.huggingface if not HUB.fullmatch(hub)] == []
    assert CHECKPOINTS.huggingface.is_unique


@pytest.mark.parametrize("name", CHECKPOINTS.index)
def test_descent(name):
    model = CHECKPOINTS.loc[name]
    tuned = model.kind == "instruction-tuned"
    assert tuned == pd.notna(model.vanilla) == pd.notna(model.tuned_on)
    if tuned:
        assert pd.notna(model.parent)
        assert CHECKPOINTS.kind[model.vanilla] == "vanilla"
    # Training changes weights, not the architecture.
    same = ["family", "architecture", "parameters", "layers", "width"]
    for other in filled(model, ["vanilla", "parent"]):
        assert other is None or list(CHECKPOINTS.loc[other, same]) == list(model[same])
    ancestors = [name]
    while pd.notna(parent := CHECKPOINTS.parent[ancestors[-1]]):
        assert parent not in ancestors
        ancestors.append(parent)
    # Both lead to the same origin, whatever lies between.
    assert not tuned or model.vanilla in ancestors


T5 = {"vocab_size": 32128, "d_kv": 64, "feed_forward_proj": "gated-gelu"}
GEMMA = {"vocab_size": 256_000, "head_dim": 256}
ARCHITECTURES = {
    "t5-small": {**T5, "d_ff": 1024, "num_heads": 6},
    "t5-base": {**T5, "d_ff": 2048, "num_heads": 12},
    "t5-large": {**T5, "d_ff": 2816, "num_heads": 16},
    "t5-xl": {**T5, "d_ff": 5120, "num_heads": 32},
    "t5-xxl": {**T5, "d_ff": 10240, "num_heads": 64},
    "llama-7b": {"intermediate_size": 11008, "num_attention_heads": 32},
    "llama-13b": {"intermediate_size": 13824, "num_attention_heads": 40},
    "llama-33b": {"intermediate_size": 17920, "num_attention_heads": 52},
    "llama-2-13b": {"intermediate_size": 13824, "num_attention_heads": 40},
    "gpt2-small": {"n_head": 12},
    "gpt2-medium": {"n_head": 16},
    "gpt2-large": {"n_head": 20},
    "gpt2-xl": {"n_head": 25},
    "gemma-2b": {**GEMMA, "intermediate_size": 16384, "num_attention_heads": 8, "num_key_value_heads": 1},
    "gemma-7b": {**GEMMA, "intermediate_size": 24576, "num_attention_heads": 16, "num_key_value_heads": 16},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_are_those_of_the_architecture(name):
    import torch
    import transformers

    model = CHECKPOINTS.loc[name]
    width, layers = int(model.width), int(model.layers)
    head = 0
    if model.family == "T5":
        # Encoder and decoder are of one depth. T5 v1.1 does not tie its head to the embedding, whatever
        # transformers does with the settings, so the head is counted here.
        shape, settings, head = transformers.T5Model, transformers.T5Config, T5["vocab_size"] * width
        size = {"d_model": width, "num_layers": layers // 2}
    elif model.family == "GPT2":
        shape, settings = transformers.GPT2LMHeadModel, transformers.GPT2Config
        size = {"n_embd": width, "n_layer": layers}
    elif model.family == "Gemma":
        shape, settings = transformers.GemmaForCausalLM, transformers.GemmaConfig
        size = {"hidden_size": width, "num_hidden_layers": layers}
    else:
        shape, settings = transformers.LlamaForCausalLM, transformers.LlamaConfig
        size = {"hidden_size": width, "num_hidden_layers": layers}
    with torch.device("meta"):
        built = shape(settings(**size, **ARCHITECTURES[name]))
    # parameters() lists tied weights once.
    assert sum(weights.numel() for weights in built.parameters()) + head == model.parameters


# --- data sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalog.datasets())
def test_manifest_gives_address_hash_and_size(name):
    for file in catalog.dataset(name).files.values():
        assert re.fullmatch("sha256:[0-9a-f]{64}|sha1:[0-9a-f]{40}", file.hash), file.path
        # Brain-Score publishes a SHA-1 and no size; what we hashed ourselves we also measured.
        assert file.bytes is None if file.hash.startswith("sha1") else file.bytes > 0, file.path
        assert re.fullmatch(r"https://[\w.-]+/[^\s?#]+", file.url), file.path
        assert ".." not in file.url, file.path


def test_every_manifest_belongs_to_a_data_set():
    names = {path.name.removesuffix(".csv") for path in (catalog.HERE / "files").glob("*.csv")}
    assert names <= set(catalog.datasets())
    assert {data.name for data in catalog.datasets().values() if not data.files} == {"wehbe2014"}


def test_no_file_has_two_hashes_or_two_rows():
    for name, data in catalog.datasets().items():
        manifest = catalog.HERE / "files" / f"{name}.csv"
        assert not manifest.exists() or len(manifest.read_text().splitlines()) == 1 + len(data.files)
    assert len({file.url: file.hash for file in FILES}) == len({(file.url, file.hash) for file in FILES})


def test_size_of_a_data_set_is_known_only_if_all_its_files_are():
    assert catalog.dataset("wikitext2").bytes == 1146846 + 1286232
    assert catalog.dataset("pereira2018").bytes is None
    assert catalog.dataset("wehbe2014").bytes is None


def test_mirrored_files_are_those_of_the_catalog(mirror):
    here = [(file, mirror / file.url.removeprefix("https://")) for file in FILES]
    here = [(file, path) for file, path in here if path.exists()]
    if not here:
        pytest.skip(f"the mirror {mirror} has none of the catalog's files")
    for file, path in here:
        algorithm, _, digest = file.hash.partition(":")
        content = path.read_bytes()
        assert hashlib.new(algorithm, content).hexdigest() == digest, file.path
        assert file.bytes in (None, len(content)), file.path


def test_surprisal_series_have_files_and_bases():
    assert len(SERIES) == catalog.dataset("kuribayashi2024").counts["series"] == 26
    assert SERIES.index.is_unique
    files = set(catalog.dataset("kuribayashi2024").files)
    assert {f"results/NS/{name}/surprisal.json" for name in SERIES.index} < files
    pairs = SERIES[SERIES.vanilla.notna()]
    assert len(pairs) == 5
    for name, tuned in pairs.iterrows():
        base = SERIES.loc[tuned.vanilla]
        assert (tuned.kind, base.kind) == ("instruction-tuned", "vanilla"), name
        assert (tuned.family, tuned.parameters) == (base.family, base.parameters), name


def test_one_model_has_one_size():
    ours = CHECKPOINTS.set_index("huggingface").parameters
    shared = SERIES[SERIES.huggingface.isin(ours.index)].set_index("huggingface").parameters
    assert len(shared) == 8
    # The collection's are nominal, but for GPT-2.
    assert (shared / ours[shared.index]).between(0.95, 1.05).all()


# --- claims -----------------------------------------------------------------------------------------------

TEXTS = {"id", "section", "source", "claim", "printed"}
OPTIONAL = {"recompute", "why", "explain", "study"}
EXPECTED = [{"value", "digits"}, {"below"}, {"above"}, {"holds"}]


def by_id(claim):
    return claim["id"]


def test_claims_are_many_and_their_names_unique():
    names = [claim["id"] for claim in CLAIMS]
    assert len(names) >= 40
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("claim", CLAIMS, ids=by_id)
def test_claim_is_complete(claim):
    assert set(claim) >= TEXTS | {"expect"}
    assert set(claim) - TEXTS - {"expect"} <= OPTIONAL
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim["id"])
    assert all(
        isinstance(claim[key], str) and claim[key].strip() for key in claim.keys() & (TEXTS | {"why", "explain"})
    )
    assert claim["claim"].endswith(".")
    assert ("recompute" in claim) != ("why" in claim)
    assert set(claim["expect"]) in EXPECTED
    assert "study" not in claim or claim["study"] in retest.TESTS


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if "recompute" in claim], ids=by_id)
def test_claim_names_a_function_and_its_arguments(claim):
    arguments = dict(claim["recompute"])
    function = vars(recompute)[arguments.pop("function")]
    assert function.__module__ == recompute.__name__
    assert not function.__name__.startswith("_")
    assert inspect.signature(function).bind(printed.load(), **arguments)


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if "value" in claim["expect"]], ids=by_id)
def test_claim_expects_what_is_printed(claim):
    found = re.search(r"([+−]?[\d,]*\.?\d+(e[+-]\d+)?)( [MB]\b)?", claim["printed"])
    if claim["printed"] == "half":
        value, digits = 50, -1
    else:
        number, exponent, unit = found[1].replace(",", "").replace("−", "-"), found[2], (found[3] or "").strip()
        value = float(number) * printed.UNITS.get(unit, 1)
        decimals = len(number.split("e")[0].partition(".")[2])
        power = int(exponent[1:]) if exponent else {"M": 6, "B": 9}.get(unit, 0)
        digits = decimals - power
    assert claim["expect"] == {"value": pytest.approx(value), "digits": digits}


def test_every_row_of_table_2_has_a_claim_for_r_and_for_p():
    def as_printed(sign, number):
        return f"{sign} {number}".replace("0.", ".", 1).replace("-", "−")

    table = catalog.printed("correlations")
    table = table[table.benchmark.isin(["MMLU", "BBH"])]
    assert len(table) == 11
    of_r = [claim for claim in CLAIMS if re.match("r-(mmlu|bbh)-", claim["id"])]
    of_p = [claim for claim in CLAIMS if re.match("q-(mmlu|bbh)-", claim["id"])]
    assert [claim["id"][2:] for claim in of_r] == [claim["id"][2:] for claim in of_p]
    for row, r, p in zip(table.itertuples(), of_r, of_p, strict=True):
        assert r["printed"] == as_printed("r =", f"{row.r:.3f}")
        assert p["printed"] == as_printed("p <" if row.p.startswith("<") else "p =", row.p.removeprefix("<"))
        assert p["recompute"] == {"function": "adjusted_p", "benchmark": row.benchmark, "category": row.category}
        bound = {"below": float(row.p[1:])} if row.p.startswith("<") else {"value": float(row.p), "digits": 2}
        assert p["expect"] == bound


def test_claim_that_differs_is_explained(checked):
    claims = {claim["id"]: claim for claim in CLAIMS}
    differing = checked[checked.verdict == "differs"]
    assert len(differing) > 0
    for row in differing.itertuples():
        assert claims[row.id].get("explain"), row.id
        assert claims[row.id]["explain"].rstrip(".") in row.why, row.id


# --- names that are not known -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look_up", "name", "message"),
    [
        (catalog.dataset, "natural_storys", r"unknown data set .*Did you mean natural_stories"),
        (catalog.surprisal_series, "kuribayashi", r"unknown collection .*Did you mean kuribayashi2024\?"),
        (catalog.printed, "model", r"unknown printed table .*Did you mean models\?"),
        (catalog.dataset("wikitext2").file, "ressources/val.txt", r"unknown file of wikitext2 .*wikitext-2/val.txt"),
        (printed.load().group, "tunde", r"unknown group of models .*Did you mean .*tuned"),
    ],
)
def test_unknown_name_suggests_near_ones(look_up, name, message):
    with pytest.raises(LookupError, match=message):
        look_up(name)


def test_unknown_name_with_nothing_near_lists_what_there_is():
    assert messages.unknown("study", "zzz", ["b", "a"]) == "unknown study 'zzz'. Known: a, b."
    assert messages.unknown("study", "zzz", []) == "unknown study 'zzz'. Known: none."
