"""The interactive scatter: any property of the models against any score, as one page that needs no network."""

import json
from pathlib import Path

import pandas as pd

from brainalign import store
from brainalign.paper.figures.parts import ALIASES, GRAY, color


def save_explorer(path: Path, models: pd.DataFrame, axes: dict[str, str], x: str, y: str) -> None:
    """Write the interactive scatter as HTML to place in a page, with Vega and its scripts inside.

    `models` has a row per model: ``model``, ``family``, ``kind`` and the columns of `axes`, which can be chosen for
    either axis and have their labels; a missing value is not drawn. `x` and `y` are shown first.

    Raises
    ------
    LookupError
        A column is not in the table.
    """
    import vl_convert

    if missing := [name for name in (*axes, x, y, "model", "family", "kind") if name not in models]:
        raise LookupError(f"the scatter needs column {missing[0]!r}; the table has {', '.join(models)}")
    specification = json.dumps(_chart(models, axes, x, y).to_dict())
    options = json.dumps({"renderer": "svg", "actions": False})
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    with store.writing(path) as file:
        file.write_text(
            '<div class="explorer" role="figure" aria-label="Scatter with a property of the models to choose for each '
            'axis; the table below has the same numbers"></div>\n'
            # The bundle is an ES module, and a page opened from disk may not load modules from files: hence inside.
            f'<script type="module">{bundle}\n'
            f'vegaEmbed(document.querySelector(".explorer"), {specification}, {options});</script>\n',
            encoding="utf-8",
        )


def _chart(models: pd.DataFrame, axes: dict[str, str], x: str, y: str):
    import altair

    def choice(name: str, first: str):
        options = altair.binding_select(options=list(axes), labels=list(axes.values()), name=f"{name} ")
        return altair.param(name=name, value=first, bind=options)

    families = models.family.replace(ALIASES)
    shown = list(dict.fromkeys(families))
    palette = altair.Scale(domain=shown, range=[color(family) for family in shown])
    tint = altair.Color("family:N", scale=palette, legend=altair.Legend(title=None, orient="top"))
    scale = altair.Scale(zero=False, nice=True)
    points = (
        altair.Chart(models.assign(family=families)[["model", "family", "kind", *axes]])
        .transform_calculate(x_value="datum[x]", y_value="datum[y]")
        .transform_filter("isValid(datum.x_value) && isValid(datum.y_value)")
        .mark_point(size=70, strokeWidth=2)
        .encode(
            x=altair.X("x_value:Q", scale=scale, title=None),
            y=altair.Y("y_value:Q", scale=scale, title=None),
            color=tint,
            fill=altair.condition("datum.kind === 'vanilla'", altair.value("transparent"), tint),
            tooltip=["model", "kind", *(altair.Tooltip(f"{axis}_value:Q", format=".3~f") for axis in "xy")],
        )
    )
    return (
        points.add_params(choice("y", y), choice("x", x), altair.selection_interval(bind="scales"))
        .properties(width="container", height=380, background="transparent", autosize={"type": "fit-x"})
        .configure_axis(grid=False, domainColor=GRAY, tickColor=GRAY)
        .configure_view(stroke=None)
    )
