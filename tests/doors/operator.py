"""The operator at the command line, for tests: the same commands as ``incentives``, in this process."""

from dataclasses import dataclass, field

from click.testing import CliRunner, Result

import wsgi
from admin.commands import Wiring, cli
from tests.world import environ


@dataclass
class Operator:
    """Somebody who types commands on a machine whose settings name a database; ``served`` is what would be served."""

    url: str
    served: list[tuple[str, int]] = field(default_factory=list)
    settings: dict[str, str | None] = field(default_factory=dict)

    def types(self, *arguments: str) -> Result:
        """Run a command and return what it printed and its exit status."""
        wiring = Wiring(
            build_core=wsgi.build_core,
            create_app=wsgi.create_app,
            serve=lambda host, port, **_: self.served.append((host, port)),
            work=lambda core: self.served.append((str(core.database.url), 0)),
        )
        env: dict[str, str | None] = {**environ(self.url), **self.settings}
        return CliRunner().invoke(cli, arguments, obj=wiring, env=env)

    def gets(self, *arguments: str) -> str:
        """Run a command that must work, and return its standard output."""
        result = self.types(*arguments)
        assert (result.exit_code, result.exception) == (0, None), result.output
        return result.stdout

    def is_refused(self, *arguments: str, status: int = 1) -> str:
        """Run a command that must be refused with nothing on standard output, and return the words of the refusal."""
        result = self.types(*arguments)
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert (result.exit_code, result.stdout) == (status, "")
        assert "Traceback" not in result.stderr
        return result.stderr
