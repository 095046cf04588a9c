"""Files of a case: what they are, found out from their content, and made harmless before they are kept."""

import io

from incentives.kernel.errors import FileTooLarge, FileTypeRefused

MOST_BYTES = 5_000_000
MOST_FILES = 20

_PHOTOS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MEDIA_TYPES = (*_PHOTOS, "application/pdf", "text/plain")
_MOST_PIXELS = 50_000_000
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
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415 - only where a photo is given

    kind = _PHOTOS[media_type]
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            # Before a pixel is decoded: a small file can be a photo as large as the memory.
            if image.width * image.height > _MOST_PIXELS:
                raise FileTooLarge("This photo has too many pixels.", field="file", most_pixels=_MOST_PIXELS)
            turned = ImageOps.exif_transpose(image)
            plain = turned.convert("RGBA" if "A" in turned.getbands() and kind != "JPEG" else "RGB")
            bare = Image.new(plain.mode, plain.size)
            bare.paste(plain)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise FileTypeRefused("This is no photo that could be opened.", field="file", found=None) from None
    drawn = io.BytesIO()
    bare.save(drawn, format=kind, **({} if kind == "PNG" else {"quality": 88}))
    return drawn.getvalue()
