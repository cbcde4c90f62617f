# SPDX-License-Identifier: MIT
"""A chart of lines over threads, in SVG, without a library. Both axes are
logarithmic; a point is a median, its whisker reaches from the lowest to the
highest round."""
import math
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 480, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 44
LEGEND_ROW = 20


class Line(NamedTuple):
    name: str
    color: str
    dashed: bool
    points: dict[int, tuple[float, float, float]]  # x: low, median, high


class Panel(NamedTuple):
    title: str
    unit: str
    lines: list[Line]


def tick_text(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 … between and beside the two."""
    found = []
    for power in range(math.floor(math.log10(low)),
                       math.ceil(math.log10(high)) + 1):
        found += [step * 10.0 ** power for step in (1, 2, 5)]
    below = max(t for t in found if t <= low)
    above = min(t for t in found if t >= high)
    return [t for t in found if below <= t <= above]


def text(x: float, y: float, words: str, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{escape(words)}</text>'


class Frame:
    """Where values lie on the sheet."""

    def __init__(self, panel: Panel, left: float):
        points = [p for line in panel.lines for p in line.points.values()]
        self.left = left + LEFT
        self.width, self.height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        self.xs = sorted({x for line in panel.lines for x in line.points})
        self.ticks = ticks(min(p[0] for p in points),
                           max(p[2] for p in points))

    def x(self, value: float) -> float:
        low, high = math.log2(self.xs[0]), math.log2(self.xs[-1])
        share = (math.log2(value) - low) / (high - low or 1)
        return self.left + 10 + share * (self.width - 20)

    def y(self, value: float) -> float:
        low, high = math.log10(self.ticks[0]), math.log10(self.ticks[-1])
        share = (math.log10(value) - low) / (high - low or 1)
        return TOP + (1 - share) * self.height


def grid(panel: Panel, frame: Frame) -> list[str]:
    out = [text(frame.left, 20, f"{panel.title}", 'font-weight="bold"')]
    for tick in frame.ticks:
        y = frame.y(tick)
        out.append(f'<line x1="{frame.left}" y1="{y:.1f}" '
                   f'x2="{frame.left + frame.width}" y2="{y:.1f}" '
                   'stroke="#ddd"/>')
        out.append(text(frame.left - 6, y + 4, tick_text(tick),
                        'text-anchor="end" fill="#555"'))
    for value in frame.xs:
        out.append(text(frame.x(value), TOP + frame.height + 18, str(value),
                        'text-anchor="middle" fill="#555"'))
    out.append(text(frame.left + frame.width / 2, TOP + frame.height + 36,
                    "threads", 'text-anchor="middle" fill="#555"'))
    out.append(text(frame.left - 6, 20, panel.unit,
                    'text-anchor="end" fill="#555"'))
    return out


def stroke(line: Line) -> str:
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    return f'stroke="{line.color}" stroke-width="2"{dash}'


def curve(line: Line, frame: Frame) -> list[str]:
    out = []
    at = [(frame.x(x), *(frame.y(v) for v in line.points[x]))
          for x in sorted(line.points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, _, y, _ in at)
    out.append(f'<polyline points="{path}" fill="none" {stroke(line)}/>')
    for x, low, y, high in at:
        out.append(f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" '
                   f'y2="{high:.1f}" stroke="{line.color}" opacity="0.5"/>')
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" '
                   f'fill="{line.color}"/>')
    return out


def legend(lines: list[Line], columns: int) -> list[str]:
    out = []
    width = columns * WIDTH / 3
    for i, line in enumerate(lines):
        x = LEFT + i % 3 * width
        y = HEIGHT + 8 + i // 3 * LEGEND_ROW
        out.append(f'<line x1="{x:.0f}" y1="{y}" x2="{x + 28:.0f}" y2="{y}" '
                   f'{stroke(line)}/>')
        out.append(text(x + 36, y + 4, line.name))
    return out


def draw(title: str, panels: list[Panel]) -> str:
    lines = panels[0].lines
    width = WIDTH * len(panels)
    height = HEIGHT + 10 + (len(lines) + 2) // 3 * LEGEND_ROW
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
           f'height="{height}" viewBox="0 0 {width} {height}" role="img" '
           'font-family="sans-serif" font-size="12">',
           f"<title>{escape(title)}</title>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for i, panel in enumerate(panels):
        frame = Frame(panel, i * WIDTH)
        out += grid(panel, frame)
        for line in panel.lines:
            out += curve(line, frame)
    out += legend(lines, len(panels))
    return "\n".join(out) + "\n</svg>\n"
