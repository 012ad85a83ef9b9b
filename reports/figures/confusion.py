"""The confusion matrix of a row, or of many classes the pairs that are confused most."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from reports.figures.options import FigureOptions
from reports.figures.style import style
from reports.per_class import PerClass, matrix

MOST = 40
"""Classes whose names are still readable beside a matrix as wide as a page."""
PAIRS = 25
"""Pairs that are drawn of more classes."""
_LINE = 0.19
"""Inches of a line with the name of a class."""


def confusion(found: PerClass, options: FigureOptions) -> Figure | None:
    """The confusion matrix of a row, or its most frequent pairs of more than `MOST` classes.

    Returns:
        None for multi-label data.
    """
    if found.precision_at is not None:
        return None
    with style(options):
        draw = _matrix if len(found.names) <= MOST else _pairs
        return draw(found, options)


def _matrix(found: PerClass, options: FigureOptions) -> Figure:
    """Shares of each class's images; a class without test images has an empty line."""
    counts = matrix(found)
    shares = 100.0 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = len(found.names)
    side = max(options.width, 1.8 + _LINE * size)
    figure = Figure(figsize=(side, 0.9 * side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Greys", vmin=0, vmax=100, interpolation="nearest")
    axes.set_xticks(range(size), found.names, rotation=90)
    axes.set_yticks(range(size), found.names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class")
    axes.grid(False)
    if size <= 15:
        for (true, other), share in np.ndenumerate(shares):
            if share >= 0.5:
                colour = "white" if share > 50 else "black"
                axes.text(other, true, f"{share:.0f}", ha="center", va="center", color=colour)
    figure.colorbar(image, label="% of the class's images", shrink=0.8)
    return figure


def _pairs(found: PerClass, options: FigureOptions) -> Figure:
    pairs = found.worst[:PAIRS]
    figure = Figure(figsize=(options.width, 0.8 + _LINE * len(pairs)), layout="constrained")
    axes = figure.subplots()
    shares = [100.0 * found.pairs[pair] / found.labelled[pair[0]] for pair in pairs]
    names = [f"{found.names[true]} → {found.names[other]}" for true, other in pairs]
    places = range(len(pairs))
    axes.barh(places, shares, color="0.4")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(f"% of the true class's images; the {len(pairs)} most frequent mistakes")
    return figure
