"""The command answers at once, says what it did, and fails with a message instead of a traceback."""

import json
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from brainalign import catalog, cli, store
from brainalign import study as studies
from brainalign.cli import book_command, commands, engine, profiles
from brainalign.cli.expectation import Expectation
from brainalign.llm.reading import batches
from brainalign.paper import claims
from brainalign.paper.publish import book
from brainalign.study.measurement import measures
from brainalign.study.planning import plan

COMMANDS = ["book", "run", "score", "status", "tune", "plan", "claims", "execute", "render", "data", "store"]
HEAVY = {"torch", "transformers", "numpy", "safetensors", "pandas", "matplotlib", "scipy", "xarray", "sklearn"}


def test_help_imports_nothing_heavy_and_lists_the_commands():
    code = (
        "import json, sys\nfrom brainalign.cli import main\ntry:\n    main(['--help'])\n"
        "finally:\n    print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    modules = json.loads(done.stderr.splitlines()[-1])
    assert "brainalign.cli" in modules
    assert {name.split(".")[0] for name in modules} & HEAVY == set()
    assert re.findall(r"^    (\w+) +\S", done.stdout, flags=re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("as_module", [[], [sys.executable, "-m", "brainalign.cli"]], ids=["command", "module"])
def test_installed_command_is_this_one(as_module):
    command = as_module or [Path(sys.executable).with_name("brainalign")]
    done = subprocess.run([*command, "run", "printd"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("brainalign: unknown study 'printd'. Did you mean printed?")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["run"], ["claims"], ["book"], ["render"], ["execute", "claims"]], ids=" ".join)
def test_unknown_study_is_a_message(arguments, capsys):
    assert cli.main([*arguments, "sampel"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("brainalign: unknown study 'sampel'. Did you mean sample?")


@pytest.mark.parametrize("arguments", [[], ["boook"], ["run"], ["book", "printed", "--cores", "many"]])
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: brainalign")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("title: [", "not valid YAML"),
        ("title: Mine\nevidence: people\nsurprisal: 5\n", "surprisal: input should be a valid list, not 5"),
        ("title: Mine\nevidence: people\nresamples: many\n", "resamples: input should be a valid integer, not 'many'"),
    ],
)
def test_wrong_settings_are_a_message(tmp_path, capsys, settings, message):
    path = tmp_path / "mine.yaml"
    path.write_text(settings)
    assert cli.main(["run", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"brainalign: {path}: ")
    assert message in err


# --- claims -----------------------------------------------------------------------------------------------


def test_claims_has_a_line_for_each_and_the_sums(checked, monkeypatch, capsys):
    given = []
    monkeypatch.setattr(claims, "check_all", lambda results: given.append(results) or checked)
    assert cli.main(["claims", "printed"]) == 0
    *lines, blank, sums = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [claim["id"] for claim in catalog.claims()]
    for line, row in zip(lines, checked.itertuples(), strict=True):
        assert row.printed in line
        assert line.split("  ")[-1].strip() == "not run"
        assert f" {row.verdict} " in line
    assert blank == ""
    counted = Counter(checked.verdict)
    assert dict(re.findall(r"(\d+) ([a-z ]+)", sums)) == {str(n): verdict for verdict, n in counted.items()}
    # The printed study measures nothing.
    assert given[0].empty


# --- run --------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A study of two series whose measuring is instant, and a list of what was measured."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("surprisal\n1\n")
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "title: Tiny\nevidence: people\nreading_times: [natural_stories]\nalignments: [original]\n"
        "surprisal: [{file: one.csv, name: one}, {file: two.csv, name: two}]\n"
    )
    measured = []

    def measure(study, member, wanted):
        measured.append(member.name)
        return {name: pd.DataFrame({"dataset": ["natural_stories"], "value": [0.5]}) for name in wanted}

    monkeypatch.setattr(measures, "measure", measure)
    monkeypatch.setattr(studies, "missing", lambda *_: [])  # its reading times are not read
    return str(path), measured


def test_run_measures_all_models_once(tiny, capsys):
    path, measured = tiny
    assert cli.main(["run", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [re.fullmatch(r"ran (\w+) \(\d+\.\d s\)", line)[1] for line in lines] == ["people", "one", "two"]
    folder = store.root() / "results" / "tiny"
    assert sorted(file.name for file in folder.iterdir()) == ["one", "people", "two"]
    assert cli.main(["run", path]) == 0
    assert measured == ["people", "one", "two"]


def test_run_measures_the_models_named(tiny, capsys):
    path, measured = tiny
    assert cli.main(["run", path, "two"]) == 0
    assert measured == ["two"]
    assert cli.main(["run", path, "tow"]) == 1
    assert "unknown model of study tiny 'tow'. Did you mean two?" in capsys.readouterr().err


def test_run_into_a_store_that_cannot_be_written(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "plain").write_text("a regular file")
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "plain"))
    assert cli.main(["run", tiny[0]]) == 1
    assert re.search(r"brainalign: cannot write reading\.parquet in .*BRAINALIGN_STORE", capsys.readouterr().err)


def test_run_of_a_study_that_measures_nothing(capsys):
    assert cli.main(["run", "printed"]) == 0
    assert capsys.readouterr().out == ""


# --- book -------------------------------------------------------------------------------------------------


@pytest.fixture
def snakemake(monkeypatch):
    """What the workflow was given; it ends with the status that the list holds."""
    given, status = {}, [0]

    def run(workflow, kinds, weights):
        given.update(workflow.config, kinds=kinds, weights=weights, **vars(workflow))
        return status[0]

    monkeypatch.setattr(engine.Workflow, "run", run)
    monkeypatch.setattr(studies, "missing", lambda *_: [])
    return given, status


def test_book_tells_snakemake_what_there_is_to_do(snakemake, capsys):
    given, _ = snakemake
    assert cli.main(["book", "sample", "--cores", "3"]) == 0
    study = studies.load("sample")
    assert given["cores"] == 3
    assert given["study"] == "sample"
    assert given["library"] == "build/library.json"
    assert sorted(given["batches"]) == sorted(studies.batches(study))
    shown = given["shown"]
    assert [*shown] == book.notebooks(study)
    assert shown["claims"] == studies.measured(study) and shown["catalog"] == []
    assert given["results"] == store.root() / "results" / "sample" and given["notebook"] is None
    kinds = given["kinds"]
    assert (kinds["oasm"], kinds["gpt2"]) == ("control, control", "series, vanilla")
    notebooks = ("catalog.ipynb", "claims.ipynb", "model-stories260K.ipynb")
    assert [kinds[name] for name in notebooks] == ["unmeasured", "notebook", "page"]
    weights = given["weights"]
    assert weights["gpt2"] == weights["catalog.ipynb"] == weights["oasm"] < weights["stories260K"]
    assert weights["stories260K"] < weights["stories260K-tuned"] == weights["stories260K-no-instruction"]
    assert str(book.html("sample") / "index.html") in capsys.readouterr().out


def test_what_takes_longest_with_what_waits_for_it_is_started_first():
    batches, bases = [["short"], ["base", "twin"], ["tuned"], ["long"]], {"twin": "base", "tuned": "base"}
    weights = {"short": 1, "base": 3, "twin": 1, "tuned": 5, "long": 8}
    ordered = [["base", "twin"], ["long"], ["tuned"], ["short"]]
    assert book_command.longest_first(batches, bases, weights) == ordered


def test_a_cluster_is_told_what_each_process_takes_and_what_to_make(snakemake, monkeypatch):
    given, _ = snakemake
    monkeypatch.setattr(profiles, "check", lambda resources: given.update(checked=resources))
    assert cli.main(["run", "sample", "stories260K", "--profile", "slurm", "--partition", "gpu"]) == 0
    asked = plan.resources(studies.load("sample"))
    for (gpus, memory, minutes), batch in zip(given["needs"], given["batches"], strict=True):
        assert (gpus, memory) == (max(asked[m].gpus for m in batch), max(asked[m].memory_mb for m in batch))
        assert minutes == sum(asked[m].minutes for m in batch)
    assert given["notebook"] == (0, 4096, 60)
    assert given["targets"] == ["build/sample/results/stories260K/done.json"]
    assert given["profile"].slurm and given["checked"] == given["resources"]
    assert given["resources"]["slurm_partition"] == "gpu"


def test_what_a_cluster_is_asked_for_is_for_the_card_that_is_named(snakemake, monkeypatch, write):
    given, _ = snakemake
    monkeypatch.setattr(profiles, "check", lambda resources: None)
    study = write("recordings: [brennan2016]\nmodels: [{load: llama-33b, dtype: float16, device: auto}]")
    monkeypatch.setattr(studies, "load", lambda _: study)
    for options, gpus in (([], 1), (["--accelerator", "V100"], 3), (["--memory", "16"], 5)):
        assert cli.main(["run", "sample", "llama-33b", "--profile", "slurm", *options]) == 0
        assert given["batches"] == [["llama-33b"], ["people"]]
        assert [needs[0] for needs in given["needs"]] == [gpus, 0]


def test_a_dry_run_lists_jobs_where_there_is_no_cluster(monkeypatch, capsys, tmp_path):
    jobs = [["llama-33b", "tiny"], ["claims.ipynb"]]
    asked = {"llama-33b": plan.Resources(3, 70_000, 90), "tiny": plan.Resources(1, 4096, 1440, "nobody knows it.")}
    monkeypatch.setattr(engine.Workflow, "due", lambda _: jobs)
    monkeypatch.setattr(engine.Workflow, "run", None)
    monkeypatch.setattr(
        plan, "resources", lambda study, **on: asked | dict.fromkeys(studies.measured(study), asked["tiny"])
    )
    monkeypatch.setattr(studies, "missing", lambda *_: ["a model: not in the cache"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["book", "sample", "--profile", "slurm", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert ["1", "llama-33b, tiny", "3", "70,000", "1,530"] in rows
    assert ["2", "claims.ipynb", "0", "4,096", "60"] in rows
    assert "not planned (1), and given a day:" in out and "- tiny: nobody knows it." in out
    assert "a model: not in the cache" in err
    jobs.clear()
    assert cli.main(["run", "sample", "--dry-run"]) == 0
    assert capsys.readouterr().out == "nothing is due\n"


def test_a_model_that_is_not_in_the_study_is_named_before_a_cluster_is_asked(snakemake, capsys):
    assert cli.main(["run", "sample", "stories260k", "--profile", "slurm"]) == 1
    assert "Did you mean stories260K" in capsys.readouterr().err


def test_a_warning_says_what_not_where(capsys):
    with commands._plain_warnings():
        warnings.warn("9 samples were cut", stacklevel=1)
    assert capsys.readouterr().err == "note: 9 samples were cut\n"
    with pytest.warns(UserWarning, match="samples"):
        warnings.warn("9 samples were cut", stacklevel=1)


def warn_of_layers():
    for layer in ("0", "1", "encoder.2"):
        for fold in range(2):
            with warnings.catch_warnings():  # after which Python shows anew what it has shown
                warnings.filterwarnings("ignore", "nothing")
            warnings.warn(f"layer {layer} is silent, {fold / 2:.0%}", stacklevel=1)
    for participant in ("s33", "s34"):
        warnings.warn(f"{participant} is left out", stacklevel=1)


def test_warnings_of_one_cause_are_printed_once(capsys):
    with commands._plain_warnings():
        warn_of_layers()
    assert capsys.readouterr().err.splitlines() == [
        "note: layer 0 is silent, 0%",
        "note: layer encoder.2 is silent, 0%",
        "note: s33 is left out",
        "note: s34 is left out",
        "note: 3 more like “layer 0 is silent, 0%”",
        "note: 1 more like “layer encoder.2 is silent, 0%”",
    ]


def test_a_build_prints_a_cause_once_for_all_of_its_processes(tmp_path, capsys):
    lines = ["note: layer 0 is silent", "note: 3 more like “layer 0 is silent”", "ran a (1.0 s)"]
    lines += ["note: layer 1 is silent", "note: 2 more like “layer 1 is silent”", "note: s33 is left out"]
    expected = Expectation([("a",), ("b",)], 1, {"a": "x", "b": "x"}, {"a": 1.0, "b": 1.0}, {}, {})
    with (tmp_path / "log").open("w+") as log:
        engine._tell(iter(lines), expected, log, tmp_path / "seconds.json")
        log.seek(0)
        logged = log.read().splitlines()
    printed = capsys.readouterr().out.splitlines()
    assert printed == logged
    assert [line for line in printed if line.startswith("note")] == [
        "note: layer 0 is silent",
        "note: s33 is left out",
        "note: 6 more like “layer 0 is silent”",
    ]


def test_a_second_attempt_reads_batches_in_pieces(monkeypatch):
    monkeypatch.setenv(batches.PIECES, "1")  # so that it is as before afterwards
    monkeypatch.setattr(studies, "run", lambda study, model: None)
    monkeypatch.setattr(studies, "missing", lambda *_: [])
    assert cli.main(["run", "sample", "oasm", "--attempt", "3"]) == 0
    assert os.environ[batches.PIECES] == "16"


def test_what_gpus_there_are_is_shared(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert profiles.scarce() == {}
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho GPU 0\necho GPU 1\n")
    script.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert profiles.scarce()["gpu"] == 2 and profiles.scarce()["mem_mb"] > 100
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert profiles.scarce()["gpu"] == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert profiles.scarce() == {}


def test_book_of_the_printed_tables_runs_no_model(snakemake):
    given, _ = snakemake
    assert cli.main(["book", "printed"]) == 0
    assert (given["study"], given["batches"]) == ("printed", [])
    assert "behavioral_alignment" not in given["shown"] and given["shown"]["claims"] == []


def test_book_of_a_study_without_people_runs_no_model(snakemake, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nevidence: people\nsurprisal: [kuribayashi2024]\n")
    assert cli.main(["book", str(path)]) == 0
    assert (snakemake[0]["study"], snakemake[0]["batches"]) == (str(path.resolve()), [])


def test_book_that_fails_has_snakemakes_status_and_names_no_page(snakemake, capsys):
    snakemake[1][0] = 3
    assert cli.main(["book"]) == 3
    assert capsys.readouterr().out == ""


def test_unknown_notebook_is_a_message(capsys, monkeypatch):
    monkeypatch.setattr(book, "execute", lambda *_: pytest.fail("there is nothing to execute"))
    assert cli.main(["execute", "clams", "printed"]) == 1
    assert capsys.readouterr().err == "brainalign: unknown notebook 'clams'. Did you mean claims?\n"


def test_execute_leads_from_template_to_sources(capsys, monkeypatch):
    given = []
    monkeypatch.setattr(book, "execute", lambda *arguments: given.extend(arguments))
    assert cli.main(["execute", "published_brain", "sample"]) == 0
    template, output, parameters = given
    assert template == store.PROJECT / "notebooks" / "published_brain.ipynb"
    assert output == book.source("sample") / "executed" / "published_brain.ipynb"
    # Notebooks run in the project's folder.
    assert store.PROJECT / parameters["output"] == output.parent
    assert parameters["study"] == "sample"
    assert capsys.readouterr().out.startswith("executed published_brain.ipynb (")


@pytest.mark.parametrize("error", [KeyError("0"), IndexError("list index out of range"), ImportError("x"),
                                   AttributeError("no 'x'"), TypeError("not a 'str'")], ids=repr)  # fmt: skip
def test_an_error_that_explains_nothing_says_its_kind_and_place(monkeypatch, capsys, error):
    def load(name):
        raise error

    monkeypatch.setattr(studies, "load", load)
    assert cli.main(["status", "printed"]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"brainalign: {type(error).__name__} in study_command.py, line ")
    assert f"(status): {error}. It should have been explained: please report it" in message
    monkeypatch.setattr(studies, "load", lambda name: (_ for _ in ()).throw(LookupError("unknown study")))
    assert cli.main(["status", "printed"]) == 1
    assert capsys.readouterr().err == "brainalign: unknown study\n"


@pytest.mark.parametrize("arguments", ["data list", "claims", "--help"])
def test_a_reader_that_goes_away_is_no_error(arguments):
    command = [sys.executable, "-m", "brainalign.cli", *arguments.split()]
    read_end, write_end = os.pipe()
    os.close(read_end)  # as head does, once it has its lines
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    assert (done.stderr, done.returncode) == ("", 141)


def test_a_pipe_that_broke_elsewhere_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(studies, "load", lambda name: (_ for _ in ()).throw(BrokenPipeError("a worker is gone")))
    assert cli.main(["status", "printed"]) == 1
    assert capsys.readouterr().err == "brainalign: a worker is gone\n"
