"""QR codes as SVG, made on this machine: no other party ever sees a customer's link."""

from collections.abc import Iterable

from markupsafe import Markup, escape

_QUIET_ZONE_MODULES = 4  # ISO/IEC 18004 asks for four; scanners miss codes that have less


def qr_svg(text: str, title: str) -> Markup:
    """Return a QR code of the text as an SVG element: error correction M or better, quiet zone kept, with a title.

    It is black on white whatever the page's colors are, since many scanners do not read the inverse. It has
    no size of its own; the style sheet gives it one.
    """
    import segno

    matrix = [list(row) for row in segno.make_qr(text, error="m").matrix_iter(border=_QUIET_ZONE_MODULES)]
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="qr" viewBox="0 0 {size} {size}" role="img"'
        ' aria-labelledby="qr-title" shape-rendering="crispEdges"><title id="qr-title">{title}</title>'
        '<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path fill="#000" d="{path}"/></svg>'
    ).format(size=len(matrix), title=escape(title), path=_path(matrix))


def _path(matrix: Iterable[list[int]]) -> str:
    """Return one rectangle for each run of dark modules in a row: fewer bytes than one for each module."""
    runs = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end]:
                end += 1
            if end > x:
                runs.append(f"M{x} {y}h{end - x}v1H{x}z")
            x = end + 1
    return "".join(runs)
