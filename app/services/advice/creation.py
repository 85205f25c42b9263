"""Making a job that gives advice. Its request is checked here, before a worker gets it."""

from app.db.engine import Database
from app.db.repositories import events as event_rows, jobs as job_rows, uploads as upload_rows
from app.db.repositories.events import Event
from app.db.tables import Job
from app.ids import new_id
from app.services import similar_labels
from app.services.access.limits import NO_QUOTA, Quota, check_new_job
from app.services.advice.requests import KIND, AdviceRequest
from app.services.jobs import views, webhooks
from app.services.jobs.views import JobView, OnCreated
from app.services.jobs.webhooks import InvalidWebhookError
from app.services.steps import learning
from app.services.steps.creation import UnknownUploadError, lock_uploads
from app.services.uploads import uploads

# What creating a job may raise.
ADVISE_ERRORS = (UnknownUploadError, learning.NoTrainingImagesError, InvalidWebhookError)


def create(
    db: Database,
    workspace: str,
    request: AdviceRequest,
    *,
    on_created: OnCreated[JobView],
    private_webhooks: bool = False,
    quota: Quota = NO_QUOTA,
) -> JobView:
    """Queue a job. Raises one of `ADVISE_ERRORS` or of `QUOTA_ERRORS`.

    `private_webhooks` allows a webhook on a private network and by plain http.
    """
    if request.webhook is not None:
        webhooks.check(request.webhook, private=private_webhooks)
    upload_ids = list(dict.fromkeys(request.uploads))
    with db.transaction() as session:
        now = db.now(session)
        lock_uploads(session, workspace, upload_ids)
        counts = upload_rows.train_counts(session, upload_ids)
        learning.check_labels((), counts, "error")
        check_new_job(session, workspace, quota)
        asked = request.model_dump(mode="json", exclude={"webhook"})
        job = Job(
            id=new_id("job"),
            workspace=workspace,
            classifier_id=None,
            kind=KIND,
            request={**asked, "uploads": upload_ids},
            state="queued",
            created_at=now,
        )
        job_rows.add(session, job, upload_ids)
        events = [
            Event("created", "Queued."),
            *uploads.rejection_warnings(session, workspace, upload_ids),
            *(Event("warning", said, "warning") for said in similar_labels.warnings(counts)),
        ]
        event_rows.append(session, job.id, events, now=now)
        if request.webhook is not None:
            webhooks.add(session, job.id, request.webhook)
        view = views.view(session, workspace, job.id)
        on_created(session, view)
        return view
