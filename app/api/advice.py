"""``/v1/advice``: which method, backbone and image size to choose for the images of uploads."""

from fastapi import Response

from app.api.access import Router, needs
from app.api.deps import DB, Caller, Config, JobDispatcher
from app.api.idempotency import Idempotency
from app.api.jobs import accepted, accepted_or, stored
from app.services.access.idempotency import IDEMPOTENCY_ERRORS
from app.services.access.limits import QUOTA_ERRORS
from app.services.advice import creation
from app.services.advice.creation import ADVISE_ERRORS
from app.services.advice.requests import AdviceRequest
from app.services.jobs.views import JobView

router = Router(prefix="/v1", tags=["jobs"], dependencies=[needs("train")])


@router.post(
    "/advice",
    status_code=202,
    responses=accepted_or(*ADVISE_ERRORS, *QUOTA_ERRORS, *IDEMPOTENCY_ERRORS),
)
def ask_for_advice(
    body: AdviceRequest,
    response: Response,
    db: DB,
    settings: Config,
    caller: Caller,
    dispatcher: JobDispatcher,
    once: Idempotency,
) -> JobView:
    """Queue a job that measures methods on the images of uploads; its report is the advice.

    It belongs to no classifier and makes no version.
    """
    job = creation.create(
        db,
        caller.workspace,
        body,
        on_created=stored(once),
        private_webhooks=settings.webhook_private,
        quota=caller.quota,
    )
    dispatcher.wake()
    response.headers.update(accepted(job))
    return job
