"""What is missing is said before anything begins, with the way to get it."""

import re
import subprocess
import sys

import pytest
import tiny

from brainalign import catalog, cli
from brainalign import study as studies
from brainalign.study.planning import needs, plan

GIB = plan.GIB


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(needs, "_reached", lambda url: False)


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(needs, "_reached", lambda url: True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """An empty cache of models, and no token of the caller's."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(needs, "_token", lambda: None)
    monkeypatch.setattr(needs, "_local_cards", list)


@pytest.mark.parametrize("name", ["printed", "microworld"])
def test_studies_of_nobody_need_nothing_and_no_torch(name, monkeypatch):
    monkeypatch.setattr(needs, "_reached", lambda url: pytest.fail("it asked the network"))
    assert studies.missing(studies.load(name)) == []
    code = f"import sys; from brainalign import study; study.missing(study.load({name!r})); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_data_and_models_that_are_not_here_are_missing_offline(write, offline):
    study = write(
        "recordings: [pereira2018.243, pereira2018.384]\nreading_times: [futrell2018]\n"
        "models: [gpt2-small, {load: gpt2-small, untrained: 0}, stories260K, gemma-2b, vicuna-7b, alpaca-7b]\n"
        "surprisal: [kuribayashi2024]"
    )
    data, times, words, series, stories, models, gated, gpu = needs.missing(study)
    assert data == "pereira2018: not here: 1 file. With a network: brainalign data fetch pereira2018"
    assert "brainalign data fetch futrell2018" in times
    assert "brainalign data fetch natural_stories" in words  # which has the words' frequencies
    assert "brainalign data fetch kuribayashi2024" in series
    assert "stories260K: not here" in stories
    assert models.startswith("4 models: not in the cache. With a network: hf download ID, of each: ")
    # The difference's base is needed as well, and gpt2 once.
    assert models.rpartition(": ")[2].split() == [
        "openai-community/gpt2", "lmsys/vicuna-7b-v1.3", "tatsu-lab/alpaca-7b-wdiff", "huggyllama/llama-7b",
    ]  # fmt: skip
    assert gated.startswith("1 gated model") and "HF_TOKEN" in gated and "google/gemma-2b" in gated
    assert gpu.startswith("a GPU: ") and "alpaca-7b" in gpu and "gpt2-small" not in gpu


def test_what_the_network_gives_is_not_missing_but_a_license_is(write, online, monkeypatch):
    study = write("recordings: [blank2014, brennan2016]\nmodels: [gpt2-small, gemma-2b]")
    monkeypatch.setattr(needs, "_memory", lambda: 500 * GIB)
    (gated,) = needs.missing(study)
    assert "Accept the terms on https://huggingface.co/ID" in gated and "HF_TOKEN" in gated
    monkeypatch.setattr(needs, "_token", lambda: "hf_mine")
    assert needs.missing(study) == []


def test_a_mirror_is_where_files_go(write, monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINALIGN_MIRROR", str(tmp_path / "mirror"))
    needs._reached.cache_clear()
    data, models = needs.missing(write("recordings: [blank2014]\nmodels: [gpt2-small]"))
    assert f"Put it into the mirror {tmp_path / 'mirror'}" in data
    assert f"HF_HOME={tmp_path / 'mirror'}/huggingface hf download" in models
    needs._reached.cache_clear()


def test_only_the_models_that_are_run_count(write, offline):
    study = write("recordings: [blank2014]\nmodels: [gpt2-small, llama-33b]")
    data, model = needs.missing(study, ["gpt2-small"])
    assert data.startswith("blank2014") and model.endswith("openai-community/gpt2")
    assert [found.startswith("a GPU") for found in needs.missing(study)] == [False, False, True]
    assert needs.missing(study, gpu=False) == needs.missing(study)[:2]


def test_a_model_of_ones_own_is_here_and_a_name_that_is_nothing_is_told(tmp_path, write, online):
    tiny.gpt2(tmp_path / "mine")
    assert needs.missing(write("recordings: [blank2014]\nmodels: [mine]")) == []
    (told,) = needs.missing(write("recordings: [blank2014]\nmodels: [mine2]"))
    assert "neither a model that the catalog knows nor a folder or file" in told


def test_nothing_is_needed_of_what_is_not_measured(write, offline):
    assert needs.missing(write("models: [gpt2-small]\nsurprisal: [kuribayashi2024]")) == []


@pytest.mark.parametrize(
    ("entry", "cards", "said"),
    [
        ("{load: llama-33b, dtype: float16, device: auto}", [80 * GIB], None),
        ("{load: llama-33b, dtype: float16, device: auto}", [24 * GIB] * 4, None),
        (
            "{load: llama-33b, dtype: float16}",
            [24 * GIB] * 4,
            r"62 GiB in float16, and a card here has 24 \(4 cards\): 3 such cards hold it \(device: auto\); one H200",
        ),
        (
            "{load: llama-33b, dtype: float16, device: auto}",
            [24 * GIB],
            r"\(1 card\): 3 such cards hold it; one H200 or H100 or A100 holds it\.",
        ),
        ("{load: t5-xxl}", [40 * GIB], r"takes 42 GiB in float32.*bfloat16 fits one \(dtype: bfloat16\)"),
        ("{load: llama-33b, dtype: float16, device: auto}", [1 * GIB], r"a card here has 1 \(1 card\): one H200"),
    ],
)
def test_a_card_that_is_too_small_and_what_would_fit(write, online, monkeypatch, entry, cards, said):
    monkeypatch.setattr(needs, "_local_cards", lambda: cards)
    monkeypatch.setattr(needs, "_memory", lambda: 8 * GIB)
    found = needs.missing(write(f"recordings: [blank2014]\nmodels: [{entry}]"))
    if said is None:
        assert found == []
    else:
        assert re.search(said, found[0]), found


def test_wehbe_is_planned_without_its_folder_and_told(write, online, monkeypatch, tmp_path):
    study = write("recordings: [wehbe2014]\nmodels: [gpt2-small]")
    (told,) = needs.missing(study)
    assert "BRAINALIGN_WEHBE2014" in told and "drive.google.com" in told
    assert plan.by_model(study).flops["gpt2-small"] > 1e12
    monkeypatch.setenv("BRAINALIGN_WEHBE2014", str(tmp_path))
    (source,) = write("recordings: [wehbe2014]").recordings
    assert source.wehbe2014 == str(tmp_path)
    monkeypatch.setenv("BRAINALIGN_WEHBE2014", str(tmp_path / "nowhere"))
    (told,) = needs.missing(write("recordings: [wehbe2014]\ncontrols: [length]"))
    assert re.search(r"recordings: wehbe2014 .*/nowhere: it does not exist", told)


def test_files_of_ones_own_that_are_not_there_are_named(write, online, tmp_path):
    settings = (
        "recordings: [{table: roi.csv, participants: who.csv}, {netcdf: there.nc}]\n"
        "surprisal: [{file: a.csv, name: a}]\n"
        "tuning: [{model: gpt2-small, samples: mine.json}]"
    )
    (tmp_path / "there.nc").touch()
    study = write(settings)
    told = needs.missing(study)
    for place in ("recordings: table .*/roi.csv", "recordings: participants .*/who.csv", "file .*/a.csv", "mine.json"):
        assert sum(bool(re.search(f"{place}: it does not exist. Paths are relative", one)) for one in told) == 1, told
    assert "there.nc" not in " ".join(told)
    assert needs.missing(study, models=[]) == []  # nothing is due


# --- the command line -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["book", "paper"], ["run", "laptop"], ["run", "paper", "llama-7b"]])
def test_book_and_run_stop_at_once_with_a_list(command, offline, capsys):
    assert cli.main(command) == 1
    out, err = capsys.readouterr()
    assert out == ""
    begins = f"brainalign: {command[1]} cannot be run here. Missing:\n- "
    assert begins in err
    err = err[err.index(begins) :]  # a server of another test may have said something before
    assert "brainalign data fetch" in err and "hf download" in err
    assert max(map(len, err.splitlines())) <= 120


def test_plan_prints_models_totals_and_what_is_missing(offline, capsys):
    assert cli.main(["plan", "laptop", "--accelerator", "H100"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    (gpt2,) = [line.split() for line in lines if line.startswith("gpt2-small ")]
    assert gpt2[1:4] == ["124", "float32", "0.5"]
    assert sum(line.startswith("total ") for line in lines) == 1
    assert "missing here" in out and "on one H100 at 30% of its peak" in out
    assert max(map(len, lines)) <= 120


def test_plan_as_json_and_wrong_options(offline, capsys):
    import json

    assert cli.main(["plan", "laptop", "--json", "--rate", "1e13"]) == 0
    assert json.loads(capsys.readouterr().out)["gpt2-small"]["parameters"] == 124439808
    assert cli.main(["plan", "laptop", "--rate", "-1"]) == 1
    assert "--rate is -1. Give a positive number." in capsys.readouterr().err
    assert cli.main(["plan", "laptop", "--accelerator", "H10"]) == 1
    assert "unknown accelerator 'H10'" in capsys.readouterr().err


def test_what_is_fetched_first_is_said_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path))
    monkeypatch.delenv("BRAINALIGN_MIRROR", raising=False)
    sizes = needs.downloads(studies.load("sample"))
    files = catalog.dataset("smollm2-135m-instruct-q4_1").files.values()
    assert sizes["smollm2-135m-instruct-q4_1"] == sum(file.bytes for file in files) == 98_362_432
    assert {"tuckute2024", "brennan2016", "natural_stories", "natural_stories.maze", "kuribayashi2024"} <= set(sizes)
    assert 110e6 < sum(sizes.values()) < 120e6  # about 115 MB, as the study says
    assert needs.downloads(studies.load("microworld")) == {} == needs.downloads(studies.load("sample"), ["oasm"][:0])
