"""The pod network of the one node: the bridge with the gateway address, forwarding, and their removal.

The CNI plugins add pods to the bridge and kube-proxy writes the Services' rules; this module makes what must exist before both, and removes
what all three left. Every function is idempotent. Kernel settings are noted before they are changed and put back by `down`.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from devcluster.errors import DevclusterError
from devcluster.state import write_private

BRIDGE = "chatbot-dev0"
NETWORK = "chatbot-devcluster"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
GATEWAY = "10.244.0.1"
CNI_PLUGINS = Path("/usr/lib/cni")

_CHAIN = "CHATBOT-DEVCLUSTER"
_OURS = re.compile(rf"^(KUBE-|{_CHAIN}$)")
_PORT_MAPS, _PORT_MAP = "CNI-HOSTPORT-", "CNI-DN-"  # shared by every CNI network of the machine; one network's own
_TABLES = ("filter", "nat", "mangle")
_SYSCTL = Path("/proc/sys")
# What kubelet, kube-proxy and the bridge plugin change on their own; the first two are needed before they run.
_NEEDED_SETTINGS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
_CHANGED_SETTINGS = (
    *_NEEDED_SETTINGS,
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_CNI_RESULTS = Path("/var/lib/cni/results")


class NetworkUnavailable(DevclusterError):
    """The pod network cannot be made on this machine."""


def up(state: Path, *, private_port: int) -> None:
    """Make the bridge with the gateway address, let the pods' traffic through, and keep `private_port` to them and this machine."""
    _refuse_other_users_of_the_range()
    note_settings(state)
    _load_modules()
    for name, value in _NEEDED_SETTINGS.items():
        _write_setting(name, value)
    if not Path("/sys/class/net", BRIDGE).exists():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
    prefix = POD_CIDR.partition("/")[2]
    _run("ip", "address", "replace", f"{GATEWAY}/{prefix}", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    _allow_pod_traffic()
    _refuse_strangers(private_port)


def down(state: Path) -> None:
    """Remove the bridge, the pods' interfaces and every rule that kube-proxy, the CNI plugins and `up` made; restore kernel settings."""
    for interface in bridge_ports():
        _run("ip", "link", "delete", interface, check=False)
    if Path("/sys/class/net", BRIDGE).exists():
        _run("ip", "link", "delete", BRIDGE)
    for command in ("iptables", "ip6tables"):
        for table in _TABLES:
            _remove_rules(command, table)
    for result in _CNI_RESULTS.glob(f"{NETWORK}-*"):
        container = result.name.removeprefix(f"{NETWORK}-").partition("-")[0]
        (_CNI_RESULTS / f"cni-loopback-{container}-lo").unlink(missing_ok=True)
        result.unlink(missing_ok=True)
    _restore_settings(state)


def bridge_ports() -> tuple[str, ...]:
    """Return the pods' interfaces on the bridge."""
    return tuple(sorted(port.name for port in Path("/sys/class/net", BRIDGE, "brif").glob("*")))


def removal_script(listing: Sequence[str]) -> tuple[str, ...]:
    """Compute the restore script that removes our chains from a table's listing (`iptables -S`) and leaves all else alone.

    Ours are kube-proxy's and kubelet's chains, our own, and of the CNI plugins' those of our network.
    """
    ours = _our_chains(listing)
    jumps = [line for line in listing if _appends(line) and line.split()[1] not in ours and ours.keys() & line.split()[2:]]
    return (
        *(f":{chain} - [0:0]" for chain in ours),  # to declare a chain is to flush it
        *(f"-D{jump[2:]}" for jump in jumps),
        *(f"-X {chain}" for chain in ours),
    )


def _our_chains(listing: Sequence[str]) -> dict[str, None]:
    """Return our chains in the listing's order (a dict for a set that keeps it)."""
    chains = [line.split()[1] for line in listing if line.startswith("-N ")]
    named = {word for line in listing if NETWORK in line for word in line.split() if word.startswith("CNI-")}
    ours = [chain for chain in chains if _OURS.match(chain) or (chain in named and not chain.startswith(_PORT_MAPS))]
    if not any(chain.startswith(_PORT_MAP) and chain not in ours for chain in chains):
        ours += [chain for chain in chains if chain.startswith(_PORT_MAPS)]
    return dict.fromkeys(ours)


def _appends(line: str) -> bool:
    return line.startswith("-A ")


def _refuse_other_users_of_the_range() -> None:
    routes = json.loads(_run("ip", "-json", "-4", "route", "show", "root", POD_CIDR) or "[]")
    for route in routes:
        if route.get("dev") != BRIDGE:
            raise NetworkUnavailable(
                f"the pod range {POD_CIDR} is in use on {route.get('dev')}: the devcluster needs it; remove that network first"
            )


def _load_modules() -> None:
    if shutil.which("modprobe"):
        for module in ("br_netfilter", "overlay"):
            _run("modprobe", module, check=False)
    missing = [name for name in _NEEDED_SETTINGS if not (_SYSCTL / name).exists()]
    if missing:
        raise NetworkUnavailable(f"this kernel lacks {', '.join(missing)} (module br_netfilter): pods could not reach Services")


def _allow_pod_traffic() -> None:
    """Let the pods through a firewall whose policy is to drop (as Docker sets it), in a chain of our own."""
    # An address of a Service that gets here has no pods behind it: kube-proxy's chains are to refuse it.
    _ensure_rule("iptables", _CHAIN, "-i", BRIDGE, "!", "-d", SERVICE_CIDR, "-j", "ACCEPT")
    _ensure_rule("iptables", _CHAIN, "-o", BRIDGE, "-j", "ACCEPT")


def _refuse_strangers(port: int) -> None:
    """Refuse other machines a port that pods and this machine reach at different addresses, so that its server listens on all."""
    for command in ("iptables", "ip6tables"):
        if _listing(command, "filter"):
            _ensure_rule(
                *(command, _CHAIN, "-p", "tcp", "--dport", str(port), "!", "-i", "lo"),
                *("-m", "addrtype", "--dst-type", "LOCAL", "-j", "REJECT", "--reject-with", "tcp-reset"),
            )


def _ensure_rule(command: str, chain: str, *rule: str) -> None:
    """Put a rule at the end of our chain, or at the top of another one, unless it is there; make our chain where it is missing."""
    if chain == _CHAIN:
        _run(command, "-w", "-N", _CHAIN, check=False)
        for parent in ("FORWARD", "INPUT"):
            _ensure_rule(command, parent, "-j", _CHAIN)
    present = subprocess.run([command, "-w", "-C", chain, *rule], capture_output=True, check=False).returncode == 0
    if not present:
        _run(command, "-w", "-A" if chain == _CHAIN else "-I", chain, *rule)


def _remove_rules(command: str, table: str) -> None:
    """Delete our chains and the rules that jump to them, in one atomic restore."""
    script = removal_script(_listing(command, table))
    if script:
        _run(f"{command}-restore", "-w", "--noflush", text="\n".join([f"*{table}", *script, "COMMIT", ""]))


def _listing(command: str, table: str) -> list[str]:
    if not shutil.which(command):
        return []
    finished = subprocess.run([command, "-w", "-t", table, "-S"], capture_output=True, text=True, check=False)
    return finished.stdout.splitlines()  # a kernel without that table or protocol has nothing to remove


def note_settings(state: Path) -> None:
    """Note the kernel settings as they were before the first `up`, for `down` to put back."""
    noted = state / "kernel-settings.json"
    if not noted.exists():
        values = {name: (_SYSCTL / name).read_text().strip() for name in _CHANGED_SETTINGS if (_SYSCTL / name).exists()}
        write_private(noted, json.dumps(values, indent=1).encode())


def _restore_settings(state: Path) -> None:
    noted = state / "kernel-settings.json"
    if noted.exists():
        for name, value in json.loads(noted.read_text()).items():
            _write_setting(name, value)
        noted.unlink()


def _write_setting(name: str, value: str) -> None:
    setting = _SYSCTL / name
    if setting.read_text().strip() != value:
        try:
            setting.write_text(value)
        except OSError as error:
            raise NetworkUnavailable(
                f"cannot set the kernel's {name} to {value} ({error.strerror}): run as root, on a writable /proc/sys"
            ) from error


def _run(*command: str, check: bool = True, text: str | None = None) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, input=text, check=False)
    if check and finished.returncode != 0:
        raise NetworkUnavailable(f"'{' '.join(command)}' failed: {finished.stderr.strip()}")
    return finished.stdout
