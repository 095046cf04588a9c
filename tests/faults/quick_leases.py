"""``celery -A tests.faults.quick_leases``: the same tasks, with leases so short that a test can wait for their end."""

from incentives.messages import outbox

outbox.LEASE_MARGIN_SECONDS = 1

from worker import app  # noqa: E402, F401 - the leases come first
