import subprocess
import sys
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatbot_operator.cache import MAX_TOMBSTONES, Cache, Entry, News, ObjectKey, ResourceKey, controller_of, resource_key
from chatbot_operator.resource import KIND, Manifest


def manifest(name: str = "a", version: int = 1, *, kind: str = "Service", owner: str | None = None, **metadata: Any) -> Manifest:
    if owner:
        metadata["ownerReferences"] = [{"kind": KIND, "name": "bot", "uid": owner, "controller": True}]
    return {
        "kind": kind,
        "metadata": {"namespace": "team", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version), **metadata},
    }


MEMORY = """
from pathlib import Path
from chatbot_operator.cache import Entry

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def entry(number):
    metadata = {"namespace": "team", "name": f"bot-{number}", "resourceVersion": "1"}
    return Entry.of({"kind": "Service", "metadata": metadata, "spec": {"text": "x" * 2500}})

entry(0)
before = resident_bytes()
entries = [entry(number) for number in range(4000)]
print((resident_bytes() - before) / sum(len(entry.body) for entry in entries))
"""


@pytest.fixture
def cache() -> Cache:
    return Cache()


def test_an_object_takes_little_more_memory_than_its_json() -> None:
    share = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True, timeout=60).stdout

    assert float(share) < 1.4


def test_newer_object_replaces_an_older_one_and_is_news(cache: Cache) -> None:
    assert cache.put(manifest(version=9))
    assert cache.put(manifest(version=10))

    assert cache.get("Service", "team", "a") == manifest(version=10)


def test_news_of_the_status_alone_is_told_from_other_news(cache: Cache) -> None:
    assert cache.put(manifest(version=1, generation=1)) is News.INTENT
    assert cache.put(manifest(version=2, generation=1)) is News.STATUS
    assert cache.put(manifest(version=3, generation=2)) is News.INTENT
    assert cache.put(manifest(version=4, generation=2, labels={"app": "other"})) is News.INTENT
    assert cache.put(manifest(version=5, generation=2, labels={"app": "other"}, uid="successor")) is News.INTENT
    assert cache.forget(manifest(version=6)) is News.GONE


def test_count_of_the_rollouts_is_news_of_the_status(cache: Cache) -> None:
    cache.put(manifest(version=1, generation=1, annotations={"a": "b"}))

    assert cache.put(manifest(version=2, generation=1, annotations={"a": "b", "deployment.kubernetes.io/revision": "1"})) is News.STATUS
    assert cache.put(manifest(version=3, generation=1, annotations={"a": "c", "deployment.kubernetes.io/revision": "1"})) is News.INTENT


def test_without_a_generation_every_change_may_be_one_of_the_intent(cache: Cache) -> None:
    cache.put(manifest(version=1))

    assert cache.put(manifest(version=2)) is News.INTENT


def test_what_is_handed_out_may_be_changed(cache: Cache) -> None:
    cache.put(manifest(version=1))

    (cache.get("Service", "team", "a") or {})["metadata"]["labels"] = {"changed": "true"}

    assert cache.get("Service", "team", "a") == manifest(version=1)


def test_older_or_same_object_is_no_news_and_changes_nothing(cache: Cache) -> None:
    cache.put(manifest(version=10))

    assert not cache.put(manifest(version=10))
    assert not cache.put(manifest(version=9))
    assert cache.get("Service", "team", "a") == manifest(version=10)


def test_late_answer_does_not_bring_a_deleted_object_back(cache: Cache) -> None:
    cache.put(manifest(version=5))
    assert cache.forget(manifest(version=7))

    assert not cache.put(manifest(version=6))
    assert cache.get("Service", "team", "a") is None


def test_recreated_object_is_news(cache: Cache) -> None:
    cache.forget(manifest(version=7))

    assert cache.put(manifest(version=8))


def test_late_deletion_does_not_remove_the_recreated_object(cache: Cache) -> None:
    cache.put(manifest(version=8))

    assert not cache.forget(manifest(version=7))
    assert cache.get("Service", "team", "a") is not None


def test_list_drops_ghosts_and_keeps_what_was_written_after_it(cache: Cache) -> None:
    cache.put(manifest("ghost", version=5))
    cache.put(manifest("new", version=12))
    cache.put(manifest("known", version=6))
    cache.put(manifest("deployment", version=3, kind="Deployment"))

    news = cache.replace("Service", [Entry.of(manifest("known", version=6)), Entry.of(manifest("other", version=7))], listed_at=10)

    assert [entry.key.name for entry in news] == ["ghost", "other"]
    assert {item["metadata"]["name"] for item in cache.all("Service")} == {"new", "known", "other"}
    assert cache.get("Deployment", "team", "deployment") is not None


def test_late_answer_does_not_bring_back_what_a_later_list_did_not_show(cache: Cache) -> None:
    cache.replace("Service", [], listed_at=10)

    assert not cache.put(manifest(version=9))
    assert cache.put(manifest(version=11))


def test_list_from_the_past_takes_back_nothing_that_a_later_one_said(cache: Cache) -> None:
    cache.replace("Service", [], listed_at=10)
    cache.replace("Service", [Entry.of(manifest(version=4))], listed_at=5)

    assert not cache.put(manifest(version=9))


def test_kind_that_was_dropped_comes_back_with_the_next_list(cache: Cache) -> None:
    cache.put(manifest(version=5, owner="one"))
    cache.replace("Service", [], listed_at=5)

    listed = [Entry.of(manifest(version=5, owner="one"))]
    news = cache.replace("Service", listed, listed_at=5)

    assert news == listed
    assert cache.children("one") == tuple(listed)
    assert not cache.put(manifest(version=5))


def test_object_that_was_forgotten_by_mistake_comes_back_with_the_next_list(cache: Cache) -> None:
    cache.put(manifest(version=5))
    cache.forget(manifest(version=5))

    assert cache.replace("Service", [Entry.of(manifest(version=5))], listed_at=9)


def test_late_list_does_not_bring_back_what_was_deleted_after_it(cache: Cache) -> None:
    cache.put(manifest(version=5))
    cache.forget(manifest(version=10))

    assert cache.replace("Service", [Entry.of(manifest(version=5))], listed_at=9) == []
    assert cache.get("Service", "team", "a") is None


def test_list_of_one_namespace_leaves_the_others_alone(cache: Cache) -> None:
    cache.put(manifest("a", version=1))

    cache.replace("Service", [], listed_at=10, namespace="elsewhere")

    assert cache.get("Service", "team", "a") is not None


def test_children_are_found_by_their_controller_and_follow_a_change_of_it(cache: Cache) -> None:
    cache.put(manifest("a", version=1, owner="one"))
    cache.put(manifest("b", version=2, owner="one"))
    cache.put(manifest("a", version=3, owner="two"))
    cache.forget(manifest("b", version=4))

    assert cache.children("one") == ()
    assert [child.key.name for child in cache.children("two")] == ["a"]


def test_reference_that_is_no_controller_does_not_own(cache: Cache) -> None:
    child = manifest(ownerReferences=[{"kind": KIND, "name": "bot", "uid": "one"}])

    assert controller_of(child) is None
    assert resource_key(child) is None


def test_marks_of_deletions_are_bounded(cache: Cache) -> None:
    for number in range(MAX_TOMBSTONES + 10):
        cache.forget(manifest(f"n{number}", version=number + 1))

    assert cache.put(manifest("n0", version=1))
    assert not cache.put(manifest(f"n{MAX_TOMBSTONES + 9}", version=1))


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        (manifest("bot", kind=KIND), ResourceKey("team", "bot")),
        (manifest("bot-system-prompt", owner="one"), ResourceKey("team", "bot")),
        (manifest("bot-x7k", kind="EndpointSlice", labels={"app.kubernetes.io/instance": "bot"}), ResourceKey("team", "bot")),
        (manifest("ownerless", labels={"app.kubernetes.io/instance": "bot"}), ResourceKey("team", "bot")),
        (manifest("foreign"), None),
    ],
)
def test_an_object_belongs_to_the_resource_that_controls_it(child: Manifest, expected: ResourceKey | None) -> None:
    assert resource_key(child) == expected


class CacheMachine(RuleBasedStateMachine):
    """A cluster's history, delivered late, twice or not at all: the cache never goes back, and a list puts it right."""

    names = st.sampled_from(["a", "b", "c"])

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache()
        self.version = 0
        self.live: dict[str, Manifest] = {}
        self.history: list[tuple[str, Manifest]] = []
        self.newest: dict[str, int] = {}
        self.lists: list[tuple[int, dict[str, Manifest]]] = []

    @rule(name=names, owner=st.sampled_from(["one", "two", None]))
    def write(self, name: str, owner: str | None) -> None:
        self.version += 1
        self.live[name] = manifest(name, self.version, owner=owner)
        self.history.append(("MODIFIED", self.live[name]))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.live)))
        self.version += 1
        self.history.append(("DELETED", manifest(name, self.version)))
        del self.live[name]

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def deliver_any(self, data: st.DataObject) -> None:
        type_, item = data.draw(st.sampled_from(self.history))
        if type_ == "DELETED":
            self.cache.forget(item)
        else:
            self.cache.put(item)
        name = item["metadata"]["name"]
        self.newest[name] = max(self.newest.get(name, 0), int(item["metadata"]["resourceVersion"]))

    @rule()
    def list_all(self) -> None:
        self.lists.append((self.version, dict(self.live)))
        self.deliver_list(-1)

        assert {item["metadata"]["name"]: item for item in self.cache.all("Service")} == self.live

    @precondition(lambda self: self.lists)
    @rule(data=st.data())
    def deliver_late_list(self, data: st.DataObject) -> None:
        self.deliver_list(data.draw(st.integers(0, len(self.lists) - 1)))

    def deliver_list(self, number: int) -> None:
        version, listed = self.lists[number]
        self.cache.replace("Service", map(Entry.of, listed.values()), listed_at=version)
        for name in {"a", "b", "c"} - listed.keys():
            self.newest[name] = max(self.newest.get(name, 0), version)

    @rule()
    def drop_all(self) -> None:
        self.cache.replace("Service", (), listed_at=max((entry.version for entry in self.cache.entries("Service")), default=0))

    @invariant()
    def never_older_than_the_newest_that_was_delivered(self) -> None:
        for item in self.cache.all("Service"):
            assert int(item["metadata"]["resourceVersion"]) >= self.newest.get(item["metadata"]["name"], 0)

    @invariant()
    def index_agrees_with_the_objects(self) -> None:
        for uid in ("one", "two"):
            owned = {ObjectKey.of(item) for item in self.cache.all("Service") if (controller_of(item) or {}).get("uid") == uid}
            assert {child.key for child in self.cache.children(uid)} == owned


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=40)
