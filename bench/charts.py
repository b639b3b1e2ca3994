"""Charts as SVG: bars, and lines over time. They read on white and on black."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "charts"
WIDTH, LABELS, ROW = 720, 260, 22
COLOURS = ["#1b7f95", "#d1741f", "#7a5ea8", "#5a8f3c", "#b8434e"]
STYLE = "font: 13px system-ui, sans-serif; fill: #808890"


def bars(name: str, title: str, rows: Sequence[tuple[str, float]], unit: str) -> str:
    """One bar a row. Returns the line of Markdown that shows it."""
    most = max((value for _, value in rows), default=0) or 1
    parts = [_text(0, 16, title)]
    for number, (label, value) in enumerate(rows):
        y = 28 + number * ROW
        width = (WIDTH - LABELS - 110) * value / most
        colour = COLOURS[0] if "this site" in label or "cs_web" in label else COLOURS[1]
        parts += [
            _text(LABELS - 8, y + 14, label, "end"),
            f'<rect x="{LABELS}" y="{y + 2}" width="{max(width, 1):.1f}" height="{ROW - 6}" '
            f'fill="{colour}"/>',
            _text(LABELS + width + 6, y + 14, f"{_figure(value)} {unit}".strip()),
        ]
    return _write(name, title, 36 + ROW * len(rows), parts)


def lines(
    name: str, title: str, series: dict[str, Sequence[tuple[float, float]]], x: str, y: str
) -> str:
    """Each series a line; both axes begin at 0."""
    points = [point for each in series.values() for point in each]
    right, top = (max((p[axis] for p in points), default=0) or 1 for axis in (0, 1))
    height, left, wide = 220, 60, WIDTH - 80
    parts = [_text(0, 16, title), _text(left, height + 62, x), _text(0, 40, y)]
    parts.append(f'<path d="M{left} 48V{height + 28}H{left + wide}" fill="none" stroke="#808890"/>')
    for part in range(5):
        at_x, at_y = left + wide * part / 4, height + 28 - (height - 20) * part / 4
        parts += [
            _text(at_x, height + 44, _figure(right * part / 4), "middle"),
            _text(left - 6, at_y + 4, _figure(top * part / 4), "end"),
        ]
    for number, (label, each) in enumerate(series.items()):
        path = " ".join(
            f"{left + wide * px / right:.1f},{height + 28 - (height - 20) * py / top:.1f}"
            for px, py in each
        )
        colour, below = COLOURS[number % len(COLOURS)], height + 82 + number * 18
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<rect x="{left}" y="{below - 6}" width="12" height="4" fill="{colour}"/>',
            _text(left + 18, below, label),
        ]
    return _write(name, title, height + 72 + 18 * len(series), parts)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} style="{STYLE}">{escape(text)}</text>'


def _write(name: str, title: str, height: float, parts: list[str]) -> str:
    FOLDER.mkdir(exist_ok=True)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img">'
    )
    body = "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])
    (FOLDER / f"{name}.svg").write_text(body)
    return f"![{title}](charts/{name}.svg)"
