"""What the parts of a sandbox share while it comes up: files, environment, API client, and the list of programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate_sandbox.apiclient import ApiClient
from tidegate_sandbox.cluster import API_PORT, ClusterSpec, Layout
from tidegate_sandbox.programs import Check, Program

API_URL = f"https://127.0.0.1:{API_PORT}"


@dataclass
class Sandbox:
    """A sandbox that is coming up or running.

    Attributes:
        spec: what was asked for.
        layout: its files.
        bin_dir: its programs' files.
        token: the administrator's.
        api: client of its API server.
        node_names: nodes that have come up.
        programs: by name, in the order of their start.
    """

    spec: ClusterSpec
    layout: Layout
    bin_dir: Path
    token: str
    api: ApiClient
    on_ready: Callable[[Program], None]
    node_names: list[str] = field(default_factory=list)
    programs: dict[str, Program] = field(default_factory=dict)

    async def run(self, name: str, arguments: Sequence[str], ready: Check, *, program: Sequence[str] = ()) -> None:
        """Start a program and wait until it is ready.

        Args:
            name: of the program; without ``program``, also the name of its file.
            arguments: its arguments.
            ready: tells what is still missing.
            program: the beginning of the command, where it is no file of :attr:`bin_dir`.

        Raises:
            PartError: it ended, or was not ready in time.
        """
        # Nobody gives these programs the time to tidy up, so what they leave lies where it goes with the sandbox.
        environment = self.layout.environment(self.bin_dir) | {"TMPDIR": str(self.layout.temporary)}
        begin = list(program) or [str(self.bin_dir / name)]
        started = Program(name, [*begin, *arguments], self.layout.log(name), environment, ready)
        self.programs[name] = started
        await started.start()
        self.on_ready(started)
