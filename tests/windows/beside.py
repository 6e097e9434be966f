"""The real scripts beside their simulation in Python: both must end alike, visit for visit."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from unittest import mock

from computer import HEALTHY, Computer, Trouble
from cryptography import x509

from vmscert.site.site import Host
from vmscert.windows import simulated
from vmscert.windows.simulated import ScriptError
from vmscert.windows.stores import Stores, principal

_PATCHING = Lock()


@dataclass(frozen=True)
class State:
    """What is compared after a visit: how each step ended, and what the computer holds."""

    steps: list[tuple[str, str]]
    root: set[x509.Certificate]
    personal: dict[x509.Certificate, tuple[bool, set[str]]]
    bindings: dict[str, str]
    disallowed: set[x509.Certificate]
    intermediate: set[x509.Certificate]


def state(stores: Stores) -> State:
    """Return what is compared of an inventory."""
    return State(
        [(line.step, line.result) for line in stores.log],
        set(stores.root),
        {p.certificate: (p.has_key, set(map(principal, p.readers))) for p in stores.personal},
        dict(stores.bindings),
        set(stores.disallowed),
        set(stores.intermediate),
    )


class Beside(Computer):
    """A computer on which the real scripts run, and one beside it that simulates them."""

    def __init__(self, host: Host, disk: Path, trouble: Trouble = HEALTHY):
        super().__init__(host, disk, trouble)
        self.simulated = simulated.Computer(host, disk.with_name("beside"))

    def run(
        self,
        script: Path,
        at: datetime,
        password: str = "",
        phase: str = "Prepare",
        turn: int = 1,
        by_hand: Sequence[str] = (),
        out_of_turn: bool = False,
        whole: bool = False,
    ) -> None:
        """Run a script on both; AssertionError where they end differently."""
        visit = (script, at, password, phase, turn, by_hand, out_of_turn, whole)
        real = _ended(super(), *visit)
        with self._same_key(script):
            played = _ended(self.simulated, *visit)
        assert (real is None) == (played is None), (real, played)
        here, beside = asdict(state(self.stores(at))), asdict(state(self.simulated.stores(at)))
        apart = {what: (here[what], beside[what]) for what in here if here[what] != beside[what]}
        assert not apart, apart
        if real is not None:
            raise real

    @contextmanager
    def _same_key(self, script: Path):
        """Let the simulation ask with the key that the real computer made, not with its own."""
        request = self.disk / "carried" / script.parent.name / f"{self.host.name}.req"
        if script.stem != "request" or not request.exists():
            yield
            return
        csr = x509.load_pem_x509_csr(request.read_bytes())
        made = csr, self.key_of(csr.public_key())
        with _PATCHING, mock.patch.object(simulated, "request", lambda *_: made):
            yield


def _ended(computer, *visit) -> ScriptError | None:
    try:
        computer.run(*visit)
    except ScriptError as error:
        return error
    return None
