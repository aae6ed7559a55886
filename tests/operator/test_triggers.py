from collections.abc import Callable

import pytest

from chatbot_operator.cache import News, ObjectKey, ResourceKey
from chatbot_operator.informer import Change
from chatbot_operator.queue import Queue
from chatbot_operator.resource import KIND
from chatbot_operator.triggers import CALM_SECONDS, Triggers
from tests.clock import Clock

KEY = ResourceKey("team", "bot")


def fail(_found: list[ResourceKey], _key: ResourceKey) -> None:
    raise RuntimeError("nobody foresaw this")


class Scene:
    """The triggers between a queue and a prober."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.queue: Queue[ResourceKey] = Queue(clock=self.clock)
        self.nudged: list[ResourceKey] = []
        self.discovered: list[ResourceKey] = []
        self.find_pods: Callable[[list[ResourceKey], ResourceKey], None] = list.append
        self.leads = True
        self.triggers = Triggers(
            self.queue,
            nudge=lambda key: self.find_pods(self.nudged, key),
            discover=lambda key: self.find_pods(self.discovered, key),
            leads=lambda: self.leads,
        )

    def see(self, kind: str, news: News) -> None:
        if kind == KIND:
            self.triggers.resource_changed(KEY, news)
        else:
            self.triggers.owned_changed(Change(ObjectKey(kind, "team", "bot"), KEY, news))

    def due(self) -> str:
        if self.queue.pop():
            return "now"
        self.clock.now += CALM_SECONDS
        return "soon" if self.queue.pop() else "never"


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("kind", "news", "due"),
    [
        (KIND, News.INTENT, "now"),
        (KIND, News.GONE, "now"),
        (KIND, News.STATUS, "soon"),
        ("Deployment", News.INTENT, "now"),
        ("Deployment", News.GONE, "now"),
        ("Deployment", News.STATUS, "soon"),
        ("EndpointSlice", News.INTENT, "soon"),
        ("EndpointSlice", News.GONE, "soon"),
        ("PodDisruptionBudget", News.INTENT, "now"),
        ("PodDisruptionBudget", News.STATUS, "never"),
        ("Ingress", News.STATUS, "never"),
    ],
)
def test_what_somebody_did_is_looked_at_at_once_and_what_comes_in_numbers_in_a_moment(
    scene: Scene, kind: str, news: News, due: str
) -> None:
    scene.see(kind, news)

    assert scene.due() == due


def test_many_changes_of_a_status_make_one_pass(scene: Scene) -> None:
    for _ in range(3):
        scene.see("Deployment", News.STATUS)
        scene.see("EndpointSlice", News.INTENT)
        scene.triggers.look_soon(KEY)

    assert scene.due() == "soon"
    scene.queue.done(KEY)
    assert scene.due() == "never"


@pytest.mark.parametrize(("news", "due"), [(News.INTENT, "soon"), (News.GONE, "now")])
def test_child_that_changes_while_the_worker_applies_it_is_looked_at_later_but_not_one_that_is_gone(
    scene: Scene, news: News, due: str
) -> None:
    scene.triggers.look_again(KEY)
    scene.queue.pop()

    scene.see("Service", news)
    scene.queue.done(KEY)

    assert scene.due() == due


def test_edit_during_a_pass_leads_to_another_one_at_once(scene: Scene) -> None:
    scene.triggers.look_again(KEY)
    scene.queue.pop()

    scene.see(KIND, News.INTENT)
    scene.queue.done(KEY)

    assert scene.due() == "now"


def test_pods_are_polled_when_their_endpoints_change(scene: Scene) -> None:
    scene.see("EndpointSlice", News.INTENT)
    scene.see("Deployment", News.STATUS)

    assert scene.nudged == [KEY]


def test_pods_of_a_resource_that_may_be_new_are_looked_for(scene: Scene) -> None:
    scene.see(KIND, News.STATUS)
    assert scene.discovered == []

    scene.see(KIND, News.INTENT)

    assert scene.discovered == [KEY]
    assert scene.nudged == []


@pytest.mark.parametrize(("kind", "due"), [(KIND, "now"), ("EndpointSlice", "soon")])
def test_error_in_finding_pods_loses_no_change(scene: Scene, kind: str, due: str) -> None:
    scene.find_pods = fail

    with pytest.raises(RuntimeError):
        scene.see(kind, News.INTENT)

    assert scene.due() == due


def test_what_is_seen_while_another_process_leads_adds_nothing(scene: Scene) -> None:
    scene.leads = False

    for kind in (KIND, "Deployment", "EndpointSlice"):
        for news in (News.INTENT, News.STATUS, News.GONE):
            scene.see(kind, news)
    scene.triggers.look_again(KEY)

    assert scene.due() == "never"
    assert scene.nudged == scene.discovered == []


def test_what_belongs_to_no_resource_is_left_alone(scene: Scene) -> None:
    scene.triggers.owned_changed(Change(ObjectKey("Service", "team", "other"), None, News.INTENT))

    assert scene.due() == "never"
