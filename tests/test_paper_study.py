"""The study `paper` at reduced width, and on recordings that are made up: every display of the paper is drawn from it.

Random networks of each of the paper's architectures stand for its models, files in Brain-Score's layout for its
recordings. In a copy of the project the catalog says what those files hold; all else is the study as it ships.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml
from books import MIRROR, Book, Project

from brainalign import catalog, human
from brainalign.human import blank2014, futrell2018, pereira2018
from brainalign.llm.benchmarks import WIKITEXT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror of the public data: set BRAINALIGN_MIRROR"),
    pytest.mark.skipif(not os.environ.get("BRAINALIGN_REFERENCE"), reason="set BRAINALIGN_REFERENCE"),
]

STUDY = "paper-tiny"
# By name: architecture, seed, the model that it is tuned from.
MODELS = {
    "t5-base": (tiny.t5, 0, None),
    "flan-t5-base": (tiny.t5, 1, "t5-base"),
    "llama-7b": (tiny.llama, 0, None),
    "vicuna-7b": (tiny.llama, 1, "llama-7b"),
    "gpt2-small": (tiny.gpt2, 0, None),
    "gpt2-small-alpaca": (tiny.gpt2, 1, "gpt2-small"),
    "gemma-2b": (tiny.gemma, 0, None),
    "gemma-2b-it": (tiny.gemma, 1, "gemma-2b"),
}
FAMILIES = {"t5": "T5", "llama": "LLaMA", "gpt2": "GPT2", "gemma": "Gemma"}
WEHBE = "FHIJKLMN"  # the participants
POSITIONS, OF_T5 = 128, 64  # tokens: of T5 each word has what precedes it read anew
RUNS = (75, 73, 76, 74)  # volumes of Wehbe2014, of which 35 of each run are dropped


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Book:
    project = Project.copy(tmp_path_factory.mktemp("paper"))
    mirror = save_recordings(project)
    save_wikitext(project, mirror)
    save_study(project)
    environment = {
        "BRAINALIGN_MIRROR": str(mirror),
        "BRAINALIGN_WEHBE2014": str(save_wehbe(project.root / "wehbe2014")),
    }
    return Book.build(project, STUDY, **environment).checked()


def save_recordings(project: Project) -> Path:
    """A mirror with the made-up files in the place of the published ones, which the copy's catalog knows."""
    mirror, reference = project.root / "mirror", Path(os.environ["BRAINALIGN_REFERENCE"]) / "brainscore"
    facts = yaml.safe_load((project.root / "brainalign/catalog/datasets.yaml").read_text(encoding="utf-8"))
    for place in MIRROR.iterdir():
        mirror.mkdir(exist_ok=True)
        (mirror / place.name).symlink_to(place)
    for name, counts in (("pereira2018", pereira), ("blank2014", blank), ("futrell2018", futrell)):
        listed = project.root / "brainalign/catalog/files" / f"{name}.csv"
        head, row = listed.read_text(encoding="utf-8").splitlines()
        file = row.split(",")[0]
        content = (reference / file).read_bytes()
        listed.write_text(f"{head}\n{file},,sha1:{hashlib.sha1(content).hexdigest()}\n", encoding="utf-8")
        target = mirror / catalog.dataset(name).address.removeprefix("https://") / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        facts[name]["counts"] = counts(reference / file)
    facts["wehbe2014"]["counts"] = {"participants": len(WEHBE)}
    (project.root / "brainalign/catalog/datasets.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    return mirror


def save_wikitext(project: Project, mirror: Path) -> None:
    """The beginning of WikiText-2, which tiny tokenizers cut into more than a million pieces."""
    whole = (MIRROR / catalog.dataset("wikitext2").address.removeprefix("https://") / WIKITEXT).read_bytes()
    content = whole[: whole.rindex(b"\n", 0, 20_000) + 1]
    target = mirror / "wikitext.example" / WIKITEXT
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
    listed = f"path,bytes,hash\n{WIKITEXT},{len(content)},sha256:{hashlib.sha256(content).hexdigest()}\n"
    (project.root / "brainalign/catalog/files/wikitext2.csv").write_text(listed, encoding="utf-8")
    facts = project.root / "brainalign/catalog/datasets.yaml"
    known = yaml.safe_load(facts.read_text(encoding="utf-8"))
    known["wikitext2"]["address"] = "https://wikitext.example/"
    facts.write_text(yaml.safe_dump(known), encoding="utf-8")


def pereira(file: Path) -> dict[str, int]:
    parts = {name: pereira2018.load(name, path=file) for name in ("243", "384")}
    counts = {"stimuli": sum(one.responses.sizes["stimulus"] for one in parts.values())}
    counts |= {f"units_{name}": len(one.units) for name, one in parts.items()}
    counts |= {f"participants_{name}": len(one.participants) for name, one in parts.items()}
    everybody = {unit for one in parts.values() for unit in one.units.unit_id}
    people = {who for one in parts.values() for who in one.participants}
    return counts | {"units": len(everybody), "participants": len(people)}


def blank(file: Path) -> dict[str, int]:
    recording = blank2014.load(path=file)
    stories = recording.stimuli.story.value_counts()
    counts = {"stimuli": int(stories.sum()), "units": len(recording.units), "participants": len(recording.participants)}
    return counts | {"stories": len(stories)} | {f"stimuli_{name}": int(n) for name, n in stories.items()}


def futrell(file: Path) -> dict[str, int]:
    return dict(zip(("words", "readers"), futrell2018.load(path=file).times.shape, strict=True))


def save_wehbe(folder: Path) -> Path:
    """The files of Wehbe2014, in their layout: noise of eight people, four words in a volume of two seconds."""
    folder.mkdir()
    rng, runs = np.random.default_rng(0), np.repeat([1, 2, 3, 4], RUNS)
    words = (tiny.TEXT.split() * 100)[: 4 * len(runs)]
    masks = {}
    for number, participant in enumerate(WEHBE):
        n_voxels = 4 + number % 3
        np.save(folder / f"data_subject_{participant}.npy", rng.standard_normal((len(runs) - 4 * 35, n_voxels)))
        masks[participant] = {"all": np.ones(n_voxels, bool)}
    np.save(folder / "time_fmri.npy", 2.0 * np.arange(len(runs)))
    np.save(folder / "runs_fmri.npy", runs)
    np.save(folder / "time_words_fmri.npy", 0.5 * np.arange(len(words)))
    np.save(folder / "stimuli_words.npy", np.array(words))
    np.save(folder / "HP_subj_roi_inds.npy", masks)
    return folder


def save_study(project: Project) -> None:
    """The study as it ships, with tiny models for its own, fewer questions, and few steps of tuning."""
    settings = yaml.safe_load((project.root / "studies" / "paper.yaml").read_text(encoding="utf-8"))
    models = []
    for name, (make, seed, vanilla) in MODELS.items():
        folder = project.root / "studies" / "models" / name
        # Those of the choices in MMLU and BBH.
        more = {"letters": "ABCDEFGHIJKLMNOPQR", "positions": OF_T5} if make is tiny.t5 else {"positions": POSITIONS}
        make(folder, seed=seed, **more)
        models.append({"load": f"models/{name}", "vanilla": vanilla, "family": FAMILIES[make.__name__]})
    models.append({"load": "models/gpt2-small", "untrained": 0, "family": "GPT2"})
    short = {"batch_size": 16, "epochs": 0.25, "max_length": POSITIONS, "samples": "alpaca_sample", "checkpoints": [0]}
    tuning = [
        {"model": "models/llama-7b", "condition": condition, "seed": 0, **short}
        for condition in ("instruction", "no-instruction", "continued")
    ]
    # Long real texts are read by the sample, and so are exams in the way that is not the paper's.
    settings["recordings"].remove("brennan2016")
    settings |= {"reading_times": ["futrell2018"], "benchmark_protocols": ["instruct-eval"], "items": 1}
    settings |= {"models": models, "tuning": tuning, "resamples": 200}
    (project.root / "studies" / f"{STUDY}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


@pytest.mark.parametrize("display", list(catalog.displays().itertuples()), ids=lambda row: row.display)
def test_every_display_of_the_paper_is_drawn_from_the_study(built, display):
    saved = built.project.executed(STUDY) / display.study
    ending = ".svg" if display.display.startswith("Figure") else ".json"
    assert saved.with_name(saved.name + ending).is_file()
    placed = [name for name, page in built.pages.items() if page.find(id=saved.name)]
    assert any(name.startswith("book/") for name in placed), placed


def test_every_data_set_of_the_paper_is_scored(built):
    page = str(built.pages["book/appendix_brain_results.html"])
    for name in ("pereira2018", "blank2014", "wehbe2014"):
        assert name in page
    assert set(human.RECORDINGS) >= {"pereira2018.243", "pereira2018.384", "blank2014", "wehbe2014"}
