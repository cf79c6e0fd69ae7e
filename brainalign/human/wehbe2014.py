"""Wehbe et al. 2014: fMRI of eight people reading chapter 9 of a novel, a word every half second.

The files have no public home with checksums, and the text is under copyright: you get them from the Toneva lab
(https://drive.google.com/drive/folders/1Q6zVCAJtKuLOh-zWpkS3lH8LBvHcEOE8) and point `load` at the folder. It checks
their names, shapes and counts. Four runs of one chapter, a volume every 2 s; the first 20 and the last 15 volumes
of each run are not in the responses, which are detrended and smoothed.

How this differs from the publication: the voxels are those of the language network, by masks that come with the
files (``HP_subj_roi_inds.npy``), not the whole brain. A voxel's ``region`` is the first in the alphabet that has it.
The chapter is one passage, so that a word's context may reach into an earlier run.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import catalog
from brainalign.human import npy
from brainalign.human.download import check_counts
from brainalign.human.recording import Recording, chapter, responses
from brainalign.human.timeseries import inner_volumes

PARTICIPANTS = tuple("FHIJKLMN")
TR = 2.0  # s
FIRST, LAST = 20, 15  # volumes that the files lack at the edges of each run
MASKS = "HP_subj_roi_inds.npy"
NETWORK = "all"  # the mask of the whole language network


def load(folder: Path | str | None = None, counts: bool = True) -> Recording:
    """Responses to the chapter, a time series: 1,211 volumes x 38,700 voxels of eight participants.

    The folder has the files, or their folder ``fMRI``. Without ``counts`` they may be files of your own in this layout,
    which are not compared with the published counts. Raises as `brainalign.human.load`.
    """
    data = catalog.dataset("wehbe2014")
    if folder is None:
        raise ValueError(
            f"wehbe2014: folder: none is given. Get the files from {data.address}, and give their folder: "
            "{wehbe2014: FOLDER} in a study, or BRAINALIGN_WEHBE2014=FOLDER for any."
        )
    folder = Path(folder)
    _participants_of(folder)
    time, run = _vectors(folder, "time_fmri", "runs_fmri")
    onset, words = _vectors(folder, "time_words_fmri", "stimuli_words")
    keep = inner_volumes(run, FIRST, LAST)
    masks = npy.load(_file(folder, MASKS))
    parts = [
        _language_network(folder, participant, _masks(folder, masks, participant), int(keep.sum()))
        for participant in PARTICIPANTS
    ]
    units = pd.concat([units for _, units in parts], ignore_index=True)
    if counts:
        totals = {"participants": len(parts), "words": len(words), "volumes": len(time)}
        check_counts(folder, totals | {"volumes_kept": int(keep.sum()), "units": len(units)}, data)

    stimuli, text = chapter("chapter9", words.astype(str).tolist(), onset, time[keep], TR)
    stimuli = stimuli.assign(run=run[keep], experiment="wehbe2014")
    labeled = responses(np.hstack([values for values, _ in parts]), stimuli, units)
    return Recording(data.name, labeled, (text,), data.licence, data.citation, source=str(folder), tr=TR)


def _language_network(
    folder: Path, participant: str, masks: dict[str, np.ndarray], n_volumes: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Responses (n_volumes, n_voxels) float32 of a participant, and what is known of each voxel."""
    name = f"data_subject_{participant}.npy"
    values = npy.load(_file(folder, name))
    expected = (n_volumes, len(masks[NETWORK]))
    if values.shape != expected:
        raise ValueError(
            f"{folder}: {name}: expected {expected} (volumes kept, voxels of the mask), found {values.shape}. Get the "
            f"file anew, or the time_fmri.npy, runs_fmri.npy and {MASKS} that belong to it."
        )
    voxels = np.flatnonzero(masks[NETWORK])
    region = np.full(len(voxels), NETWORK, object)
    for key in sorted(set(masks) - {NETWORK}, reverse=True):
        region[masks[key][voxels]] = key
    unit_ids = [f"{participant}.{voxel}" for voxel in voxels]
    units = pd.DataFrame({"participant": participant, "region": region, "unit_id": unit_ids})
    return values[:, voxels].astype(np.float32), units


def _masks(folder: Path, content: np.ndarray, participant: str) -> dict[str, np.ndarray]:
    """Masks over the voxels of a participant by region: (n_voxels,) bool each."""
    by_participant = content.item() if content.shape == () else None
    masks = by_participant.get(participant) if isinstance(by_participant, dict) else None
    if not isinstance(masks, dict) or NETWORK not in masks:
        raise ValueError(
            f"{folder}: {MASKS}: expected a dictionary with a dictionary of masks for {participant!r}, {NETWORK!r} "
            "among them. Get the file anew."
        )
    n = np.size(masks[NETWORK])
    for region, mask in masks.items():
        if np.shape(mask) != (n,) or not np.isin(mask, (0, 1)).all():
            raise ValueError(
                f"{folder}: {MASKS}: {participant}, {region}: expected a mask of {n} zeros and ones. Get the file anew."
            )
    return {region: np.asarray(mask).astype(bool) for region, mask in masks.items()}


def _participants_of(folder: Path) -> None:
    """See that the folder has the data of the eight, and of nobody else."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: folder: it does not exist. Give the folder with the files.")
    places = [*folder.glob("data_subject_*.npy"), *folder.glob("fMRI/data_subject_*.npy")]
    names = {path.stem.removeprefix("data_subject_") for path in places}
    if extra := sorted(names - set(PARTICIPANTS)):
        raise ValueError(f"{folder}: data_subject_{extra[0]}.npy is of no known participant. Move it elsewhere.")


def _file(folder: Path, name: str) -> Path:
    place = next((path for path in (folder / name, folder / "fMRI" / name) if path.is_file()), None)
    if place is None:
        raise FileNotFoundError(
            f"{folder}: {name} is missing. Put it there: see {catalog.dataset('wehbe2014').address}."
        )
    return place


def _vectors(folder: Path, *names: str) -> list[np.ndarray]:
    """Content of files of one dimension, all as long as the first."""
    vectors = [np.asarray(npy.load(_file(folder, f"{name}.npy"))) for name in names]
    for name, vector in zip(names, vectors, strict=True):
        if vector.ndim != 1:
            raise ValueError(f"{folder}: {name}.npy: expected one dimension, found {vector.shape}. Get the file anew.")
        if len(vector) != len(vectors[0]):
            raise ValueError(
                f"{folder}: {name}.npy has {len(vector)} entries, {names[0]}.npy {len(vectors[0])}: they must "
                "have as many. Get both anew."
            )
    return vectors
