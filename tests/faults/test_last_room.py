"""A budget's last room, asked for over HTTP by many more than it is for, while processes that answer are killed."""

import pytest

from tests.faults import last_room, one_code
from tests.run_folder import RunFolder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [0, 3])
def test_exactly_what_there_is_room_for_is_given(run: RunFolder, kills: int) -> None:
    story = last_room.play(run, issues=800, room=156, kills=kills)
    assert story.faults() == []
    assert story.kills == kills


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("redeems", "codes"), [(500, 1), (200, 20)])
def test_each_code_is_spent_once(run: RunFolder, redeems: int, codes: int) -> None:
    assert one_code.play(run, redeems, codes=codes, processes=2).faults() == []
