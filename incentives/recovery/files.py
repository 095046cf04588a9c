"""Files of a case: what they are, found out from their content, and made harmless before they are kept."""

import io
import struct
import zlib
from typing import TYPE_CHECKING

from incentives.kernel.errors import FileTooLarge, FileTypeRefused

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 5_000_000
MOST_FILES = 20

_PHOTOS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
# How the name of a file may end, the usual way first: by the ending a machine decides what opens it.
_ENDINGS = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "application/pdf": (".pdf",),
    "text/plain": (".txt", ".log", ".md"),
}
MEDIA_TYPES = tuple(_ENDINGS)
_NAME_LENGTH = 120
# More than any telephone takes by itself; in memory a pixel is four bytes, and there are two copies at once.
_MOST_PIXELS = 25_000_000
_ORIENTATION = 0x0112
# What a library raises for a photo that is damaged, or was made so to do damage.
_DAMAGED = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)
_TEXT_CONTROLS = frozenset(range(0x20)) - {0x09, 0x0A, 0x0D}


def sniffed(content: bytes) -> str | None:
    """Return the media type of a file by its content, or None for one that is not kept."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content.startswith(b"%PDF-"):
        return "application/pdf"
    return "text/plain" if _is_text(content) else None


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return bool(content) and _TEXT_CONTROLS.isdisjoint(content)


def named(name: str, media_type: str) -> str:
    """Return the name under which a file is kept: no path, nothing that would break a header, and an honest ending.

    A page of HTML is a text too; called ``.html``, whoever downloads it would open it in their browser.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(each for each in last if each.isprintable()).strip(" .") or "file"
    endings = _ENDINGS[media_type]
    return (plain if plain.lower().endswith(endings) else f"{plain}{endings[0]}")[-_NAME_LENGTH:]


def cleaned(content: bytes, media_type: str) -> bytes:
    """Return what is kept of a file: a photo is drawn anew, so that neither place nor camera stays in it.

    Raises ``FileTooLarge``, and ``FileTypeRefused`` for one that is not what it says it is.
    """
    if len(content) > MOST_BYTES:
        raise FileTooLarge(field="file", most_bytes=MOST_BYTES)
    found = sniffed(content)
    declared = media_type.partition(";")[0].strip().lower()
    if found is None or found != declared:
        raise FileTypeRefused(field="file", declared=declared, found=found)
    return _redrawn(content, found) if found in _PHOTOS else content


def _redrawn(content: bytes, media_type: str) -> bytes:
    from PIL import Image  # noqa: PLC0415 - only where a photo is given

    kind = _PHOTOS[media_type]
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            # Before a pixel is decoded: a small file can be a photo as large as the memory.
            if image.width * image.height > _MOST_PIXELS:
                raise FileTooLarge("This photo has too many pixels.", field="file", most_pixels=_MOST_PIXELS)
            plain = _upright(image.convert(_mode(image, kind)), image)
        # What a camera wrote, comments and color profiles among it, would be saved with the pixels.
        plain.info.clear()
        drawn = io.BytesIO()
        plain.save(drawn, format=kind, **({} if kind == "PNG" else {"quality": 88}))
    except (*_DAMAGED, Image.DecompressionBombError):
        raise FileTypeRefused("This is no photo that could be opened.", field="file", found=None) from None
    if drawn.tell() > MOST_BYTES:
        raise FileTooLarge(field="file", most_bytes=MOST_BYTES)
    return drawn.getvalue()


def _upright(plain: "Image", image: "Image") -> "Image":
    """Return the pixels as the camera was held; what else it wrote is not even read, for it may be damaged."""
    from PIL.Image import Transpose  # noqa: PLC0415 - as above

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGED:
        return plain
    return plain if turn is None else plain.transpose(turn)


def _mode(image: "Image", kind: str) -> str:
    """Return how the pixels of a photo are kept: black and white would be many times as large in color."""
    if kind == "PNG" and image.mode in ("1", "L"):
        return image.mode
    return "RGBA" if image.has_transparency_data and kind != "JPEG" else "RGB"
