"""Panels as an SVG: lines over time, and single numbers. Readable on a light and a dark page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _COLUMNS = 380, 190, 44, 34, 44, 2
_COLOURS = ("#2f7fb8", "#b0713c", "#4f9d69", "#a1528f", "#8a8a2b", "#c05050", "#5b6fb5", "#777777")
_TEXT = "#808080"
_SHOWN = 4
"""Names of so many series are written below a panel."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A panel. `series`: a name, and points of (seconds of the epoch, value)."""

    title: str
    unit: str
    series: Sequence[tuple[str, Points]]
    single: bool = False


def draw(charts: Sequence[Chart]) -> str:
    """All charts in two columns."""
    rows = -(-len(charts) // _COLUMNS)
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_COLUMNS * _WIDTH} '
            f'{rows * _HEIGHT}" font-family="sans-serif" font-size="11" fill="{_TEXT}">'
        )
    ]
    for number, chart in enumerate(charts):
        x, y = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        out.append(f'<g transform="translate({x},{y})">')
        out.append(_text(_LEFT, 18, chart.title, size=13))
        out += _numbers(chart) if chart.single else _lines(chart)
        out.append("</g>")
    return "\n".join([*out, "</svg>", ""])


def _numbers(chart: Chart) -> Iterator[str]:
    for number, (name, points) in enumerate(chart.series):
        y = _TOP + 34 + number * 44
        yield _text(_LEFT, y, _short(points[-1][1], chart.unit), size=28, colour=_colour(number))
        yield _text(_LEFT + 130, y, name)


def _lines(chart: Chart) -> Iterator[str]:
    every = [point for _, points in chart.series for point in points]
    start, end = min(t for t, _ in every), max(t for t, _ in every)
    highest = max((v for _, v in every if v > 0), default=1.0)
    width, height = _WIDTH - _LEFT - 12, _HEIGHT - _TOP - _BOTTOM
    for share in (0.0, 0.5, 1.0):
        y = _TOP + height * (1 - share)
        yield (
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + width}" y2="{y:.1f}" '
            f'stroke="{_TEXT}" stroke-opacity="0.35"/>'
        )
        yield _text(_LEFT - 5, y + 4, _short(highest * share, chart.unit), anchor="end")
    for number, (name, points) in enumerate(chart.series):
        path = " ".join(
            f"{_LEFT + width * (t - start) / max(end - start, 1e-9):.1f},"
            f"{_TOP + height * (1 - v / highest):.1f}"
            for t, v in points
        )
        colour = _colour(number)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        if number < _SHOWN:
            x = _LEFT + number % 2 * (width // 2)
            y = _HEIGHT - _BOTTOM + 16 + number // 2 * 14
            yield _text(x, y, name[:28], colour=_colour(number))


def _short(value: float, unit: str) -> str:
    text = f"{value:.3g}"
    return {"currencyUSD": f"${text}", "s": f"{text} s", "ops": f"{text}/s"}.get(unit, text)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, colour: str = _TEXT
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )
