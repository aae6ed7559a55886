"""The models that the API knows, from `models.json`: the one place where they are named. Newest first, as the API lists them."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from anthropic_simulator.errors import InvalidRequest, NotFound

Lifecycle = Literal["active", "deprecated", "retired"]
MAX_PAGE = 1000


class Model(BaseModel):
    """One model, field for field as GET /v1/models/{id} answers it; dates stay text, as they are only passed on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["model"] = "model"
    id: str
    display_name: str
    line: str | None
    created_at: str
    lifecycle: Lifecycle
    deprecated_at: str | None
    retires_at: str | None
    max_input_tokens: int
    max_tokens: int
    capabilities: None = None


class ModelPage(BaseModel):
    """One page of GET /v1/models."""

    data: list[Model]
    has_more: bool
    first_id: str | None
    last_id: str | None


MODELS: Sequence[Model] = tuple(
    TypeAdapter(list[Model]).validate_json(files("anthropic_simulator").joinpath("models.json").read_bytes()),
)
_BY_ID = {model.id: model for model in MODELS}


def find_model(model_id: str) -> Model:
    """Return the model of that id, whatever its lifecycle; raises NotFound."""
    if model := _BY_ID.get(model_id):
        return model
    raise NotFound(f"model: {model_id}")


def find_callable_model(model_id: str) -> Model:
    """Return the model of that id if it answers messages; a retired one raises NotFound like one that never was."""
    model = find_model(model_id)
    if model.lifecycle == "retired":
        raise NotFound(f"model: {model_id}")
    return model


def list_models(
    *,
    lifecycles: Sequence[str] = (),
    limit: int = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> ModelPage:
    """Return one page: the `limit` models after `after_id` or before `before_id`; without `lifecycles` all but retired ones.

    Raises InvalidRequest for a limit outside 1…1000, both cursors at once, or one that is not in the list.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"limit: Input should be between 1 and {MAX_PAGE}")
    if after_id and before_id:
        raise InvalidRequest("before_id: may not be given together with after_id")
    wanted = set(lifecycles) or {"active", "deprecated"}
    models = [model for model in MODELS if model.lifecycle in wanted]
    if before_id:
        end = _position(models, "before_id", before_id)
        page = models[max(0, end - limit) : end]
        return _page(page, has_more=end > limit)
    start = _position(models, "after_id", after_id) + 1 if after_id else 0
    return _page(models[start : start + limit], has_more=start + limit < len(models))


def _page(models: list[Model], *, has_more: bool) -> ModelPage:
    return ModelPage(
        data=models,
        has_more=has_more,
        first_id=models[0].id if models else None,
        last_id=models[-1].id if models else None,
    )


def _position(models: Sequence[Model], parameter: str, model_id: str) -> int:
    for position, model in enumerate(models):
        if model.id == model_id:
            return position
    raise InvalidRequest(f"{parameter}: no model {model_id!r} in this list")
