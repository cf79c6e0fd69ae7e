"""What is kept of held-out predictions: enough for r and R² in each split, and of all splits together."""

from dataclasses import dataclass, replace

import numpy as np

TINY = 1e-8  # Brain-Score adds it to both norms of a correlation


@dataclass(frozen=True, eq=False)
class Scores:
    """Held-out predictions, as far as scores go. Axes: layer, split, unit; NaN for units that are NaN throughout.

    Attributes
    ----------
    predicted, measured, products : ndarray
        (n_layers, n_splits, n_units) sums over test stimuli of squares of predictions, of squares of responses, and
        of their products, all centred in the test set; of ``measured``, the layers are one.
    predicted_mean, measured_mean : ndarray
        Their means in the test set, less the mean of the responses in the training set. Shapes as above.
    n_test : ndarray
        (n_splits,) stimuli.
    alphas : ndarray, optional
        (n_alphas,) the penalties as given.
    chosen : ndarray, optional
        (n_layers, n_splits, 1 or n_labels or n_units) int, which penalty.
    errors : ndarray, optional
        (n_layers, n_splits, n_alphas, n_labels, or n_units where each has a penalty of its own) mean squared error of
        what was left out of the training set. Nothing of the test set is in it: choose layers by it.
    labels : ndarray, optional
        (n_labels,) names on that axis, sorted.
    """

    predicted: np.ndarray
    measured: np.ndarray
    products: np.ndarray
    predicted_mean: np.ndarray
    measured_mean: np.ndarray
    n_test: np.ndarray
    alphas: np.ndarray | None = None
    chosen: np.ndarray | None = None
    errors: np.ndarray | None = None
    labels: np.ndarray | None = None

    @property
    def r(self) -> np.ndarray:
        """Pearson r in each split as Brain-Score has it: ``sum(x y) / ((|x| + 1e-8) (|y| + 1e-8))``, centred.

        (n_layers, n_splits, n_units). 0 where a unit or its prediction is constant.
        """
        return _correlation(self.products, self.predicted, self.measured)

    @property
    def r2(self) -> np.ndarray:
        """R² in each split, ``1 - sum (y - ŷ)² / sum (y - mean y)²``, the mean that of the test set.

        (n_layers, n_splits, n_units). NaN where a unit is constant.
        """
        offset = self.n_test[:, None] * (self.predicted_mean - self.measured_mean) ** 2
        return _explained(self.predicted - 2 * self.products + self.measured + offset, self.measured)

    def concatenated(self) -> tuple[np.ndarray, np.ndarray]:
        """Both r and R² of the test sets one after the other, for folds that share no stimuli.

        Predictions and responses count from the mean of their training set. It has the opposite sign of the test
        set's own mean: from any other origin features that know nothing would correlate negatively.

        Returns
        -------
        r, r2 : ndarray
            (n_layers, n_units).
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
        return _correlation(xy - xy_mean, xx - xx_mean, yy - yy_mean), _explained(xx - 2 * xy + yy, yy)

    def select_layers(self, layer: np.ndarray) -> "Scores":
        """Scores of one layer chosen for each split, or each split and unit: its layers are one.

        Parameters
        ----------
        layer : ndarray of int
            (n_splits,) or (n_splits, n_units).
        """
        layer = np.broadcast_to(np.reshape(layer, (1, len(self.n_test), -1)), (1, *self.products.shape[1:]))
        selection = {
            name: np.take_along_axis(getattr(self, name), layer, axis=0)
            for name in ("predicted", "products", "predicted_mean")
        }
        return replace(self, **selection, alphas=None, chosen=None, errors=None, labels=None)


def pearson(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson r of each column, as `Scores.r`.

    Parameters
    ----------
    predicted, measured : ndarray
        (n_stimuli, n_units) any unit.

    Returns
    -------
    ndarray
        (n_units,) 0 where a column is constant.
    """
    x, y = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    return _correlation(*(np.einsum("ij,ij->j", *pair) for pair in ((x, y), (x, x), (y, y))))


def _correlation(products, predicted, measured):
    x, y = (np.sqrt(np.maximum(squares, 0), dtype=float) + TINY for squares in (predicted, measured))
    return products / (x * y)


def _explained(squared_error, total):
    return 1 - squared_error / np.where(total > 0, total, np.nan)
