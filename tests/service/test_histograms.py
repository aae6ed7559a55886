from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client import Histogram as TheirHistogram

from chatbot_service.exposition import Counted
from chatbot_service.histograms import Histogram

BOUNDS = (0.005, 0.1, 1, 2.5, 1000)
LABELS = ["first", "second"]
OBSERVED = st.lists(
    st.tuples(st.tuples(st.sampled_from(["", 'a "b"\n']), st.sampled_from([200, 404])), st.sampled_from([*BOUNDS, 0, 0.3, 1e9]))
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there


def shown(histogram: Histogram) -> bytes:
    registry = CollectorRegistry()
    registry.register(Counted([histogram]))
    return generate_latest(registry)


def shown_by_theirs(labels: Sequence[str], observed: Sequence[tuple[tuple[object, ...], float]]) -> bytes:
    registry = CollectorRegistry()
    theirs = TheirHistogram("a_metric", "What is said of it.", labels, buckets=BOUNDS, registry=registry)
    for values, value in observed:
        (theirs.labels(*values) if labels else theirs).observe(value)
    return generate_latest(registry)


@given(OBSERVED)
def test_a_scrape_is_what_the_client_library_would_show(observed: list[tuple[tuple[str, int], float]]) -> None:
    ours = Histogram("a_metric", "What is said of it.", LABELS, bounds=BOUNDS)

    for values, value in observed:
        ours.series(*values).observe(value)

    assert shown(ours) == shown_by_theirs(LABELS, observed)


def test_without_labels_it_is_shown_before_anything_was_observed() -> None:
    assert shown(Histogram("a_metric", "What is said of it.", [], bounds=BOUNDS)) == shown_by_theirs([], [])


def test_what_is_announced_is_one_empty_bucket_until_it_is_observed() -> None:
    announced = Histogram("a_metric", "What is said of it.", ["kind"], bounds=BOUNDS)

    announced.announce("rare")

    assert shown(announced).decode().splitlines()[2:] == [
        'a_metric_bucket{kind="rare",le="+Inf"} 0.0',
        'a_metric_count{kind="rare"} 0.0',
        'a_metric_sum{kind="rare"} 0.0',
    ]

    announced.series("rare").observe(0.3)

    assert shown(announced) == shown_by_theirs(["kind"], [(("rare",), 0.3)])
