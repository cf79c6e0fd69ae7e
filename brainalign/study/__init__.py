"""One study = models x data sets x protocols: its settings, who is in it, and what comes out.

study = studies.load("sample")
studies.run(study, "gpt2")                 # one model through all of it
studies.results(study, "brain")            # all models that were run
studies.results(study, "recordings")       # the people that they are held against
studies.status(study)                      # which results are up to date, stale or missing, and why
"""

from brainalign.study.description.files import STUDIES, load, names, path_of
from brainalign.study.description.loading import checkpoints, load_model, load_reading_times, load_recordings
from brainalign.study.description.members import Member, bases, members, models, related, tuned, with_model
from brainalign.study.description.settings import LoadedModel, OwnReadingTimes, OwnRecording, SeriesFile, Study
from brainalign.study.planning.needs import missing
from brainalign.study.running.runs import (
    DONE,
    SCORES,
    adopt,
    batches,
    measured,
    result_path,
    results,
    run,
    status,
    want,
)

__all__ = [
    "DONE",
    "SCORES",
    "STUDIES",
    "LoadedModel",
    "Member",
    "OwnReadingTimes",
    "OwnRecording",
    "SeriesFile",
    "Study",
    "adopt",
    "bases",
    "batches",
    "checkpoints",
    "load",
    "load_model",
    "load_reading_times",
    "load_recordings",
    "measured",
    "members",
    "missing",
    "models",
    "names",
    "path_of",
    "related",
    "result_path",
    "results",
    "run",
    "status",
    "tuned",
    "want",
    "with_model",
]  # fmt: skip
