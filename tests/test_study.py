"""Settings are checked, results are computed once, and the same inputs give the same bytes."""

import dataclasses
import itertools
import json
import shutil
import textwrap
from types import SimpleNamespace

import measuring
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from brainalign import catalog, store
from brainalign import study as studies
from brainalign.alignment.behavior import behavioral_alignment
from brainalign.human import natural_stories
from brainalign.human.reading_times import ReadingTimes
from brainalign.study.description.files import WEHBE_FOLDER
from brainalign.study.measurement import readings
from brainalign.study.running import keys

ORIGINS = {
    "printed": {},
    "sample": {"series": 26, "model": 5, "control": 5},
    "laptop": {"model": 30, "control": 5},
    "microworld": {"model": 15, "tuning": 6, "control": 5},
    "paper": {"model": 57, "tuning": 9, "control": 5},
    "tuning-270m": {"model": 2, "tuning": 3, "control": 5},
}
MINIMAL = "title: Mine\nevidence: people\n"


def little_stories(alignment="original"):
    """Three stories of forty words, in the shape of Natural Stories."""
    rng = np.random.default_rng(0)
    position = np.tile(np.arange(1, 41), 3)
    columns = {
        "story": np.repeat([1, 2, 3], 40),
        "position": position,
        "sentence": (position - 1) // 8 + 1,
        "text": [f"w{n}" for n in range(120)],
        "length": rng.integers(1, 12, 120),
        "log_frequency": rng.normal(18, 3, 120),
        "n_readers": rng.integers(60, 98, 120),
        "sd": rng.uniform(80, 200, 120),
    }
    times = rng.normal(320, 30, 120)
    if alignment == "corrected":
        times = np.where(position == 1, np.nan, np.roll(times, 1))
    coordinates = {name: ("word", values) for name, values in columns.items()}
    return ReadingTimes("natural_stories", xr.DataArray(times, dims="word", coords=coordinates), "", "", alignment)


def surprisal(seed=1):
    return np.random.default_rng(seed).gamma(2, 3, 120)


@pytest.fixture
def write(tmp_path):
    """Function that writes a study's YAML file, and says where."""

    def put(settings, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(settings), encoding="utf-8")
        return path

    return put


@pytest.fixture
def tiny(tmp_path, monkeypatch, write):
    """A study of two series of one's own on little stories, and a list of what was measured."""
    for name, seed in (("base", 1), ("tuned", 2)):
        pd.DataFrame({"surprisal": surprisal(seed)}).to_csv(tmp_path / f"{name}.csv", index=False)
    path = write(
        """
        title: Mine
        evidence: people
        reading_times: [natural_stories]
        surprisal:
          - {file: base.csv, name: base, parameters: 1.0e+8}
          - {file: tuned.csv, name: tuned, vanilla: base, family: GPT-2}
        resamples: 100
        """
    )
    calls = []

    def counted(surprisal, times, **options):
        calls.append(times.alignment)
        return behavioral_alignment(surprisal, times, **options)

    monkeypatch.setattr(natural_stories, "load", little_stories)
    monkeypatch.setattr(readings, "behavioral_alignment", counted)
    return SimpleNamespace(path=path, load=lambda: studies.load(str(path)), calls=calls, folder=tmp_path)


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", studies.names())
def test_shipped_study_loads(name):
    study = studies.load(name)
    assert study.name == name
    origins = studies.models(study).origin.value_counts().to_dict()
    assert origins == ORIGINS[name]


def test_printed_and_sample_are_shipped():
    assert {"printed", "sample"} <= set(studies.names())


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ("", []),
        ("reading_times: [natural_stories]", ["reading-times", "people", "natural_stories"]),
        ("recordings: [brennan2016]", ["people", "brennan2016"]),
        ("recordings: [{wehbe2014: .}]", ["people", "wehbe2014"]),
        ("surprisal: [kuribayashi2024]", []),
        (
            "reading_times: [natural_stories]\nsurprisal: [kuribayashi2024]",
            ["reading-times", "behavior", "people", "natural_stories"],
        ),
    ],
)
def test_parts_need_people_and_models(write, settings, parts):
    study = studies.load(str(write(MINIMAL + settings)))
    assert study.parts == parts
    assert study.name == "mine"


def test_a_study_of_the_papers_models_on_its_recordings_replicates_it(monkeypatch, tmp_path):
    monkeypatch.setenv(WEHBE_FOLDER, str(tmp_path))
    paper = studies.load("paper")
    assert paper.replicates and {"replication", "wehbe2014"} <= set(paper.parts)
    assert not paper.model_copy(update={"models": paper.models[1:]}).replicates
    assert not paper.model_copy(update={"recordings": paper.recordings[1:]}).replicates


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sampel", r"unknown study 'sampel'\. Did you mean sample\? A study is a YAML file in studies/"),
        ("zzz", r"unknown study 'zzz'\. Known: .*printed, sample"),
        ("no/such.yaml", r"unknown study 'no/such\.yaml'.*or the path of one"),
    ],
)
def test_unknown_study_suggests(name, message):
    with pytest.raises(LookupError, match=message):
        studies.load(name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("title: [Mine", "not valid YAML"),
        ("- title\n- evidence", "expected settings .*found list"),
        ("", "expected settings .*found NoneType"),
        ("Mine", "expected settings .*found str"),
        ("evidence: people", "title: field required"),
        (MINIMAL + "resample: 100", r"unknown setting 'resample'\. Did you mean resamples\?"),
        (MINIMAL + "reading_tims: []", r"unknown setting 'reading_tims'\. Did you mean reading_times or"),
        (MINIMAL + "1: 2", "1: keys should be strings, not 1"),
        (MINIMAL + "yes: no", "keys should be strings, not True"),
        (MINIMAL + "resamples: many", "resamples: input should be a valid integer, not 'many'"),
        (MINIMAL + "resamples: 10", "resamples: .*greater than or equal to 100, not 10"),
        (MINIMAL + "seed: -1", "seed: .*greater than or equal to 0, not -1"),
        (MINIMAL + "seed: 0.5", "seed: .*valid integer, not 0.5"),
        (MINIMAL + "name: ../escape", r"name: .*pattern.*not '\.\./escape'"),
        ("title: Mine\nevidence: hearsay", "evidence: input should be 'printed', 'people' or .*not 'hearsay'"),
        (MINIMAL + "alignments: []", r"alignments: .*at least 1.*not \[\]"),
        (MINIMAL + "alignments: corrected", "alignments: .*valid list, not 'corrected'"),
        (MINIMAL + "reading_times: [natural_storys]", r"reading_times\.0: .*not 'natural_storys'"),
        (MINIMAL + "surprisal: 5", "surprisal: input should be a valid list, not 5"),
        (MINIMAL + "surprisal: kuribayashi2024", "surprisal: input should be a valid list, not 'kuribayashi2024'"),
        (MINIMAL + "surprisal: [5]", r"surprisal\.0: .*not 5"),
        (MINIMAL + "surprisal: [{name: a}]", r"surprisal\.0\.file: field required"),
        (MINIMAL + "surprisal: [{file: a.csv}]", r"surprisal\.0\.name: field required"),
        (MINIMAL + "surprisal: [{file: a.csv, nmae: a}]", r"unknown setting 'nmae'\. Did you mean name\?"),
        (MINIMAL + "surprisal: [{file: a.csv, name: a b}]", r"surprisal\.0\.name: .*pattern.*not 'a b'"),
        (MINIMAL + "surprisal: [{file: a.csv, name: a, unit: nits}]", r"surprisal\.0\.unit: .*not 'nits'"),
    ],
)
def test_wrong_settings_name_file_key_and_value(write, settings, message):
    path = write(settings)
    with pytest.raises(ValueError, match=message) as error:
        studies.load(str(path))
    assert str(path) in str(error.value)
    # A source that is a file is not told that it is no name, nor the other way round.
    assert "valid string" not in str(error.value)


def test_what_is_little_is_run_by_one_process():
    studies_ = {name: studies.load(name) for name in ("printed", "sample", "microworld")}
    found = {name: studies.batches(study) for name, study in studies_.items()}
    assert found["printed"] == []
    for name, study in studies_.items():
        assert sorted(itertools.chain(*found[name])) == sorted(studies.measured(study))
    trained = [batch for batch in found["microworld"] if "llama-large" in batch]
    assert trained == [["llama-large", "llama-large-untrained-0", "llama-large-tuned"]]
    assert len(next(batch for batch in found["microworld"] if "llama-medium-instruction-0" in batch)) == 3
    assert ["oasm", "length", "position", "length+position", "random"] in found["microworld"]
    # Models of people are alone.
    models = set(studies.models(studies_["sample"]).query("origin == 'model'").index)
    assert {len(batch) for batch in found["sample"] if models & set(batch)} == {1}
    assert max(len(batch) for batch in found["sample"]) == 8
    for study, batches in ((studies_[name], found[name]) for name in studies_):
        for name, base in studies.bases(study).items():
            inside = [batch for batch in batches if name in batch and base in batch]
            assert all(batch.index(base) < batch.index(name) for batch in inside)


def test_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"title: \xff\xfe\n")
    with pytest.raises(ValueError, match=r"mine\.yaml: not valid YAML"):
        studies.load(str(path))


def test_all_problems_are_told_at_once(write):
    with pytest.raises(ValueError, match="sed") as error:
        studies.load(str(write(MINIMAL + "sed: 0\nresamples: many\n")))
    assert len(str(error.value).splitlines()) == 2


def test_unknown_collection_suggests(write):
    with pytest.raises(LookupError, match=r"unknown collection .*'kuribayashi2042'\. Did you mean kuribayashi2024"):
        studies.load(str(write(MINIMAL + "surprisal: [kuribayashi2042]")))


# --- models -----------------------------------------------------------------------------------------------


def test_models_of_a_collection_and_of_ones_own(tmp_path, write):
    (tmp_path / "x.csv").write_text("surprisal\n")
    path = write(MINIMAL + "surprisal: [{file: x.csv, name: mine, vanilla: gpt2, family: GPT-2}, kuribayashi2024]")
    models = studies.models(studies.load(str(path)))
    assert len(models) == 27
    assert models.loc["mine", ["family", "kind", "vanilla", "origin"]].tolist() == [
        "GPT-2", "instruction-tuned", "gpt2", "series",
    ]  # fmt: skip
    assert np.isnan(models.parameters["mine"])
    assert models.loc["gpt2", ["kind", "parameters", "origin"]].tolist() == ["vanilla", 124439808, "series"]


def test_a_tuned_model_may_be_without_its_base(tmp_path, write):
    (tmp_path / "x.csv").write_text("surprisal\n")
    series = "surprisal: [{file: x.csv, name: mine, kind: instruction-tuned}]\n"
    models = studies.models(
        studies.load(str(write(MINIMAL + series + "models: [{load: a/b, kind: instruction-tuned}]")))
    )
    assert (
        models.kind[["mine", "b"]].tolist() == ["instruction-tuned"] * 2 and models.vanilla[["mine", "b"]].isna().all()
    )
    with pytest.raises(ValueError, match="kind: vanilla, but gpt2 is its base"):
        studies.load(str(write(MINIMAL + "models: [gpt2, {load: a/b, kind: vanilla, vanilla: gpt2}]")))


@pytest.mark.parametrize("other", ["gpt2", "twice"])
def test_two_models_of_one_name(tmp_path, write, other):
    (tmp_path / "x.csv").write_text("surprisal\n")
    settings = f"surprisal: [kuribayashi2024, {{file: x.csv, name: twice}}, {{file: x.csv, name: {other}}}]"
    study = studies.load(str(write(MINIMAL + settings)))
    with pytest.raises(ValueError, match=f"study mine: two models are called '{other}'; give one another name"):
        studies.models(study)


@pytest.mark.parametrize(
    ("stem", "name"),
    [("mine", "mine"), ("my study; touch x $(id)", "my-study-touch-x-id"), ("_a.b-", "a.b-"), ("文", "unnamed")],
)
def test_what_is_called_after_a_file_has_a_plain_name(tmp_path, stem, name):
    (tmp_path / f"{stem}.yaml").write_text(f"{MINIMAL}models: ['models/{stem}.bin']\ncontrols: [oasm]\n")
    study = studies.load(str(tmp_path / f"{stem}.yaml"))
    assert study.name == name and [*studies.models(study).index] == [name, "oasm"]


# --- results ----------------------------------------------------------------------------------------------


def test_run_from_a_file_to_a_table(tiny):
    study = tiny.load()
    found = studies.run(study, "base")
    assert set(found) == {"words", "behavior"} and set(found["behavior"].model) == {"base"}
    expected = [
        behavioral_alignment(surprisal(1), little_stories(name), n_resamples=100) for name in ("original", "corrected")
    ]
    table = found["behavior"].drop(columns="model")
    pd.testing.assert_frame_equal(table, pd.concat(expected, ignore_index=True))
    folder = store.root() / "results" / "mine" / "base"
    assert folder == studies.result_path(study, "base")
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "behavior.parquet"), found["behavior"])
    assert keys.key(json.loads((folder / studies.DONE).read_text()), "behavior") == found["behavior"].attrs["key"]


def test_unit_of_a_file(tiny):
    in_bits = studies.run(tiny.load(), "base")["behavior"]
    tiny.path.write_text(tiny.path.read_text().replace("name: base", "name: base, unit: nats"))
    in_nats = studies.run(tiny.load(), "base")["behavior"]
    np.testing.assert_allclose(in_nats.sum_x, in_bits.sum_x / np.log(2))
    np.testing.assert_allclose(in_nats.value, in_bits.value, atol=1e-9)


def test_unknown_model_suggests(tiny):
    with pytest.raises(LookupError, match=r"unknown model of study mine 'bse'\. Did you mean base"):
        studies.run(tiny.load(), "bse")


def test_study_without_people_says_so(tiny):
    tiny.path.write_text(tiny.path.read_text().replace("reading_times: [natural_stories]", ""))
    study = tiny.load()
    with pytest.raises(ValueError, match="study mine has no reading_times"):
        studies.run(study, "base")
    assert studies.results(study).empty
    assert {"model", "family", "vanilla"} <= set(studies.results(study))


def test_a_record_of_another_version_is_no_record(tiny):
    study = tiny.load()
    measuring.results(study)
    (studies.result_path(study, "base") / studies.DONE).write_text('{"behavior": "an older key"}\n')
    assert studies.status(study).state.to_dict() == {"people": "up to date", "base": "stale", "tuned": "up to date"}
    assert len(measuring.results(study)) and set(studies.status(study).state) == {"up to date"}


def test_results_compute_only_what_is_missing(tiny):
    study = tiny.load()
    with pytest.raises(LookupError, match=r"(?s)2 models are missing or stale.*base: missing.*brainalign run mine"):
        studies.results(study)
    first = measuring.results(study)
    assert tiny.calls == ["original", "corrected"] * 2
    assert first.groupby("model").family.first().to_dict() == {"base": "other", "tuned": "GPT-2"}
    pd.testing.assert_frame_equal(measuring.results(study), first)
    assert len(tiny.calls) == 4
    shutil.rmtree(studies.result_path(study, "tuned"))
    pd.testing.assert_frame_equal(measuring.results(study), first)
    assert len(tiny.calls) == 6


def replaced(old, new):
    def change(tiny, monkeypatch):
        assert old in tiny.path.read_text()
        tiny.path.write_text(tiny.path.read_text().replace(old, new))

    return change


def other_data(tiny, monkeypatch):
    data = catalog.dataset("natural_stories")
    files = {path: dataclasses.replace(file, hash="sha256:" + "0" * 64) for path, file in data.files.items()}
    monkeypatch.setattr(catalog, "dataset", lambda name: dataclasses.replace(data, files=files))


def other_series(tiny, monkeypatch):
    pd.DataFrame({"surprisal": surprisal(3)}).to_csv(tiny.folder / "base.csv", index=False)


def other_code(tiny, monkeypatch):
    monkeypatch.setattr(keys, "code", lambda module: {"brainalign.human": "another"})


@pytest.mark.parametrize(
    ("change", "computed"),
    [
        (replaced("resamples: 100", "resamples: 101"), 2),
        (replaced("resamples: 100", "resamples: 100\nseed: 1"), 2),
        (replaced("resamples: 100", "resamples: 100\nalignments: [corrected]"), 1),
        (replaced("name: base", "name: base, unit: nats"), 2),
        (other_data, 2),
        (other_series, 2),
        (other_code, 2),
        # What only describes the study or the model leaves its results alone.
        (replaced("title: Mine", "title: Yours"), 0),
        (replaced("evidence: people", "evidence: microworld"), 0),
        (replaced("parameters: 1.0e+8", "parameters: 2.0e+8"), 0),
    ],
)
def test_a_change_of_what_matters_computes_again(tiny, monkeypatch, change, computed):
    studies.run(tiny.load(), "base")
    tiny.calls.clear()
    change(tiny, monkeypatch)
    studies.run(tiny.load(), "base")
    assert len(tiny.calls) == computed
    studies.run(tiny.load(), "base")
    assert len(tiny.calls) == computed


def test_what_was_measured_by_code_that_was_put_back_since_is_due(tiny, monkeypatch):
    study, folder = tiny.load(), studies.result_path(tiny.load(), "base")
    assert studies.want(study, "base")
    with monkeypatch.context() as edited:  # while it is measured
        other_code(tiny, edited)
        studies.run(study, "base")
    assert studies.want(study, "base")
    assert (folder / "wanted.json").stat().st_mtime_ns > (folder / studies.DONE).stat().st_mtime_ns
    studies.run(study, "base")
    assert not studies.want(study, "base")
    assert (folder / "wanted.json").stat().st_mtime_ns < (folder / studies.DONE).stat().st_mtime_ns


def test_results_depend_on_every_module_that_measuring_can_reach_and_on_no_page():
    code = set(keys.code(keys.MEASURING))
    loaders = {f"brainalign.human.{path.stem}" for path in (keys.ROOT / "human").glob("[!_]*.py")}
    assert loaders <= code and {"brainalign.study.measurement.measures", "brainalign.microworld.participants"} <= code
    assert not any(name.startswith(("brainalign.paper", "brainalign.cli")) for name in code)


def test_what_a_module_does_is_its_text_without_docstrings_comments_and_blank_lines(tmp_path):
    def digest(text):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text)
        return keys.module_of(path)[0]

    text = '"""Doc."""\n\nPROMPT = """one\n\n  two"""\n\n\ndef twice(x):\n    """Doc."""\n    return 2 * x\n'
    same = '"""Other.\n\nMore.\n"""\nPROMPT = """one\n\n  two"""\ndef twice(x):\n    # why\n    return 2 * x  # so\n'
    assert digest(text) == digest(same)
    others = [text.replace("2 * x", "3 * x"), text.replace("one\n\n", "one\n"), text.replace("one", "one ")]
    assert digest(text) not in {digest(other) for other in others}


def test_a_change_of_one_series_leaves_the_others(tiny, monkeypatch):
    measuring.results(tiny.load())
    tiny.calls.clear()
    other_series(tiny, monkeypatch)
    measuring.results(tiny.load())
    assert tiny.calls == ["original", "corrected"]


def test_same_inputs_give_the_same_bytes(tiny, monkeypatch):
    study, written = tiny.load(), []
    for folder, order in (("one", ["base", "tuned"]), ("two", ["tuned", "base"])):
        monkeypatch.setenv("BRAINALIGN_STORE", str(tiny.folder / folder))
        for model in order:
            studies.run(study, model)
        places = {model: studies.result_path(study, model) / "behavior.parquet" for model in ("base", "tuned")}
        written.append({model: path.read_bytes() for model, path in places.items()})
    assert written[0] == written[1]
    assert written[0]["base"] != written[0]["tuned"]


def test_published_series_on_real_readers(mirror):
    found = studies.run(studies.load("sample"), "gpt2")["behavior"]
    whole = found[found.story == "all"]
    assert (whole.n_words > 9000).all()
    scores = whole[whole.dataset == "natural_stories"].set_index(["measure", "alignment"])
    assert 0.25 < scores.value["r", "original"] < 0.35
    assert (scores.low < scores.value).all()
    assert (scores.value < scores.high).all()
    # Moved to the words they belong to, the times go less with surprisal alone, but more beyond length and frequency.
    assert scores.value["r", "original"] > scores.value["r", "corrected"] > 0
    assert scores.value["ppp", "corrected"] > scores.value["ppp", "original"] > 0
    # Who must choose each word before the next is shown slows down at the word itself.
    maze = whole[whole.dataset == "natural_stories.maze"].set_index("measure")
    assert maze.value["r"] > scores.value["r", "original"] and maze.value["ppp"] > scores.value["ppp", "corrected"]


def test_base_that_is_not_in_the_study(tmp_path):
    (tmp_path / "mine.csv").write_text("surprisal\n1\n")
    settings = (
        "title: x\nevidence: people\nsurprisal: [kuribayashi2024, {file: mine.csv, name: mine, vanilla: gpt-2}]\n"
    )
    (tmp_path / "mine.yaml").write_text(settings)
    with pytest.raises(LookupError, match=r"the base of mine: unknown model 'gpt-2'. Did you mean .*gpt2"):
        studies.models(studies.load(tmp_path / "mine.yaml"))
