"""Results of a study of which nothing is here: made-up numbers in the true shapes, by the code that measures."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import recordings
import xarray as xr

from brainalign import catalog
from brainalign import study as studies
from brainalign.alignment.ceilings.extrapolated import Extrapolation
from brainalign.human import brennan2016
from brainalign.human.reading_times import ReadingTimes, by_reader
from brainalign.human.recording import Recording
from brainalign.llm.models.sources import settings_of
from brainalign.study.description.members import Member, members
from brainalign.study.measurement import brains, capability, measures, people, readings

# Participants, and stimuli of each story or run, as the catalog counts them.
TOPICS = 24
SENTENCES = {"pereira2018.243": (6, [243 // TOPICS + (k < 243 % TOPICS) for k in range(TOPICS)]),
             "pereira2018.384": (9, [384 // TOPICS] * TOPICS),
             "blank2014": (5, [143, 153, 135, 157, 181, 181, 189, 178]),
             "tuckute2024": (1, [1] * 1000)}  # fmt: skip
VOLUMES = {"wehbe2014": (8, [303, 303, 303, 302]), "brennan2016": (27, [362])}
REGIONS = ("LIFG", "LPTL")  # of which each participant has a unit
FEATURES = 12  # of a state; like most stimuli that models read, they leave no trace in the shape of results
SHORTER = {"pereira2018.243": 2, "pereira2018.384": 4, "blank2014": 8, "tuckute2024": 1, "wehbe2014": 3,
           "brennan2016": 1}  # fmt: skip
LEAST = 4  # stimuli of a story, where it has as many
WORDS, STORIES, READERS = 10_256, 10, 60
RIGHT = 0.4  # share of questions
MEASURED: dict[tuple, dict[str, pd.DataFrame]] = {}  # of models of two blocks
measure_now = measures.measure


@cache
def recording(name: str, shorter: int = 1) -> Recording:
    """Noise, of as many people and stimuli as there are; or of fewer stimuli."""
    participants, counts = (SENTENCES | VOLUMES)[name]
    counts = [min(count, max(LEAST, count // shorter)) for count in counts]
    groups = np.repeat([f"g{k}" for k in range(len(counts))], counts)
    values = recordings.noise(len(groups), len(REGIONS) * participants)
    if name in SENTENCES:
        return replace(recordings.reading(values, groups, participants), name=name)
    made = recordings.listening(values, groups, participants, motion=recordings.noise(participants, len(groups)))
    regions = ("unit", np.resize(REGIONS, made.responses.sizes["unit"]))
    moved = made.nuisance.sel(regressor=["motion_x"] * len(brennan2016.MOTION))
    moved = moved.assign_coords(regressor=list(brennan2016.MOTION))
    return replace(made, name=name, responses=made.responses.assign_coords(region=regions), nuisance=moved)


def recorded(study: studies.Study) -> dict[str, Recording]:
    """Recordings of a study, the longest of them cut short."""
    return {name: recording(name, SHORTER[name]) for name in study.recordings}


@cache
def reading_times(name: str, alignment: str = "original") -> ReadingTimes:
    """Ten stories of about a thousand words, with readers where single readers are released."""
    rng, story = np.random.default_rng(0), np.sort(np.arange(WORDS) % STORIES) + 1
    position = pd.Series(story).groupby(story).cumcount().to_numpy() + 1
    words = pd.DataFrame({"story": story, "position": position, "sentence": (position - 1) // 20 + 1, "text": "word"})
    words = words.assign(length=rng.integers(1, 12, WORDS), log_frequency=rng.normal(18, 3, WORDS))
    times = rng.normal(330, 60, (WORDS, READERS)).clip(100)
    if name == "natural_stories":
        words = words.assign(n_readers=READERS, sd=times.std(axis=1), time=times.mean(axis=1))
        coordinates = {column: ("word", words[column].to_numpy()) for column in words.drop(columns="time")}
        return ReadingTimes(
            name, xr.DataArray(words.time.to_numpy(), dims="word", coords=coordinates), "", "", alignment
        )
    return ReadingTimes(name, by_reader(words, pd.DataFrame(times)), "", "", alignment)


def model(study: studies.Study, name: str) -> SimpleNamespace:
    """What a model says of itself: the sizes of the catalog's architecture, but for a block or two."""
    entry = members(study)[name].source
    settings = settings_of(entry.load)
    return SimpleNamespace(
        name=name,
        n_parameters=int(catalog.checkpoints().parameters[entry.load]),
        n_layers=2,
        width=next(settings[key] for key in ("hidden_size", "n_embd", "d_model") if key in settings),
        n_vocabulary=settings["vocab_size"],
        n_positions=512,
        encoder_decoder=settings["model_type"] == "t5",
        identity={"made up": name},
    )


def depth(entry: studies.LoadedModel) -> int:
    """Blocks of a model, of each stack."""
    settings = settings_of(entry.load)
    return next(settings[key] for key in ("num_hidden_layers", "n_layer", "num_layers") if key in settings)


def layer_names(like: SimpleNamespace) -> list[str]:
    """As `activations.layer_names` of a network."""
    stacks = ("encoder.", "decoder.") if like.encoder_decoder else ("",)
    return [f"{stack}{k}" for stack in stacks for k in range(like.n_layers // len(stacks) + 1)]


def activations(like: SimpleNamespace, passages, text: str) -> xr.DataArray:
    """Noise at each part."""
    layers, n_parts = layer_names(like), sum(len(passage.parts) for passage in passages)
    values = np.random.default_rng(len(like.name)).normal(size=(len(layers), n_parts, FEATURES)).astype("float32")
    return xr.DataArray(values, dims=("layer", "part", "feature"), coords={"layer": layers}, attrs=notes(n_parts))


def surprisal(like: SimpleNamespace, passages, text: str) -> xr.DataArray:
    """Noise at each word."""
    n_words = sum(len(passage.parts) for passage in passages)
    bits = np.random.default_rng(len(like.name)).exponential(8, n_words)
    return xr.DataArray(bits, dims="part", attrs=notes(n_words) | {"first_word": "after <s>"})


def token_ids(like: SimpleNamespace, passages, text: str) -> pd.DataFrame:
    """A token a part; other ones of encoder-decoders."""
    rows = [(passage.id, number, part) for passage in passages for number, part in enumerate(passage.parts, 1)]
    table = pd.DataFrame(rows, columns=["passage", "part", "word"])
    return table.assign(text=text, ids=[str(number + like.encoder_decoder) for number in range(len(table))])


def notes(n_parts: int) -> dict:
    """Of how a text was read."""
    return {"tokens": n_parts, "parts": n_parts, "parts_encoded_anew": 0, "special_tokens": ["<s>"]}


def answers(like: SimpleNamespace, benchmark: SimpleNamespace, protocol: str, items: int | None) -> pd.DataFrame:
    """Answers to some questions of each task."""
    tasks = catalog.benchmark_tasks(benchmark.name)
    table = tasks.loc[tasks.index.repeat(items or 10)].reset_index()
    table["right"] = np.random.default_rng(len(like.name)).random(len(table)) < RIGHT
    table.attrs["over"] = "files" if benchmark.name == "bbh" else "questions"
    return table


def text_loss(study: studies.Study, like: SimpleNamespace, mode: str | None) -> pd.DataFrame:
    """Losses on WikiText-2."""
    rows = pd.DataFrame({"measure": [capability.WIKITEXT_LOSS, capability.WIKITEXT_BITS], "n": 241_211})
    rows["value"] = 3 + np.random.default_rng(len(like.name)).random(2)
    rows = rows.assign(low=rows.value - 0.1, high=rows.value + 0.1)
    return rows.assign(benchmark="wikitext2", protocol=mode, level="overall", domain="all")


def ceiling(protocol, recording: Recording) -> Extrapolation:
    """A ceiling; to estimate it takes long."""
    of_units, sizes = np.full(len(recording.units), 0.32), np.array([2, 3])
    return Extrapolation(0.32, 0.3, 0.34, of_units, of_units, of_units, sizes, np.stack([of_units, of_units]))


def measure(study: studies.Study, member: Member, wanted) -> dict[str, pd.DataFrame]:
    """What is measured of a member: of a model as of one of two blocks, with further layers and other numbers."""
    if not isinstance(member.source, studies.LoadedModel):
        return measure_now(study, member, wanted)
    own = model(study, member.name)
    alike = (study.name, own.encoder_decoder, member.about["kind"] == "untrained")
    if alike not in MEASURED:
        MEASURED[alike] = measure_now(study, member, measures.analyses(study, member))
    rng = np.random.default_rng(list(member.name.encode()))
    made = {name: stretched(MEASURED[alike][name], depth(member.source), rng) for name in wanted}
    return made | ({"model": readings.description(own)} if "model" in wanted else {})


def stretched(table: pd.DataFrame, n_blocks: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of the first block again for each that is missing, none of them chosen, and all values moved a little."""
    table = table.drop(columns="model", errors="ignore")
    for column in {"layer", "other"} & set(table.columns):
        name = table[column].astype(str).str.extract(r"^((?:\w+\.)?)1$")[0]
        more = [
            table[name.notna()].assign(
                **{column: name.dropna() + str(k)} | ({"chosen": False} if "chosen" in table else {})
            )
            for k in range(
                int(table[column].astype(str).str.extract(r"(\d+)$")[0].astype(float).max()) + 1, n_blocks + 1
            )
        ]
        table = pd.concat([table, *more], ignore_index=True)
    if "depth" in table:
        table["depth"] = table.layer.str.extract(r"(\d+)$")[0].astype(int)
    values = [name for name in ("r", "r2", "value", "low", "high", "cka", "rsa", "unique", "norm") if name in table]
    return table.assign(**{name: table[name] * rng.uniform(0.8, 1.2) for name in values})


def put(monkeypatch) -> None:
    """Have everything that is measured be measured of what is made up."""
    for module, name, stand_in in (
        (people, "load_recording", recording),
        (people, "load_reading_times", reading_times),
        (measures, "load_recordings", recorded),
        (measures, "load_reading_times", reading_times),
        (readings, "load_recordings", recorded),
        (readings, "load_reading_times", reading_times),
        (measures, "measure", measure),
        (measures, "load_model", model),
        (readings, "load_checkpoints", lambda study, tuning: ((k, model(study, tuning.model)) for k in (0, 12))),
        (readings, "layer_names", layer_names),
        (measures, "llm", SimpleNamespace(surprisal=surprisal)),
        (readings, "llm", SimpleNamespace(activations=activations, surprisal=surprisal)),
        (measures, "token_ids", token_ids),
        (measures, "with_yardstick", lambda table, dataset: table),
        (measures, "series_of", lambda member, dataset: np.random.default_rng(0).exponential(8, WORDS)),
        (brains, "ceiling_of", ceiling),
        (capability, "load_reading_times", reading_times),
        (
            capability,
            "load_benchmark",
            lambda name: SimpleNamespace(name=name, protocols=("standard", "instruct-eval")),
        ),
        (capability, "answers", answers),
        (capability, "text_loss", text_loss),
    ):
        monkeypatch.setattr(module, name, stand_in)
