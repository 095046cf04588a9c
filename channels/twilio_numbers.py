"""What Twilio's error codes say of a number, when it is asked to send there and when it tells what became of it."""

# Which of the codes, when a message is created and afterwards, say that nothing more need be sent to that number. That
# a phone is off (30003), or that a carrier took the text for spam (30007), says nothing of it.
SUPPRESSES: dict[int, str] = {
    21211: "invalid",
    21214: "invalid",
    21217: "invalid",
    21265: "invalid",
    21401: "invalid",
    21421: "invalid",
    21604: "invalid",
    21610: "unsubscribed",
    21612: "blocked",
    21614: "invalid",
    21635: "invalid",
    30004: "blocked",
    30005: "invalid",
    30006: "invalid",
}
