"""Files of a case: known by their content, made harmless, kept encrypted, given to whoever may see the case."""

import io
import sys
from typing import Any

import pytest

from incentives.flows.case_files import AddFile, FileAdded, RemoveFile, add_file, remove_file
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    CaseFileNotFound,
    CaseNotFound,
    FileTooLarge,
    FileTypeRefused,
    FileUnsafe,
    NotPermitted,
    ScannerUnavailable,
    TooManyFiles,
)
from incentives.queries.case_files import StoredFile, one_file
from incentives.recovery import files
from incentives.recovery.tables import case_files
from tests.flows.cases_shop import CASES, Desk, OpenShop
from tests.flows.shop import moved

TEXT = "They said: “Wait.”".encode()
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
PLACE = "51.4700 north"


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(CASES))


def photo(kind: str, size: tuple[int, int] = (40, 20), *, turned: int = 1) -> bytes:
    """Return a photo into which a camera wrote where it was taken, and how it was held."""
    from PIL import Image  # noqa: PLC0415 - as the code does

    image = Image.new("RGB", size, "red")
    exif = Image.Exif()
    exif[0x010E] = PLACE
    exif[0x0112] = turned
    drawn = io.BytesIO()
    image.save(drawn, format=kind, exif=exif.tobytes())
    return drawn.getvalue()


def add(desk: Desk, case_id: Any, by: Actor | None = None, **more: Any) -> FileAdded:
    """Add a text unless said otherwise."""
    command = AddFile(**{"case_id": case_id, "name": "note.txt", "media_type": "text/plain", "content": TEXT, **more})
    return add_file(core=desk.core, actor=by or desk.shop.agent, command=command)


def look(desk: Desk, case_id: Any, file_id: Any, by: Actor | None = None) -> StoredFile:
    """Download a file."""
    return one_file(core=desk.core, actor=by or desk.shop.agent, case_id=case_id, file_id=file_id)


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_a_photo_loses_what_the_camera_wrote_and_stands_upright(desk: Desk, kind: str, media_type: str) -> None:
    from PIL import Image  # noqa: PLC0415 - as the code does

    case_id, content = desk.open(), photo(kind, turned=6)
    assert PLACE.encode() in content
    added = add(desk, case_id, name="photo.bin", media_type=media_type, content=content)
    found = look(desk, case_id, added.id)
    assert (found.media_type, found.name) == (media_type, f"photo.bin.{kind.lower().replace('jpeg', 'jpg')}")
    assert PLACE.encode() not in found.content
    with Image.open(io.BytesIO(found.content)) as image:
        assert image.size == (20, 40)
        assert not image.getexif()


def test_files_are_encrypted_with_their_names(desk: Desk) -> None:
    case_id = desk.open()
    for content, media_type, ending in ((TEXT, "text/plain; charset=utf-8", ".txt"), (PDF, "application/pdf", ".pdf")):
        added = add(desk, case_id, name="C:/photos/Ana’s\nletter", media_type=media_type, content=content)
        assert look(desk, case_id, added.id) == StoredFile(
            name=f"Ana’sletter{ending}", media_type=media_type.partition(";")[0], content=content
        )
    for row in desk.shop.all(case_files):
        assert b"Wait" not in row.content
        assert "Ana" not in row.name
    assert [each.size_bytes for each in desk.screen(case_id).files] == [len(TEXT), len(PDF)]


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("image/png", photo),  # a JPEG that says it is a PNG
        ("image/jpeg", TEXT),
        ("text/plain", b"MZ\x00\x01"),
        ("text/plain", b""),
        ("text/html", b"<script>alert(1)</script>"),
        ("image/svg+xml", b"<svg/>"),
        ("application/x-msdownload", b"MZ\x90\x00"),
        ("image/jpeg", b"\xff\xd8\xff\xe0 no photo"),
        ("text/plain", "caf\u00e9".encode("latin-1")),
    ],
)
def test_what_is_not_kept_or_not_what_it_says_is_refused(desk: Desk, media_type: str, content: Any) -> None:
    case_id = desk.open()
    sent = content("JPEG") if callable(content) else content
    desk.shop.refused(FileTypeRefused, add, desk, case_id, media_type=media_type, content=sent)


def test_files_are_of_a_size_and_a_number(desk: Desk) -> None:
    case_id = desk.open()
    large = b"x" * (files.MOST_BYTES + 1)
    desk.shop.refused(FileTooLarge, add, desk, case_id, content=large)
    for number in range(files.MOST_FILES):
        add(desk, case_id, content=b"file %d" % number)
    desk.shop.refused(TooManyFiles, add, desk, case_id)


def test_a_small_file_that_is_a_huge_photo_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST_PIXELS", 799)
    case_id = desk.open()
    desk.shop.refused(FileTooLarge, add, desk, case_id, media_type="image/png", content=photo("PNG"))


def test_the_same_file_is_kept_once(desk: Desk) -> None:
    case_id = desk.open()
    first, again = add(desk, case_id), add(desk, case_id, name="other.txt")
    assert (again.id, again.repeated, first.repeated) == (first.id, True, False)


def test_a_file_that_is_removed_is_gone_for_good_until_it_comes_again(desk: Desk) -> None:
    case_id = desk.open()
    added = add(desk, case_id)
    command = RemoveFile(case_id=case_id, file_id=added.id, reason="A stranger is on it.")
    desk.shop.refused(NotPermitted, remove_file, core=desk.core, actor=desk.shop.agent, command=command)
    remove_file(core=desk.core, actor=desk.shop.supervisor, command=command)
    assert desk.shop.one(case_files).content == b""
    with pytest.raises(CaseFileNotFound):
        look(desk, case_id, added.id)
    desk.shop.refused(CaseFileNotFound, remove_file, core=desk.core, actor=desk.shop.supervisor, command=command)
    assert desk.screen(case_id).files == ()
    add(desk, case_id)
    assert look(desk, case_id, added.id).content == TEXT


def test_files_are_for_those_who_see_the_case(desk: Desk) -> None:
    case_id, other_id = desk.open(), desk.open()
    added = add(desk, case_id)
    afar = moved(desk.shop.agent, location="leeds")
    desk.shop.refused(CaseNotFound, add, desk, case_id, afar)
    with pytest.raises(CaseFileNotFound):
        look(desk, case_id, added.id, afar)
    with pytest.raises(CaseFileNotFound):
        look(desk, other_id, added.id)


@pytest.mark.parametrize(("code", "refusal"), [(0, None), (1, FileUnsafe), (2, ScannerUnavailable)])
def test_a_scanner_is_asked_where_there_is_one(open_shop: OpenShop, code: int, refusal: Any) -> None:
    script = f"import sys; sys.exit({code} if b'Wait' in sys.stdin.buffer.read() else 3)"
    desk = Desk(open_shop(CASES, INCENTIVES_FILE_SCANNER_COMMAND=f'{sys.executable} -c "{script}"'))
    case_id = desk.open()
    if refusal:
        desk.shop.refused(refusal, add, desk, case_id)
    else:
        assert add(desk, case_id).repeated is False


def test_without_its_scanner_no_file_is_kept(open_shop: OpenShop) -> None:
    desk = Desk(open_shop(CASES, INCENTIVES_FILE_SCANNER_COMMAND="/there/is/no-scanner -"))
    case_id = desk.open()
    desk.shop.refused(ScannerUnavailable, add, desk, case_id)


@pytest.mark.parametrize(
    ("name", "media_type", "kept"),
    [
        ("evil.html", "text/plain", "evil.html.txt"),
        ("../../etc/passwd", "text/plain", "passwd.txt"),
        ("fdp.\u202etxt.exe", "text/plain", "fdp.txt.exe.txt"),
        ("a\r\nSet-Cookie: x.txt", "text/plain", "aSet-Cookie: x.txt"),
        ("..", "text/plain", "file.txt"),
        ("", "application/pdf", "file.pdf"),
        ("Letter.PDF", "application/pdf", "Letter.PDF"),
        ("x" * 500 + ".bat", "text/plain", "x" * 112 + ".bat.txt"),
        ("photo.jpeg", "image/jpeg", "photo.jpeg"),
    ],
)
def test_a_name_is_no_path_and_ends_as_what_the_file_is(name: str, media_type: str, kept: str) -> None:
    assert files.named(name, media_type) == kept


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says of some damage that there is some
def test_a_photo_whose_camera_wrote_nonsense_is_kept_all_the_same() -> None:
    whole = photo("JPEG", turned=6)
    # Every byte of it by itself: among them the type of the description, which becomes one of numbers.
    at = whole.index(b"Exif\x00\x00")
    for offset in range(at + 6, at + 58):
        damaged = bytearray(whole)
        damaged[offset] ^= 0x0F
        assert PLACE.encode() not in files.cleaned(bytes(damaged), "image/jpeg")


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_photo_stands_upright_however_the_camera_was_held(turned: int) -> None:
    from PIL import Image, ImageOps  # noqa: PLC0415 - as the code does

    given = photo("PNG", turned=turned)
    with Image.open(io.BytesIO(given)) as image, Image.open(io.BytesIO(files.cleaned(given, "image/png"))) as kept:
        assert kept.size == ImageOps.exif_transpose(image).size
        assert not kept.info


def test_a_small_photo_that_would_be_drawn_anew_as_a_large_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image  # noqa: PLC0415 - as the code does

    drawn = io.BytesIO()
    Image.effect_noise((256, 256), 90).quantize(8).save(drawn, format="PNG")
    monkeypatch.setattr(files, "MOST_BYTES", len(drawn.getvalue()))
    with pytest.raises(FileTooLarge):
        files.cleaned(drawn.getvalue(), "image/png")


def test_a_file_that_comes_again_finds_no_room_that_is_taken(desk: Desk) -> None:
    case_id = desk.open()
    first = add(desk, case_id)
    command = RemoveFile(case_id=case_id, file_id=first.id, reason="A stranger is on it.")
    remove_file(core=desk.core, actor=desk.shop.supervisor, command=command)
    for number in range(files.MOST_FILES):
        add(desk, case_id, content=b"file %d" % number)
    desk.shop.refused(TooManyFiles, add, desk, case_id)
