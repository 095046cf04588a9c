"""Serves any target with the server and the settings of production: ``python -m bench.serving '{"target": …}'``."""

import json
import sys

from granian import Granian
from granian.log import LogLevels

from wsgi import serving, share_heap


def main(target: str, port: int, workers: int, threads: int, *, factory: bool) -> None:
    """Serve until stopped."""
    share_heap()
    options = serving("127.0.0.1", port, workers=workers, threads=threads)
    Granian(target, **{**options, "factory": factory, "log_level": LogLevels.error}).serve()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
