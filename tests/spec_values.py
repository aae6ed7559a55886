"""Single values of a spec, by hypothesis: durations, names, addresses, labels, and what lists are made of."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from hypothesis import strategies as st

from chatbot_operator.resource.pods import RESERVED_PATTERN

Fields = dict[str, Any]
Strategy = st.SearchStrategy[Any]


def optional(**fields: Strategy) -> st.SearchStrategy[Fields]:
    """Return objects that have some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def named(**fields: Strategy) -> st.SearchStrategy[Fields]:
    """Return references: objects with a name and some of the fields."""
    return st.fixed_dictionaries({"name": object_names}, optional=fields)


def duration_text(milliseconds: int) -> str:
    """Return a duration as the resource writes it, in 12 characters at most: `90000` is `1m30s`, `1500` is `1s500ms`."""
    seconds, rest = divmod(milliseconds, 1000)
    parts = ((seconds, "s"), (rest, "ms")) if rest else ((seconds // 60, "m"), (seconds % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def durations(minimum: int, maximum: int) -> st.SearchStrategy[str]:
    """Return durations between two lengths in milliseconds."""
    return st.integers(minimum, maximum).map(duration_text)


object_names = st.from_regex(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)
data_keys = st.from_regex(r"\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,40}", fullmatch=True)
prompts = st.text(min_size=1, max_size=200).filter(lambda text: bool(text.strip()))
ports = st.integers(1, 65_535)
hosts = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z]([-a-z0-9]{0,10}[a-z0-9])?){1,3}", fullmatch=True)
base_urls = st.builds(
    lambda host, port, path: f"https://{host}{port}{path}", hosts, ports.map(lambda port: f":{port}"), st.sampled_from(["", "/", "/v1"])
) | (st.builds(lambda name, namespace, port: f"http://{name}.{namespace}.svc:{port}", object_names, object_names, ports))
labels = st.dictionaries(
    st.from_regex(r"(example\.com/)?[a-z]([-a-z0-9_.]{0,20}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?)?", fullmatch=True),
    max_size=4,
)
annotations = st.dictionaries(st.from_regex(r"example\.com/[a-z]{1,20}", fullmatch=True), st.text(max_size=50), max_size=4)
model_names = st.from_regex(r"[A-Za-z0-9][-A-Za-z0-9._:@/]{0,100}", fullmatch=True)
percentages = st.integers(0, 100) | st.integers(0, 10_000).map(lambda hundredths: f"{hundredths / 100:.2f}")


# An IPv4 address in the clothes of IPv6 is none to CEL.
addresses = st.ip_addresses().filter(lambda address: not (isinstance(address, IPv6Address) and address.ipv4_mapped))


@st.composite
def networks(draw: st.DrawFn) -> IPv4Network | IPv6Network:
    """Return a network without host bits."""
    address = draw(addresses)
    network = ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)
    masked = network.network_address
    return ip_network("fd00::/8") if isinstance(masked, IPv6Address) and masked.ipv4_mapped else network


@st.composite
def _address_ranges(draw: st.DrawFn) -> Fields:
    network = draw(networks())
    if network.prefixlen == network.max_prefixlen:
        return {"cidr": str(network)}
    half = ip_network((network.network_address, network.prefixlen + 1))
    return {"cidr": str(network)} | draw(optional(**{"except": st.just([str(half)])}))


_requirements = st.sampled_from(
    [
        {"key": "team", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "a.b/c", "operator": "Exists"},
    ]
)
_selectors = optional(matchLabels=labels, matchExpressions=st.lists(_requirements, max_size=2))
peers = st.lists(
    st.builds(lambda found: {"ipBlock": found}, _address_ranges())
    | optional(podSelector=_selectors, namespaceSelector=_selectors).filter(bool),
    max_size=3,
)
tolerations = st.lists(
    st.sampled_from(
        [
            {"operator": "Exists"},
            {"key": "dedicated", "value": "chat"},
            {"key": "dedicated", "operator": "Equal", "value": "chat", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
        ]
    ),
    max_size=3,
)
affinities: list[Fields] = [
    {},
    {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
            }
        }
    },
    {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "a"}}]}},
]
variables = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True).filter(
                lambda name: not re.fullmatch(RESERVED_PATTERN[1:-1], name)
            )
        },
        optional={"value": st.text(alphabet=st.characters(codec="ascii", exclude_characters="\0$"), max_size=50)},
    ),
    max_size=4,
    unique_by=lambda variable: variable["name"],
)
