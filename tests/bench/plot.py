"""Writes plots as one SVG, two panels a row. Nothing here knows what was measured."""
import html
import math
import statistics

WIDTH, HEIGHT, COLUMNS = 520, 300, 2
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 44, 62
COLOURS = ["#2563a8", "#d9822b", "#4f9d69", "#a23b72", "#7a7a7a", "#b8a11a"]
STYLE = ("text{font:12px system-ui,Helvetica,Arial,sans-serif;fill:#333}.title{font-weight:600;font-size:14px}"
         ".soft{fill:#777}.grid{stroke:#e4e4e4}.mark{stroke:#333;stroke-width:1.5}")


def text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{html.escape(str(words))}</text>'


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def ticks(top):
    """Round steps from 0 to above top."""
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if factor * step * 5 >= top)
    return [step * n for n in range(math.ceil(top / step) + 1)]


def axis(steps, unit):
    """The left axis with its grid, and the function from a value to its place."""
    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / steps[-1]
    drawn = [line(LEFT, y(step), WIDTH - RIGHT, y(step), "grid") + text(LEFT - 8, y(step) + 4, f"{step:,g}", "soft", "end")
             for step in steps]
    return drawn + [text(LEFT, TOP - 10, unit, "soft")], y


def bars(plot):
    out, y = axis(ticks(max(map(max, plot.series.values()))), plot.unit)
    slot = (WIDTH - LEFT - RIGHT) / len(plot.series)
    for n, (name, values) in enumerate(plot.series.items()):
        x, value = LEFT + slot * (n + 0.5), statistics.median(values)
        out += [f'<rect x="{x - slot / 3:.1f}" y="{y(value):.1f}" width="{slot / 1.5:.1f}" '
                f'height="{y(0) - y(value):.1f}" fill="{COLOURS[n % len(COLOURS)]}"/>',
                line(x, y(min(values)), x, y(max(values)), "mark"),
                text(x, y(max(values)) - 5, f"{value:,.0f}" if value >= 100 else f"{value:.1f}", "", "middle")]
        first, _, rest = name.partition(", ")
        out += [text(x, y(0) + 18, first, "", "middle"), text(x, y(0) + 33, rest, "soft", "middle")]
    return out


def lines(plot):
    points = [point for series in plot.series.values() for point in series]
    out, y = axis(ticks(max(value for _, value in points)), plot.unit)
    low, high = min(at for at, _ in points), max(at for at, _ in points)

    def x(at):
        return LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * (at - low) / ((high - low) or 1)
    places = sorted({at for at, _ in points})
    for at in places if len(places) <= 10 else [step for step in ticks(high) if low <= step <= high]:
        out.append(text(x(at), y(0) + 17, f"{at:g}", "soft", "middle"))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, y(0) + 33, plot.x, "soft", "middle"))
    key = LEFT
    for n, (name, series) in enumerate(plot.series.items()):
        colour = COLOURS[n % len(COLOURS)]
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in series)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        out += [f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>' for at, value in series
                if len(series) <= 20]
        out.append(f'<rect x="{key:.1f}" y="{HEIGHT - 18}" width="10" height="10" fill="{colour}"/>'
                   + text(key + 15, HEIGHT - 9, name))
        key += 32 + 6.6 * len(name)
    return out


def svg(plots):
    height = HEIGHT * math.ceil(len(plots) / COLUMNS)
    width = WIDTH * min(COLUMNS, len(plots))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
           f'<style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>']
    for n, plot in enumerate(plots):
        out.append(f'<g transform="translate({n % COLUMNS * WIDTH},{n // COLUMNS * HEIGHT})">'
                   + text(LEFT, 20, plot.title, "title"))
        out += [*(bars if plot.kind == "bars" else lines)(plot), "</g>"]
    return "\n".join([*out, "</svg>", ""])
