"""What of a customer's SMS is an answer."""

import pytest

from channels.twilio_incoming import answer_in


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("4", ("4", "")),
        (" 4 \n", ("4", "")),
        ("4!", ("4", "")),
        ("4.", ("4", "")),
        ("05", ("5", "")),
        ("10", ("10", "")),
        ("100", ("100", "")),
        ("4\ufe0f\u20e3", ("4", "")),  # a keycap
        ("\uff14", ("4", "")),  # full width
        ("\u0664", ("4", "")),  # Arabic
        ("\u2463", ("4", "")),  # in a circle
        ("5 stars", ("5", "stars")),
        ("4 thank you", ("4", "thank you")),
        ("4, thank you\nAna", ("4", "thank you\nAna")),
        ("2 - nobody called", ("2", "nobody called")),
        ("4 \U0001f600", ("4", "\U0001f600")),
    ],
)
def test_an_answer(text: str, answer: tuple[str, str]) -> None:
    assert answer_in(text) == answer


@pytest.mark.parametrize(
    "text",
    ["", " ", "STOP", "stop", "UNSUBSCRIBE", "BAJA", "ALTO", "HELP", "four", "about 4", "4th time!", "4x", "1234", "-1",
     "4/5", "\x00", "yes 4", "http://4"],
)  # fmt: skip
def test_no_answer(text: str) -> None:
    assert answer_in(text) is None
