"""What layers look like, drawn."""

import numpy as np
import pandas as pd

from brainalign.paper.figures import model_page


def test_figures_show_all_of_their_tables():
    norms = pd.DataFrame({"stack": ["encoder", "encoder", "decoder"], "depth": [0, 1, 0], "norm": [1.0, 2.0, 3.0]})
    norms = norms.assign(low=norms.norm - 0.5, high=norms.norm + 0.5)
    figure = model_page.norms(pd.concat([norms.assign(text="one"), norms.assign(text="two")]))
    assert [ax.get_title() for ax in figure.axes] == ["Encoder", "Decoder"]
    assert [len(ax.lines) for ax in figure.axes] == [2, 2]
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 2]
    names = ["encoder.0", "encoder.1", "decoder.0"]
    cells = model_page.similarity(pd.DataFrame(np.eye(3), index=names, columns=names)).axes[0].collections[0]
    np.testing.assert_array_equal(cells.get_array(), np.eye(3))
    words = pd.DataFrame({"text": ["The", "bird", "flew."], "sentence": [1, 1, 1], "surprisal": [3.0, 9.0, 5.0]})
    bars = model_page.surprisal_profile(words).axes[0].patches
    assert [bar.get_height() for bar in bars] == [3, 9, 5]
    assert bars[0].get_facecolor() != bars[1].get_facecolor() == bars[2].get_facecolor()
