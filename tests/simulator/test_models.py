"""The catalogue as the SDK sees it: lifecycles, pages, cursors."""

from datetime import UTC, datetime

import anthropic
import pytest
from anthropic import AsyncAnthropic


@pytest.mark.parametrize(
    ("model", "lifecycle", "retires"),
    [
        ("claude-sonnet-5-5", "active", None),
        ("claude-sonnet-4-5", "deprecated", datetime(2026, 11, 30, tzinfo=UTC)),
        ("claude-3-5-sonnet-20241022", "retired", datetime(2025, 10, 28, tzinfo=UTC)),
    ],
)
async def test_model_says_its_lifecycle(client: AsyncAnthropic, model: str, lifecycle: str, retires: datetime | None) -> None:
    info = await client.models.retrieve(model)

    assert info.id == model
    assert info.type == "model"
    assert info.lifecycle == lifecycle
    assert info.retires_at == retires
    assert info.max_tokens is not None
    assert info.max_tokens > 0


async def test_unlisted_model_is_not_found(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: claude-unheard-of"):
        await client.models.retrieve("claude-unheard-of")


async def test_list_leaves_out_retired_models_unless_asked(client: AsyncAnthropic) -> None:
    usual = await client.models.list()
    retired = await client.models.list(lifecycle=["retired"])

    assert {model.lifecycle for model in usual.data} == {"active", "deprecated"}
    assert {model.lifecycle for model in retired.data} == {"retired"}


async def test_pages_of_two_add_up_to_the_whole_list(client: AsyncAnthropic) -> None:
    whole = await client.models.list(limit=1000)

    first = await client.models.list(limit=2)
    every = [model.id async for model in client.models.list(limit=2)]

    assert first.has_more is True
    assert first.first_id == whole.data[0].id
    assert first.last_id == whole.data[1].id
    assert every == [model.id for model in whole.data]
    assert whole.has_more is False


async def test_page_before_a_model_ends_right_before_it(client: AsyncAnthropic) -> None:
    whole = await client.models.list()

    page = await client.models.list(before_id=whole.data[3].id, limit=2)

    assert [model.id for model in page.data] == [model.id for model in whole.data[1:3]]
    assert page.has_more is True


@pytest.mark.parametrize("limit", [0, 1001])
async def test_limit_out_of_range_is_refused(client: AsyncAnthropic, limit: int) -> None:
    with pytest.raises(anthropic.BadRequestError, match="limit: "):
        await client.models.list(limit=limit)


async def test_cursor_that_is_not_in_the_list_is_refused(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="after_id: "):
        await client.models.list(after_id="claude-unheard-of")
