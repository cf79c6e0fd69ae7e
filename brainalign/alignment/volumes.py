"""From the parts of a text to the stimuli of a recording, and responses without what is not the text's.

    features = parts_to_stimuli(activations, recording)

Most recordings have a part a stimulus. In a time series parts are words, and a response to them comes seconds later
and lasts: features of the words of a volume are averaged, and copies of them 2 to 8 s late stand side by side, 1, 2, 3
and 4 volumes at a volume every 2 s, so that a regression finds the shape of the response (a finite impulse response, as
in Wehbe et al. 2014, doi 10.1371/journal.pone.0112575).
"""

from collections.abc import Sequence

import numpy as np

from brainalign.alignment.encoding.splits import Split, contiguous
from brainalign.human import timeseries
from brainalign.human.recording import Recording

FIRST_DELAY, LAST_DELAY = 2.0, 8.0  # s
COMPONENTS = 10
TAKEN_OUT = ("motion", "nuisance.")  # how names of regressors begin that are nothing of the text


def parts_to_stimuli(features: np.ndarray, recording: Recording) -> np.ndarray:
    """Bring features of the parts of all passages, (n_parts, n_features), to the stimuli of a recording.

    (n_stimuli, n_features), for a time series (n_stimuli, n_delays * n_features); in the precision of ``features``. A
    `ValueError` says where there is not a row a part.
    """
    features = _checked(features, recording)
    if recording.tr is None:
        return features[recording.part_rows]
    return _delayed(features, recording).astype(features.dtype)


def components(features: np.ndarray, recording: Recording, splits: Sequence[Split]) -> np.ndarray:
    """Bring features of words to volumes by their first ten principal components: protocols, section 4.

    Components are fitted, in each split anew, on the words that begin in the training volumes. Then the mean over
    the words of a volume, delays, and z-scores within each run: from (n_words, n_features) to (n_splits, n_stimuli,
    10 * n_delays), 40 at a volume every 2 s. A `ValueError` says where there is not a row a word, or too few for ten
    components.
    """
    from sklearn.decomposition import PCA

    features, volumes, runs = _checked(features, recording), recording.volumes, recording.stimuli.run.to_numpy()
    onset_volumes = np.floor(recording.onsets / recording.tr + 1e-9).astype(int)  # as in `timeseries.words_to_volumes`
    by_split = []
    for train, _ in splits:
        words = features[np.isin(onset_volumes, volumes[train])]
        if min(words.shape) < COMPONENTS:
            raise ValueError(
                f"{recording.name}: {words.shape[0]} training words of {words.shape[1]} features have no {COMPONENTS} "
                "components. Take a wider layer, or a protocol that takes features as they are."
            )
        pca = PCA(COMPONENTS, random_state=0).fit(words)
        by_split.append(timeseries.zscore(_delayed(pca.transform(features), recording), runs))
    return np.stack(by_split)


def responses_of(recording: Recording, splits: str) -> np.ndarray:
    """Responses as a protocol predicts them; those of a time series without motion and slow drifts, and z-scored.

    Each run is cleaned by itself, and where neighbors are kept together each tenth of the recording too: what is
    fitted to a test set then knows nothing of the training set, nor the other way round. Sound and the rate of words
    stay in: they are of the text, and `controls` asks what they explain. Where folds are runs, z-scores are all that is
    done, as in the paper. Volumes between the ends of a run and a tenth that are too few for that are set to 0.
    Splits are named as in `Protocol.splits`; responses of a time series, (n_stimuli, n_units), are float32. A
    `ValueError` says where there are too few volumes for that.
    """
    values = recording.responses.to_numpy()
    if recording.tr is None:
        return values
    pieces = runs = recording.stimuli.run.to_numpy(str)
    if splits == "runs":
        return timeseries.zscore(values, pieces).astype(np.float32)
    parts = tenths(len(values)).astype(str) if splits == "neighbors" else runs
    if splits == "neighbors":
        pieces = np.char.add(np.char.add(runs, "."), parts)
    clean = np.empty_like(values)
    for participant in recording.participants:
        columns = np.flatnonzero(recording.units.participant.to_numpy() == participant)
        motion = _regressors(recording, participant)
        for piece in np.unique(pieces):
            rows = np.flatnonzero(pieces == piece)
            nuisance = np.hstack([timeseries.drifts(len(rows), recording.tr), motion[rows]])
            block, minimum = np.ix_(rows, columns), 2 * (1 + nuisance.shape[1])
            lengths = [(labels == labels[rows[0]]).sum() for labels in (runs, parts)]
            if len(rows) < minimum <= min(lengths):
                # Where a run ends shortly after a tenth begins: too few to be cleaned, and they count as the mean.
                clean[block] = 0
                continue
            if len(rows) < minimum:
                raise ValueError(
                    f"{recording.name}: {len(rows)} volumes in a row are too few to take {nuisance.shape[1]} "
                    "regressors of motion and drift out of them. Leave out motion, or take a longer recording."
                )
            clean[block] = timeseries.zscore(timeseries.regress_out(values[block], nuisance))
    return clean


def lags(tr: float) -> list[int]:
    """Delays of a response, in volumes: all from 2 to 8 s, at least of one volume."""
    first, last = (max(1, round(seconds / tr)) for seconds in (FIRST_DELAY, LAST_DELAY))
    return list(range(first, last + 1))


def tenths(n_stimuli: int) -> np.ndarray:
    """Which tenth of a recording each stimulus is in: the blocks that `splits.contiguous` tests, (n_stimuli,) int."""
    tests = [test for _, test in contiguous(n_stimuli, 10, gap=0)]
    return np.repeat(np.arange(10), [len(test) for test in tests])


def _checked(features: np.ndarray, recording: Recording) -> np.ndarray:
    features, n_parts = np.asarray(features), sum(len(passage.parts) for passage in recording.passages)
    if features.ndim != 2 or len(features) != n_parts:
        raise ValueError(
            f"{recording.name}: features have shape {features.shape}, its text {n_parts} parts. Give a row for each."
        )
    return features


def _delayed(features: np.ndarray, recording: Recording) -> np.ndarray:
    """Mean over the words of a volume, and delays; on the clock of all volumes, also those that were dropped."""
    volumes = recording.volumes
    means = timeseries.words_to_volumes(recording.onsets, features, recording.tr, volumes.max() + 1)
    return timeseries.delays(means, lags(recording.tr))[volumes]


def _regressors(recording: Recording, participant: str) -> np.ndarray:
    """Head motion, or what else is nothing of the text, of a participant: (n_stimuli, n_regressors), or none."""
    if recording.nuisance is None:
        return np.zeros((recording.responses.sizes["stimulus"], 0))
    names = [name for name in recording.nuisance.regressor.to_numpy().tolist() if name.startswith(TAKEN_OUT)]
    return recording.nuisance.sel(participant=participant, regressor=names).to_numpy()
