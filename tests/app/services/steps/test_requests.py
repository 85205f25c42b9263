"""Stored requests, also those of other releases."""

from typing import Any

import pytest

from app.db.tables import Job
from app.services.steps.requests import ForgetRequest, LearnRequest, request_of

LEARN = {"uploads": ["upl_1", "upl_2"], "base_version": 3, "options": {"epochs": 2}}


@pytest.mark.parametrize("more", [{}, {"field_of_a_newer_release": True}])
def test_a_request_to_learn_is_read(more: dict[str, Any]) -> None:
    request = request_of(Job(kind="learn", request={**LEARN, **more}))
    assert request == LearnRequest(
        uploads=["upl_1", "upl_2"], base_version=3, options={"epochs": 2}
    )
    assert isinstance(request, LearnRequest)
    assert (request.on_existing, request.max_minutes) == ("error", None)


def test_a_request_to_forget_is_read_without_its_uploads() -> None:
    stored = {"classes": ["a"], "purge": True, "base_version": None, "uploads": []}
    request = request_of(Job(kind="forget", request=stored))
    assert request == ForgetRequest(kind="forget", classes=["a"], purge=True)
