"""``/v1/classifiers/{name}/versions`` and ``/v1/images``."""

from typing import Annotated

from fastapi import Path, Query, Response
from fastapi.responses import RedirectResponse

from app.api.access import Router, needs
from app.api.deps import DB, Config, LoadedModels, Processes, Store, Tensors, Thumbs, Workspace
from app.api.json_parameters import MetadataInQuery
from app.api.paging import DEFAULT_LIMIT, Limit, Page, Since
from app.api.problems import responses
from app.imaging.thumbnail import MEDIA_TYPE
from app.services.classifiers import measured_classes, versions
from app.services.classifiers.annotations import AnnotationsPatch
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.version_file import TensorsUnreadableError
from app.services.classifiers.version_views import (
    ExemplarView,
    MatrixRowView,
    MeasuredClassView,
    VersionSummary,
    VersionView,
)
from app.services.classifiers.versions import (
    ClassNotFoundError,
    ImageNotFoundError,
    ImageUnreadableError,
    VersionInUseError,
    VersionNotFoundError,
)
from app.services.requests import Sha256
from app.services.stored import StorageUnavailableError

router = Router(tags=["versions"], dependencies=[needs("predict", "train")])

# How long a signed link works, and how long clients may cache it. A download that begins with a
# cached link at the last moment has a minute left.
_LINK_SECONDS = 300
_LINK_CACHED_SECONDS = 240

_VERSIONS = "/v1/classifiers/{name}/versions"
Reference = Annotated[str, Path(description="A version's number or an alias.")]
Behind = Annotated[int, Query(ge=-1, lt=10**9, description="`next` of the previous page.")]
# The index of a class and a rank in it.
BehindExemplar = Annotated[
    str, Query(pattern=r"^\d{1,9}\.(-1|\d{1,9})$", description="`next` of the previous page.")
]


@router.get(_VERSIONS, responses=responses(ClassifierNotFoundError))
def list_versions(
    name: str,
    db: DB,
    workspace: Workspace,
    metadata: MetadataInQuery,
    since: Since = None,
    limit: Limit = DEFAULT_LIMIT,
    after: Annotated[int | None, Query(ge=1, lt=10**9)] = None,
) -> Page[VersionSummary]:
    """List a classifier's versions, newest first."""
    found = versions.page(
        db,
        workspace,
        name,
        since=since,
        metadata=metadata,
        limit=limit + 1,
        before=after,
    )
    return Page.of(found, limit, lambda view: str(view.number))


@router.get(
    _VERSIONS + "/{version}", responses=responses(ClassifierNotFoundError, VersionNotFoundError)
)
def get_version(
    name: str, version: Reference, db: DB, workspace: Workspace, models: LoadedModels
) -> VersionView:
    """Return one version by its number or an alias."""
    found = versions.get(db, workspace, name, version)
    engine = models.engine(workspace, name, found.number, found.aliases)
    return found.model_copy(update={"engine": engine})


@router.patch(
    _VERSIONS + "/{version}",
    dependencies=[needs("train")],
    responses=responses(ClassifierNotFoundError, VersionNotFoundError),
)
def annotate_version(
    name: str, version: Reference, body: AnnotationsPatch, db: DB, workspace: Workspace
) -> VersionView:
    """Change the description and the metadata of a version."""
    return versions.annotate(db, workspace, name, version, body)


@router.get(
    _VERSIONS + "/{version}/classes",
    responses=responses(
        ClassifierNotFoundError,
        VersionNotFoundError,
        TensorsUnreadableError,
        StorageUnavailableError,
    ),
)
def list_classes(
    name: str,
    version: Reference,
    db: DB,
    tensors: Tensors,
    workspace: Workspace,
    limit: Limit = DEFAULT_LIMIT,
    after: Behind = -1,
) -> Page[MeasuredClassView]:
    """List the classes that a version knows, with the accuracy on each."""
    found = measured_classes.page(
        db, tensors, workspace, name, version, limit=limit + 1, after=after
    )
    return Page.of(found, limit, lambda view: str(view.index))


@router.get(
    _VERSIONS + "/{version}/matrix",
    responses=responses(ClassifierNotFoundError, VersionNotFoundError),
)
def list_matrix(
    name: str,
    version: Reference,
    db: DB,
    workspace: Workspace,
    limit: Limit = DEFAULT_LIMIT,
    after: Behind = -1,
) -> Page[MatrixRowView]:
    """List the rows of a version's accuracy matrices, oldest first."""
    found = versions.matrix(db, workspace, name, version, limit=limit + 1, after=after)
    return Page.of(found, limit, lambda view: str(view.number))


@router.delete(
    _VERSIONS + "/{version}",
    status_code=204,
    dependencies=[needs("admin")],
    response_class=Response,
    responses=responses(ClassifierNotFoundError, VersionNotFoundError, VersionInUseError),
)
def delete_version(
    name: str, version: Reference, db: DB, workspace: Workspace, together: Processes
) -> None:
    """Delete a version that no alias and no unfinished job needs."""
    versions.delete(db, workspace, name, version)
    together.swap()


@router.get(
    _VERSIONS + "/{version}/exemplars",
    dependencies=[needs("train")],
    responses=responses(ClassifierNotFoundError, VersionNotFoundError, ClassNotFoundError),
)
def list_exemplars(
    name: str,
    version: Reference,
    db: DB,
    workspace: Workspace,
    label: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Limit = DEFAULT_LIMIT,
    after: BehindExemplar = "0.-1",
) -> Page[ExemplarView]:
    """List exemplars class by class, in herding order."""
    index, rank = map(int, after.split("."))
    found = versions.exemplars(
        db, workspace, name, version, label=label, limit=limit + 1, after=(index, rank)
    )
    return Page.of(found, limit, lambda view: f"{view.index}.{view.rank}")


@router.get(
    "/v1/images/{sha256}",
    dependencies=[needs("train")],
    response_class=Response,
    responses={
        **responses(ImageNotFoundError, ImageUnreadableError, StorageUnavailableError),
        200: {"description": "The image's bytes.", "content": {"image/*": {}}},
        307: {"description": "A link to the bytes that works for some minutes."},
    },
)
def get_image(
    sha256: Sha256,
    db: DB,
    store: Store,
    workspace: Workspace,
    settings: Config,
    thumbnails: Thumbs,
    width: Annotated[
        int | None,
        Query(ge=16, le=1024, description="Of a thumbnail: at most so many pixels wide and high."),
    ] = None,
) -> Response:
    """Return an image of an upload or a version, or a thumbnail."""
    if width is not None:
        data = thumbnails.get(db, store, workspace, sha256, width)
        return Response(data, media_type=MEDIA_TYPE, headers=_kept(f"{sha256}-{width}"))
    if settings.signed_links and (
        link := versions.image_link(db, store, workspace, sha256, _LINK_SECONDS)
    ):
        cached = f"private, max-age={_LINK_CACHED_SECONDS}"
        return RedirectResponse(link, 307, {"Cache-Control": cached})
    image, data = versions.image(db, store, workspace, sha256)
    return Response(data, media_type=image.media_type, headers=_kept(sha256))


def _kept(tag: str) -> dict[str, str]:
    """Return the headers of bytes that never change, under their tag."""
    return {
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": f'"{tag}"',
        "X-Content-Type-Options": "nosniff",
    }
