"""What is kept of held-out predictions: enough for r and R² in each split, and of all splits together."""

from dataclasses import dataclass, replace

import numpy as np

TINY = 1e-8  # Brain-Score adds it to both norms of a correlation


@dataclass(frozen=True, eq=False)
class Scores:
    """Held-out predictions, as far as scores go. Axes: layer, split, unit; NaN for units that are NaN throughout.

    Sums over test stimuli are of what is centred in the test set; means there are less the mean of the responses in
    the training set. Of ``measured`` and ``measured_mean``, the layers are one.
    """

    predicted: np.ndarray  # sums of squares of predictions
    measured: np.ndarray  # of responses
    products: np.ndarray  # of products of both
    predicted_mean: np.ndarray
    measured_mean: np.ndarray
    n_test: np.ndarray  # (n_splits,) stimuli
    alphas: np.ndarray | None = None  # (n_alphas,) the penalties as given
    chosen: np.ndarray | None = None  # (n_layers, n_splits, 1 or n_labels or n_units) int, which penalty
    # (n_layers, n_splits, n_alphas, n_labels, or n_units where each has a penalty of its own) mean squared error of
    # what was left out of the training set. Nothing of the test set is in it: choose layers by it.
    errors: np.ndarray | None = None
    labels: np.ndarray | None = None  # (n_labels,) names on that axis, sorted

    @property
    def r(self) -> np.ndarray:
        """Pearson r in each split as Brain-Score has it: ``sum(x y) / ((|x| + 1e-8) (|y| + 1e-8))``, centred.

        (n_layers, n_splits, n_units). 0 where a unit or its prediction is constant.
        """
        return _correlation(self.products, self.predicted, self.measured)

    def concatenated(self) -> tuple[np.ndarray, np.ndarray]:
        """Both r and R² of the test sets one after the other, (n_layers, n_units), for folds that share no stimuli.

        Predictions and responses count from the mean of their training set. It has the opposite sign of the test
        set's own mean: from any other origin features that know nothing would correlate negatively.
        """
        n, total = self.n_test[:, None], self.n_test.sum()
        x, y = self.predicted_mean, self.measured_mean

        def pooled(sums, a, b):
            return (sums + n * a * b).sum(axis=1), (n * a).sum(axis=1) * (n * b).sum(axis=1) / total

        (xx, xx_mean), (yy, yy_mean), (xy, xy_mean) = (
            pooled(self.predicted, x, x),
            pooled(self.measured, y, y),
            pooled(self.products, x, y),
        )
        r2 = 1 - (xx - 2 * xy + yy) / np.where(yy > 0, yy, np.nan)
        return _correlation(xy - xy_mean, xx - xx_mean, yy - yy_mean), r2

    def select_layers(self, layer: np.ndarray) -> "Scores":
        """Scores of the layer, (n_splits,) int, that was chosen for each split: layers are one."""
        selection = {
            name: getattr(self, name)[layer, np.arange(len(layer))][None]
            for name in ("predicted", "products", "predicted_mean")
        }
        return replace(self, **selection, alphas=None, chosen=None, errors=None, labels=None)


def pearson(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson r of each column, as `Scores.r`: (n_stimuli, n_units) twice to (n_units,), 0 where one is constant."""
    x, y = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    return _correlation(*(np.einsum("ij,ij->j", *pair) for pair in ((x, y), (x, x), (y, y))))


def _correlation(products, predicted, measured):
    x, y = (np.sqrt(np.maximum(squares, 0), dtype=float) + TINY for squares in (predicted, measured))
    return products / (x * y)
