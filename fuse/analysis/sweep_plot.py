"""A sweep as a picture: PQ over each axis, a line per rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuse.analysis.sweep import NUMBER_KEYS, Setting, SweepResult
from fuse.errors import ConfigError
from fuse.io.files import StrPath, open_whole, to_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (4.2, 2.5)  # inches
LEGEND_WIDTH = 2.2  # inches
DPI = 150
SUFFIXES = (".png", ".svg", ".pdf")
WIDE = 20  # values that span more than this factor are spread out
# Okabe and Ito 2008: told apart by the colour-blind, too. Dashes follow when they run out.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":")
WIDEST = 4  # points, of the first line
SCORES = ("all", "things", "stuff")
Line = tuple[Any, ...]  # values of the keys that are names


def check_plot_path(path: StrPath) -> None:
    """Raise ConfigError for an ending that no picture has, before the work is done."""
    if to_path(path).suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--plot {path}: the file must end in {', '.join(SUFFIXES)}")


def plot_sweep(result: SweepResult, path: StrPath) -> None:
    """Draw PQ of all, things and stuff over each axis of numbers, a line per rule.

    Where several axes were varied, each point is the best of its line over the other axes,
    by PQ of all; things and stuff are those of the same setting. Without numbers the rules
    themselves are the axis.

    Args:
        result: of the sweep.
        path: the picture, .png, .svg or .pdf; it appears whole or not at all.

    Raises:
        ConfigError: the path has another ending.
        OSError: the folder is missing or not writable.
    """
    check_plot_path(path)
    # Takes a second, and nothing else needs it.
    from matplotlib.figure import Figure

    numbers = [key for key in result.keys if key in NUMBER_KEYS]
    names = [key for key in result.keys if key not in NUMBER_KEYS]
    columns = numbers or names[:1]
    width = PANEL[0] * len(columns) + LEGEND_WIDTH
    figure = Figure(figsize=(width, PANEL[1] * len(SCORES)), layout="constrained")
    panels = figure.subplots(len(SCORES), len(columns), sharex="col", sharey="row", squeeze=False)
    lines = list(dict.fromkeys(_line_of(setting, names) for setting in result.settings))
    for key, column in zip(columns, panels.T.tolist(), strict=True):
        lines_here = lines if key in numbers else [()]
        for number, line in enumerate(lines_here):
            settings = [s for s in result.settings if not line or _line_of(s, names) == line]
            _draw_line(column, _best_by(key, settings), key, number, _name_of(line))
        _label_column(column, key, result)
    for row, score in enumerate(SCORES):
        panels[row, 0].set_ylabel("PQ" if score == "all" else f"PQ {score}")
    if len(lines) > 1 and numbers:
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False)
    _save(figure, to_path(path))


def _save(figure: Figure, path: Path) -> None:
    """Write a figure so that the same one gives the same bytes."""
    from matplotlib import rc_context

    kind = path.suffix[1:].lower()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}[kind]
    # Text stays text, and the ids of shapes are no random numbers.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "fuse"}), open_whole(path) as file:
        figure.savefig(file, format=kind, dpi=DPI, metadata=undated)


def _line_of(setting: Setting, names: Sequence[str]) -> Line:
    """What tells a setting's line from others; of a path the name is enough."""
    values = [setting.point.get(name) for name in names]
    return tuple(
        Path(v).name if name == "pairs" and v else v for name, v in zip(names, values, strict=True)
    )


def _name_of(line: Line) -> str:
    return " ".join(str(part) for part in line if part is not None)


def _best_by(key: str, settings: Sequence[Setting]) -> dict[Any, Setting]:
    """By value of a key, the setting of the highest PQ; those without the key are left out."""
    best: dict[Any, Setting] = {}
    for setting in settings:
        value = setting.point.get(key)
        if value is None or not setting.result.all.n:
            continue
        if value not in best or setting.result.all.pq > best[value].result.all.pq:
            best[value] = setting
    return best


def _draw_line(
    panels: Sequence[Axes], best: dict[Any, Setting], key: str, number: int, label: str
) -> None:
    """One line in each panel of a column."""
    values = sorted(best) if key in NUMBER_KEYS else list(best)
    style: dict[str, Any] = {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number // len(COLORS) % len(DASHES)] if key in NUMBER_KEYS else "",
        # Wider below, so that lines that coincide all show.
        "linewidth": max(WIDEST - number / 2, 1),
    }
    for panel, score in zip(panels, SCORES, strict=True):
        heights = [100 * getattr(best[value].result, score).pq for value in values]
        panel.plot(values, heights, marker="o", markersize=3, label=label, **style)


def _label_column(panels: Sequence[Axes], key: str, result: SweepResult) -> None:
    """Grid lines, the key's name, and a mark at the best setting."""
    values = [s.point[key] for s in result.settings if s.point.get(key) is not None]
    for panel in panels:
        panel.grid(color="0.9", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        if key in result.best.point:
            panel.axvline(result.best.point[key], color="0.6", linewidth=0.8, linestyle=":")
        if key in NUMBER_KEYS and 0 < min(values) * WIDE < max(values):
            panel.set_xscale("log")
    panels[-1].set_xlabel(key)
    if key not in NUMBER_KEYS:
        panels[-1].tick_params(axis="x", rotation=60)
