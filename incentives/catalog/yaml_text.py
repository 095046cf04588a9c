"""YAML text read as a tree of plain nodes.

Nothing is constructed: no tags, no aliases, no merge keys. A catalog is reviewed by people, and what they
read is what they approve.
"""

import re

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as RawNode
from ruamel.yaml.reader import ReaderError

from incentives.catalog.yaml_tree import Mistakes, Node, OddNumber

LONGEST_CHARACTERS = 1_000_000

_TAG = "tag:yaml.org,2002:"
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")  # 19 digits: all that 64 bits hold
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "merge")}


def tree_of(text: str | bytes, mistakes: Mistakes) -> Node | None:
    """Return the document's tree; None, with the mistake noted, when the text is not YAML at all."""
    top = Node(None, 1, "")
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        mistakes.add(Node(None, line, ""), "This is not UTF-8 text; save the file as UTF-8.")
        return None
    return _composed(text.removeprefix("\ufeff"), top, mistakes)


def _composed(text: str, top: Node, mistakes: Mistakes) -> Node | None:
    if len(text) > LONGEST_CHARACTERS:
        mistakes.add(top, f"The file has more than {LONGEST_CHARACTERS} characters; make it shorter.")
        return None
    try:
        document = YAML(typ="safe", pure=True).compose(text)
        return _Planter(mistakes).node(document, 1, "") if document is not None else top
    except RecursionError:
        mistakes.add(top, "The file is nested too deeply to be a catalog.")
    except (ValueError, OverflowError):
        mistakes.add(top, "A character is written here that does not exist, such as \\U00110000; take it out.")
    except YAMLError as error:
        mistakes.add(Node(None, _line_of(error, text), ""), f"This is not YAML: {_problem_of(error)}.")
    return None


def _line_of(error: YAMLError, text: str) -> int:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return int(error.problem_mark.line) + 1
    if isinstance(error, ReaderError):
        return text.count("\n", 0, error.position) + 1
    return 1


def _problem_of(error: YAMLError) -> str:
    if isinstance(error, MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)
    return str(error).splitlines()[0] if str(error) else "it cannot be read"


class _Planter:
    """Turns the parser's nodes into ours; sees each of them once, which is how it notices aliases."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._seen: set[int] = set()

    def node(self, raw: RawNode, line: int, path: str) -> Node:
        here = Node(None, line, path)
        if id(raw) in self._seen:
            self._mistakes.add(here, "Aliases (*name) are not used in a catalog; write it out.")
            return here
        self._seen.add(id(raw))
        if isinstance(raw, MappingNode):
            return Node(self._mapping(raw, path), line, path)
        if isinstance(raw, SequenceNode):
            return Node(self._sequence(raw, path), line, path)
        return Node(self._scalar(raw, here), line, path)

    def _mapping(self, raw: MappingNode, path: str) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key, value in raw.value:
            line = key.start_mark.line + 1
            name = key.value if isinstance(key, ScalarNode) else "?"
            child = self.node(value, line, f"{path}.{name}" if path else name)
            if name in entries:
                self._mistakes.add(child, f"“{name}” stands here twice; keep one of the two.")
            entries[name] = child
        return entries

    def _sequence(self, raw: SequenceNode, path: str) -> list[Node]:
        places = (f"{path}[{_name_of(child) or number}]" for number, child in enumerate(raw.value))
        return [
            self.node(child, child.start_mark.line + 1, place) for child, place in zip(raw.value, places, strict=True)
        ]

    def _scalar(self, raw: RawNode, here: Node) -> str | int | None:
        tag = str(raw.tag)
        if tag not in _PLAIN_TAGS:
            self._mistakes.add(here, "Tags (!name) are not used in a catalog; write the plain value.")
            return None
        return _plain(tag.removeprefix(_TAG), raw.value)


def _plain(tag: str, text: str) -> str | int | None:
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "float" or (tag == "int" and not _WHOLE.fullmatch(text)):
        return OddNumber(text)
    return int(text) if tag == "int" else text


def _name_of(raw: RawNode) -> str | None:
    """Return the key of an item in a list, so that paths read ``incentives[late-20].percent``."""
    if not isinstance(raw, MappingNode):
        return None
    pairs = ((key.value, value.value) for key, value in raw.value)
    return next((value[:64] for name, value in pairs if name == "key" and isinstance(value, str) and value), None)
