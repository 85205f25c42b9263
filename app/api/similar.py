"""``…/versions/{version}/similar``: the images of a class that look most like another image."""

from functools import partial
from typing import Annotated

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from app.api.access import Router, needs
from app.api.deps import DB, Caller, LoadedModels, Store, Tensors
from app.api.predict_body import images_in
from app.api.predict_views import PredictBody, PredictForm, UnreadableError
from app.api.predicting import loaded
from app.api.problems import responses
from app.api.raw_body import raw_body
from app.api.versions import Reference
from app.imaging.reading import UnreadableImageError
from app.inference.errors import VersionLoadingError, VersionUnreadableError
from app.services.classifiers import remembered, versions
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.remembered import Used
from app.services.classifiers.version_file import TensorsUnreadableError
from app.services.classifiers.versions import ClassNotFoundError, VersionNotFoundError
from app.services.stored import StorageUnavailableError

# How many images of a class are looked at. Each takes a forward, when it is first looked at.
_LOOKED_AT = 200

router = Router(prefix="/v1/classifiers/{name}/versions/{version}", tags=["versions"])


class SimilarView(BaseModel):
    """A stored image that looks like the one that was sent."""

    sha256: str
    similarity: float = Field(description="Cosine of the features.")
    used: Used


class SimilarImagesView(BaseModel):
    """Images of a class, the most similar first."""

    classifier: str
    version: int
    label: str
    looked_at: int
    data: list[SimilarView]


@router.post(
    "/similar",
    dependencies=[needs("train")],
    responses=responses(
        ClassifierNotFoundError,
        VersionNotFoundError,
        VersionUnreadableError,
        VersionLoadingError,
        ClassNotFoundError,
        TensorsUnreadableError,
        StorageUnavailableError,
        UnreadableError,
    ),
    openapi_extra=raw_body(
        form=PredictForm, document=PredictBody, raw="One image, in a format that uploads may have."
    ),
)
async def find_similar(
    request: Request,
    caller: Caller,
    name: str,
    version: Reference,
    db: DB,
    store: Store,
    tensors: Tensors,
    models: LoadedModels,
    label: Annotated[str, Query(max_length=1000, description="The class to look among.")],
    limit: Annotated[int, Query(ge=1, le=_LOOKED_AT)] = 6,
) -> SimilarImagesView:
    """Find the images of a class that look most like the one that is sent, to the network.

    Looked at are up to 200 exemplars of the class, or else labelled images.
    """
    [image] = await images_in(await request.body(), request.headers.get("content-type"), 1)
    if isinstance(image, UnreadableImageError):
        raise UnreadableError(str(image))
    found = await loaded(request, caller, name, version)

    def answer() -> SimilarImagesView:
        known = versions.label_of(db, caller.workspace, name, f"{found.number}", label)
        images = remembered.remembered(
            db, tensors, caller.workspace, name, f"{found.number}", known, _LOOKED_AT
        )
        uses = {each.sha256: each.used for each in images}
        try:
            ranked = found.similar(known).ranked(
                image, list(uses), partial(remembered.kept, db, store, caller.workspace)
            )
        except UnreadableImageError as error:
            raise UnreadableError(str(error)) from None
        models.cache.resized(found)
        return SimilarImagesView(
            classifier=name,
            version=found.number,
            label=known,
            looked_at=len(ranked),
            data=[
                SimilarView(sha256=sha256, similarity=similarity, used=uses[sha256])
                for sha256, similarity in ranked[:limit]
            ],
        )

    return await run_in_threadpool(answer)
