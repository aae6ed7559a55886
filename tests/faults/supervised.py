"""An operator that is killed and started again, as kubelet does with a container that ends."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chatbot_operator.settings import Settings
from devcluster.controlplane import ControlPlane
from tests.api.operator_process import SERVICE_IMAGE, Account, OperatorProcess, grant, start_operator
from tests.faults.apiserver import Team
from tests.faults.proxy import Proxy, proxy_for


@dataclass
class Supervised:
    """One operator after the other, all behind one proxy."""

    account: Account
    proxy: Proxy
    team: Team
    directory: Path
    environment: dict[str, str]
    settings: Settings
    """What the operator renders children with."""
    operator: OperatorProcess | None = None
    _current: ExitStack = field(default_factory=ExitStack)

    def start(self, *, wait: bool = True) -> OperatorProcess:
        """Start an operator once the one before, which was told to or killed, has ended."""
        if self.operator is not None:
            self.operator.process.wait(timeout=15)
        self._current.close()
        operator = self._current.enter_context(start_operator(self.account, self.directory, wait=False, **self.environment))
        self.operator, self.proxy.victim = operator, operator.process.pid
        if wait:
            operator.wait_until_ready()
        return operator

    def restart(self) -> OperatorProcess:
        """Kill the operator and start the next one."""
        if self.operator is not None:
            self.operator.process.kill()
        return self.start()

    def end(self) -> None:
        """End the operator as kubelet does."""
        self.proxy.victim = self.operator = None
        self._current.close()


@contextmanager
def supervised(plane: ControlPlane, namespace: str, directory: Path, **environment: str) -> Iterator[Supervised]:
    """Make a namespace, an account and a proxy for an operator that `start` starts; without election, so it works at once after a kill."""
    plane.kubectl("create", "namespace", namespace)
    account = grant(plane, namespace, directory)
    settings = Settings(service_image=SERVICE_IMAGE, namespace=namespace)
    with proxy_for(plane, account, directory) as (proxy, proxied):
        alone = {"OPERATOR_LEADER_ELECTION": "false", **environment}
        operator = Supervised(proxied, proxy, Team(plane, namespace), directory, alone, settings)
        try:
            yield operator
            operator.end()
        finally:
            operator._current.close()
    plane.kubectl("delete", "namespace", namespace, "--wait=false")
