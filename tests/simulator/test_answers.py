"""What holds for every answer, whatever is asked."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from anthropic_simulator.answers import count_tokens, derive_answer, derive_id
from anthropic_simulator.messages import count_deltas, encode_message, encode_stream
from anthropic_simulator.request import MessagesRequest

questions = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400).filter(str.strip)


def build_request(question: str, **more: Any) -> MessagesRequest:
    return MessagesRequest.model_validate(
        {"model": "claude-sonnet-5-5", "max_tokens": 4096, "messages": [{"role": "user", "content": question}]} | more
    )


@given(questions)
def test_same_request_gives_the_same_bytes(question: str) -> None:
    first, second = (derive_answer(build_request(question), body=question.encode(), events=None) for _ in range(2))

    assert encode_message(first) == encode_message(second)
    assert encode_stream(first, events=None) == encode_stream(second, events=None)


@given(questions, questions)
def test_different_questions_give_different_answers(first: str, second: str) -> None:
    answers = [derive_answer(build_request(question), body=question.encode(), events=None) for question in (first, second)]

    assert (answers[0].parts == answers[1].parts) == (first == second)


@given(questions, st.integers(1, 3000))
def test_events_is_the_number_of_deltas(question: str, events: int) -> None:
    answer = derive_answer(build_request(question), body=b"", events=events)

    assert count_deltas(answer, events=events) == events
    assert sum(frame.is_delta for frame in encode_stream(answer, events=events)) == events


@given(questions, st.integers(1, 200))
def test_answer_never_exceeds_max_tokens(question: str, max_tokens: int) -> None:
    answer = derive_answer(build_request(question, max_tokens=max_tokens), body=b"", events=None)

    assert 1 <= answer.output_tokens <= max_tokens


def test_ids_keep_their_sources_apart() -> None:
    assert derive_id("msg", b"ab", b"c") != derive_id("msg", b"a", b"bc")
    assert derive_id("msg", b"a").startswith("msg_01")


def test_tokens_are_four_characters_each() -> None:
    assert count_tokens("", "a", "abcd", "abcde") == 4
