"""A small SVG of horizontal bars on logarithmic axes, readable on a light and a dark page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_LABEL, _BAR, _ROW, _GAP, _TOP = 190, 170, 24, 70, 50
_COLOURS = {"hand": "#b0713c", "archiver": "#2f7fb8"}
_TEXT = "#808080"


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity; `values` and `texts` in the order of the plot's rows."""

    title: str
    values: Sequence[float]
    texts: Sequence[str]


def draw(rows: Sequence[tuple[str, str]], panels: Sequence[Panel]) -> str:
    """`rows`: label, and `hand` or `archiver`. Bars begin a little below the smallest value."""
    width = _LABEL + len(panels) * (_BAR + _GAP)
    height = _TOP + len(rows) * _ROW + 30
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="12" fill="{_TEXT}">'
        )
    ]
    for number, (label, kind) in enumerate(rows):
        y = _TOP + number * _ROW
        out.append(_text(_LABEL - 8, y + 13, label, "end", _COLOURS[kind]))
    for number, panel in enumerate(panels):
        out += _panel(_LABEL + number * (_BAR + _GAP), rows, panel)
    out.append(_text(_LABEL, height - 8, "by hand", "start", _COLOURS["hand"]))
    out.append(
        _text(_LABEL + 60, height - 8, "together-operator archive", "start", _COLOURS["archiver"])
    )
    out.append(_text(width - 8, height - 8, "logarithmic", "end", _TEXT))
    return "\n".join([*out, "</svg>"]) + "\n"


def _panel(left: int, rows: Sequence[tuple[str, str]], panel: Panel) -> list[str]:
    shown = [value for value in panel.values if value > 0]
    low, high = math.log10(min(shown)) - 0.3, math.log10(max(shown))
    out = [f'<text x="{left}" y="{_TOP - 20}" font-weight="bold">{escape(panel.title)}</text>']
    for number, ((_, kind), value, text) in enumerate(
        zip(rows, panel.values, panel.texts, strict=True)
    ):
        y = _TOP + number * _ROW
        share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        length = max(1.0, share * _BAR)
        out.append(
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{_ROW - 6}" rx="2" '
            f'fill="{_COLOURS[kind]}"/>'
        )
        out.append(_text(left + length + 5, y + 13, text, "start", _TEXT))
    return out


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'
