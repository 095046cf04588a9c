"""Charts as SVG, drawn here: bars, lines and intervals that say in words what they show, beside the numbers themselves.

No text stands inside the drawing: it stretches to whatever room there is, and words must not. Colors come from the
style sheet, light and dark; what differs by color differs by its dashes or its place too.
"""

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH = 1000
_HEIGHT = 240
_BAR = 12
_TICK = 8
LINES_MOST = 5


def bar(share_bp: int, words: str, *, running_bp: int | None = None) -> Markup:
    """Return a bar of so many ten thousandths; ``running_bp`` is marked on it, as a Pareto chart does."""
    mark = ""
    if running_bp is not None:
        at = min(running_bp, 10_000) * _WIDTH // 10_000
        mark = Markup('<rect class="chart-mark" x="{}" width="{}" height="{}"></rect>').format(
            max(0, at - _TICK), _TICK, _BAR
        )
    width = min(max(share_bp, 0), 10_000) * _WIDTH // 10_000
    return Markup(
        '<svg class="chart-bar" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="chart-fill" width="{}" height="{}"></rect>{}</svg>'
    ).format(_WIDTH, _BAR, words, width, _BAR, mark)


def interval(low: int, value: int, high: int, bounds: tuple[int, int], words: str) -> Markup:
    """Return a guess as a tick within its interval, on a line from the one bound to the other; zero is marked."""
    least, most = bounds
    span = max(1, most - least)

    def place(number: int) -> int:
        return min(max(number - least, 0), span) * _WIDTH // span

    start, end, middle = place(low), place(high), place(value)
    zero = Markup('<rect class="chart-zero" x="{}" width="2" height="{}"></rect>').format(place(0), _BAR)
    return Markup(
        '<svg class="chart-bar" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}'
        '<rect class="chart-reach" x="{}" y="4" width="{}" height="4"></rect>'
        '<rect class="chart-mark" x="{}" width="{}" height="{}"></rect></svg>'
    ).format(
        _WIDTH, _BAR, words, zero if least < 0 < most else "", start, max(end - start, 2), max(0, middle - _TICK // 2),
        _TICK, _BAR,
    )  # fmt: skip


def lines(series: Sequence[Sequence[int]], *, title: str, description: str) -> Markup:
    """Return up to five lines over the same weeks, each with dashes of its own."""
    most = max((max(each, default=0) for each in series), default=0) or 1
    drawn = Markup("").join(
        Markup('<polyline class="chart-line chart-line-{}" points="{}"></polyline>').format(number, _points(each, most))
        for number, each in enumerate(series[:LINES_MOST])
    )
    grid = Markup("").join(
        Markup('<line class="chart-grid" x1="0" x2="{}" y1="{}" y2="{}"></line>').format(_WIDTH, y, y)
        for y in (1, _HEIGHT // 2, _HEIGHT - 1)
    )
    return Markup(
        '<svg class="chart-lines" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img">'
        "<title>{}</title><desc>{}</desc>{}{}</svg>"
    ).format(_WIDTH, _HEIGHT, title, description, grid, drawn)


def spark(counts: Sequence[int], words: str) -> Markup:
    """Return a small line for a row of a table."""
    most = max(counts, default=0) or 1
    return Markup(
        '<svg class="chart-spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polyline class="chart-line chart-line-0" points="{}"></polyline></svg>'
    ).format(_WIDTH, _HEIGHT, words, _points(counts, most))


def key(number: int) -> Markup:
    """Return what a line looks like, for the legend."""
    return Markup(
        '<svg class="chart-key" viewBox="0 0 40 8" aria-hidden="true" focusable="false">'
        '<line class="chart-line chart-line-{}" x1="0" x2="40" y1="4" y2="4"></line></svg>'
    ).format(number)


def _points(counts: Sequence[int], most: int) -> str:
    steps = max(1, len(counts) - 1)
    room = _HEIGHT - 8
    return " ".join(f"{at * _WIDTH // steps},{_HEIGHT - 4 - count * room // most}" for at, count in enumerate(counts))
