"""What an operator believes to see is wrong: events are lost, come twice or late, and lists come from the past.

The next resync repairs it, and until then nothing is destroyed on the strength of it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from chatbot_operator.resource import KIND
from tests.api.operator_process import QUIET_SECONDS
from tests.faults.apiserver import deviations, is_observed
from tests.faults.conftest import new_name
from tests.faults.proxy import GARBAGE, Call, WatchFault, kind_of
from tests.faults.supervised import Supervised
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

RESYNC_SECONDS = 3
ENVIRONMENT = {"OPERATOR_RESYNC_INTERVAL_SECONDS": str(RESYNC_SECONDS)}
REPAIRED_SECONDS = RESYNC_SECONDS * 1.1 + 60
"""The garbage collector, which takes away what a deleted resource leaves behind, looks for new kinds every 30 s."""
SPEC = {"replicas": 0, "image": "chat:1", "systemPrompt": "Be brief."}
CHANGED = {**SPEC, "image": "chat:2", "systemPrompt": "Be kind."}


@pytest.fixture(autouse=True)
def repaired(supervisor: Supervised) -> Iterator[None]:
    yield
    supervisor.proxy.watch_fault = None
    supervisor.proxy.serve_past({})
    supervisor.proxy.garbles_writes = False


@pytest.fixture
def bots(supervisor: Supervised) -> dict[str, str]:
    """A resource for each thing that can happen to one, as yet as it should be."""
    names = {what: new_name(what) for what in ("edited", "robbed", "drifted", "deleted", "untouched")}
    for name in names.values():
        supervisor.team.apply(name, SPEC)
    for name in names.values():
        wait_until_right(supervisor, name)
    return names


def wrong(supervisor: Supervised, name: str) -> list[str]:
    """Return what is wrong with a resource; what was deleted must have left nothing."""
    resource, children = supervisor.team.get(KIND, name), supervisor.team.children_of(name)
    if resource is None:
        return [f"{child['kind']} is left" for child in children]
    return deviations(resource, children, settings=supervisor.settings)


def happen(supervisor: Supervised, bots: dict[str, str]) -> str:
    """Let something happen to every resource but one, and create another, whose name is returned."""
    team, new = supervisor.team, new_name("new")
    team.apply(bots["edited"], CHANGED)
    team.delete("Service", bots["robbed"])
    team.merge("Deployment", bots["drifted"], {"spec": {"replicas": 7}})
    team.delete(KIND, bots["deleted"])
    team.apply(new, SPEC)
    return new


def writes_since(supervisor: Supervised, before: int, *, name: str) -> list[Call]:
    return [call for call, _ in supervisor.proxy.written[before:] if call.name.startswith(name) and "/" not in call.resource]


def deletions_since(supervisor: Supervised, before: int) -> list[Call]:
    return [call for call, _ in supervisor.proxy.written[before:] if call.method == "DELETE"]


def uids(supervisor: Supervised) -> dict[str, str]:
    every = (child for mine in supervisor.team.children().values() for child in mine)
    return {f"{child['kind']} {child['metadata']['name']}": child["metadata"]["uid"] for child in every}


def wait_until_right(supervisor: Supervised, *names: str) -> None:
    """Return when nothing is wrong any more with any of these."""
    for name in names:
        wait_until(lambda name=name: wrong(supervisor, name), lambda found: found == [], seconds=REPAIRED_SECONDS)  # type: ignore[misc] # a default binds the loop variable


@pytest.mark.parametrize("fault", WatchFault)
def test_bad_watches_are_repaired_by_the_next_resync(supervisor: Supervised, bots: dict[str, str], fault: WatchFault) -> None:
    before, known = len(supervisor.proxy.written), uids(supervisor)
    supervisor.proxy.watch_fault = fault

    new = happen(supervisor, bots)
    wait_until_right(supervisor, *bots.values(), new)

    assert deletions_since(supervisor, before) == []
    assert writes_since(supervisor, before, name=bots["untouched"]) == []
    replaced = {f"Service {bots['robbed']}"}
    left = {key: uid for key, uid in known.items() if bots["deleted"] not in key and key not in replaced}
    assert uids(supervisor).items() >= left.items()


def test_repeated_events_cause_no_write_twice(supervisor: Supervised) -> None:
    supervisor.proxy.watch_fault = WatchFault.REPEATED
    name, before = new_name("repeated"), len(supervisor.proxy.written)

    for spec in (SPEC, CHANGED):
        supervisor.team.apply(name, spec)
        wait_until_right(supervisor, name)
    wait_until_nothing_is_written(supervisor)

    written = Counter((call.method, call.resource) for call in writes_since(supervisor, before, name=name))
    assert written.pop(("PATCH", "deployments")) == 2
    assert written.pop(("PATCH", "configmaps")) == 2
    assert set(written.values()) == {1}


def test_delayed_events_do_not_undo_what_was_done_meanwhile(supervisor: Supervised, bots: dict[str, str]) -> None:
    supervisor.proxy.watch_fault = WatchFault.DELAYED
    name, team = bots["edited"], supervisor.team

    for number in (3, 4, 5):
        team.apply(name, {**SPEC, "image": f"chat:{number}"})
    generation = (team.get("Deployment", name) or {})["metadata"]["generation"]
    wait_until_right(supervisor, name)
    wait_until_nothing_is_written(supervisor)

    assert wrong(supervisor, name) == []
    assert (team.get("Deployment", name) or {})["metadata"]["generation"] <= generation + 3


def wait_until_nothing_is_written(supervisor: Supervised) -> None:
    """Return when nothing was written for longer than a planned pass waits and a resync takes to come round; passes there are always."""
    last, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal last, since
        if (count := len(supervisor.proxy.written)) != last:
            last, since = count, time.monotonic()
        return time.monotonic() - since > max(QUIET_SECONDS, RESYNC_SECONDS * 1.1 + 0.5)

    wait_until(quiet, seconds=REPAIRED_SECONDS)


def from_the_past(supervisor: Supervised, past: dict[str, bytes], *, restart: bool) -> None:
    """Have the operator list the past of every kind in it, by its resync or by a restart."""
    supervisor.proxy.serve_past(past)
    if restart:
        supervisor.restart()
    wait_until(lambda: supervisor.proxy.past_served, lambda served: served >= kinds_in(past), seconds=REPAIRED_SECONDS)
    wait_until_nothing_is_written(supervisor)


def kinds_in(lists: dict[str, bytes]) -> set[str]:
    """Return the kinds that every resync lists: pods are looked at on demand, an optional kind that is not served now and then."""
    return {kind_of(path) for path in lists if not kind_of(path).endswith(("/pods", "/podmonitors"))}


def only(kinds: Callable[[str], bool], lists: dict[str, bytes]) -> dict[str, bytes]:
    return {path: body for path, body in lists.items() if kinds(path)}


def of_resources(path: str) -> bool:
    return "/chatbotdeployments" in path


def of_children(path: str) -> bool:
    return not of_resources(path)


@pytest.mark.parametrize("restart", [False, True], ids=["resync", "restart"])
@pytest.mark.parametrize("kinds", [of_resources, of_children], ids=["resources", "children"])
def test_lists_from_the_past_destroy_nothing(
    supervisor: Supervised, bots: dict[str, str], kinds: Callable[[str], bool], *, restart: bool
) -> None:
    past = only(kinds, supervisor.proxy.lists_now())
    new = happen(supervisor, bots)
    wait_until_right(supervisor, *bots.values(), new)
    wait_until(lambda: supervisor.team.get(KIND, new), is_observed)
    before, known = len(supervisor.proxy.written), uids(supervisor)

    from_the_past(supervisor, past, restart=restart)
    destroyed = deletions_since(supervisor, before)
    supervisor.proxy.serve_past({})
    wait_until_right(supervisor, *bots.values(), new)

    assert destroyed == []
    assert uids(supervisor).items() >= known.items()


def test_garbage_in_place_of_a_list_or_an_answer_is_survived(supervisor: Supervised, bots: dict[str, str]) -> None:
    supervisor.proxy.garbles_writes = True
    garbage = dict.fromkeys(supervisor.proxy.lists_now(), GARBAGE)
    supervisor.proxy.serve_past(garbage)
    new = happen(supervisor, bots)

    wait_until(lambda: supervisor.proxy.past_served, lambda served: served >= kinds_in(garbage), seconds=REPAIRED_SECONDS)
    supervisor.proxy.serve_past({})
    supervisor.proxy.garbles_writes = False

    wait_until_right(supervisor, *bots.values(), new)
    assert supervisor.operator is not None
    assert supervisor.operator.process.poll() is None
