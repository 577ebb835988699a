"""Draw plots as SVG: lines on linear or logarithmic axes, and bars."""

from html import escape
from math import ceil, floor, log10

from .findings import abbreviate

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 40, 50
PLAIN = ", plain"  # suffix of a line's name: it is dashed, in the colour of the line without the suffix
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777", "#000000")


def drawn(plot):
    """Return the plot as SVG with a white background."""
    body = _bars(plot) if plot.kind == "bars" else _lines(plot)
    title = f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(plot.title)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n{title}\n' + "\n".join(body) + "\n</svg>\n"
    )


def _lines(plot):
    points = [point for line in plot.lines.values() for point in line]
    across = _Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, plot.kind == "log")
    up = _Axis([y for _, y in points] + ([] if plot.kind == "log" else [0]), HEIGHT - BOTTOM, TOP, plot.kind == "log")
    for mark in across.marks:
        yield _line(across(mark), TOP, across(mark), HEIGHT - BOTTOM)
        yield _text(across(mark), HEIGHT - BOTTOM + 18, abbreviate(mark), "middle")
    for mark in up.marks:
        yield _line(LEFT, up(mark), WIDTH - RIGHT, up(mark))
        yield _text(LEFT - 6, up(mark) + 4, _label(mark, plot.y), "end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, plot.x, "middle")
    yield _text(LEFT, TOP - 4, "" if plot.y == "seconds" else plot.y, "start")
    colors = {}
    for name, line in plot.lines.items():
        what = name.removesuffix(PLAIN)
        color = colors.setdefault(what, COLORS[len(colors) % len(COLORS)])
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line)
        dashes = "" if name == what else ' stroke-dasharray="5 4"'
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{dashes}/>'
        for x, y in line if len(line) < 20 else ():
            yield f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{color}"/>'
    for number, (what, color) in enumerate(colors.items()):
        top = TOP + 14 + 18 * number
        yield _box(WIDTH - RIGHT + 16, top - 9, 12, 10, color)
        yield _text(WIDTH - RIGHT + 34, top, what, "start")


def _bars(plot):
    values = {name: line[0][1] for name, line in plot.lines.items()}
    left, room = 250, (HEIGHT - TOP - 20) / max(len(values), 1)
    scale = (WIDTH - left - 90) / (max(values.values(), default=0) or 1)
    for number, (name, value) in enumerate(values.items()):
        top, width = TOP + number * room, max(value * scale, 1)
        color = COLORS[0] if name.startswith("ours") else COLORS[6]
        yield _text(left - 8, top + room / 2 + 4, name, "end")
        yield _box(left, top + room * 0.15, width, room * 0.7, color)
        yield _text(left + width + 6, top + room / 2 + 4, f"{value:,.0f}" if value >= 100 else f"{value:.1f}", "start")


class _Axis:
    """A function from values to coordinates between two edges. `marks` are the values of the ticks."""

    def __init__(self, values, begin, end, logarithmic):
        self.begin, self.end, self.logarithmic = begin, end, logarithmic
        if logarithmic:
            lowest = floor(log10(min(values)))
            highest = max(ceil(log10(max(values))), lowest + 1)
            self.marks = [10.0**exponent for exponent in range(lowest, highest + 1)]
        else:
            step = 10 ** floor(log10(max(max(values) - min(values), 1e-9)))
            step *= next(n for n in (0.2, 0.5, 1, 2) if (max(values) - min(values)) / (step * n) <= 7)
            self.marks = [step * n for n in range(floor(min(values) / step), ceil(max(values) / step) + 1)]
        self.low, self.high = self.place(self.marks[0]), self.place(self.marks[-1])

    def place(self, value):
        return log10(value) if self.logarithmic else value

    def __call__(self, value):
        return self.begin + (self.end - self.begin) * (self.place(value) - self.low) / ((self.high - self.low) or 1)


def _line(x, y, to_x, to_y):
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="#ddd"/>'


def _box(x, y, width, height, color):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"/>'


def _text(x, y, text, anchor):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _label(mark, unit):
    if unit != "seconds":
        return abbreviate(mark)
    return next(
        f"{mark / size:g} {name}" for size, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (0, "")) if mark >= size
    )
