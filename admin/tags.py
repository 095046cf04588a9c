"""Issue tags as tiles: the finer tags of each in a group of their own, two levels on one screen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from admin import words
from incentives.kernel.errors import NotFound
from incentives.queries.catalog import TagTile

_OTHER = "Something else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile: where it leads, and whether it stands for whatever the others do not name."""

    href: str
    word: str
    icon: str
    more: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tiles under one heading; no title for tags that have none above them."""

    title: str
    tiles: tuple[Tile, ...]


def find(tree: Sequence[TagTile], key: str | None) -> tuple[TagTile | None, TagTile | None]:
    """Return a tag and the one above it; both None where none is asked for. Raises ``NotFound``."""
    if not key:
        return None, None
    for tag, above in _walk(tree, None):
        if tag.key == key:
            return tag, above
    raise NotFound


@dataclass(frozen=True, slots=True)
class Way:
    """Where tiles lead: to a page with the finer tags of one, or on with the tag that was chosen."""

    finer: str
    chosen: str

    def tile(self, tag: TagTile) -> Tile:
        """Return the tile of a tag."""
        if tag.children:
            more = words.counted(len(tag.children), "kind", "kinds")
            return Tile(href=f"{self.finer}?under={tag.key}", word=tag.label, icon=tag.icon, more=more)
        return Tile(href=f"{self.chosen}/{tag.key}", word=tag.label, icon=tag.icon)

    def other(self, tag: TagTile) -> Tile:
        """Return the tile of a tag for whatever none of its finer ones names."""
        return Tile(href=f"{self.chosen}/{tag.key}", word=_OTHER, icon="other", quiet=True)


def groups(tree: Sequence[TagTile], under: TagTile | None, way: Way) -> list[Group]:
    """Return the tiles below a tag (None: all), a group for each tag that has finer ones."""
    if under is not None:
        return [Group(title="", tiles=(*map(way.tile, under.children), way.other(under)))]
    single = tuple(way.tile(each) for each in tree if not each.children)
    found = [
        Group(title=each.label, tiles=(*map(way.tile, each.children), way.other(each)))
        for each in tree
        if each.children
    ]
    return [*found, Group(title="Everything else" if found else "", tiles=single)] if single else found


def _walk(tree: Sequence[TagTile], above: TagTile | None) -> Iterator[tuple[TagTile, TagTile | None]]:
    for tag in tree:
        yield tag, above
        yield from _walk(tag.children, tag)
