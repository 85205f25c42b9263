"""What the images of a classifier's first step decide: the image size, where none was given."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.db.repositories import classifiers as classifier_rows, uploads as upload_rows
from app.db.tables import Classifier
from app.services.classifiers import choices, classifiers
from app.services.classifiers.spec import SMALL_SIDE, ClassifierSpec, sized, spec_of


def choose_size(
    session: Session, classifier: Classifier, upload_ids: Sequence[str]
) -> ClassifierSpec:
    """Give the classifier the image size for the images of uploads, and return its spec.

    Of two first jobs at once, the first to get here decides. Lock the uploads before. Raises
    ClassifierNotFoundError.
    """
    row = classifiers.require(session, classifier.workspace, classifier.name, for_update=True)
    spec = spec_of(row)
    if spec.image_size is not None:
        return spec
    small, images = upload_rows.count_small(session, upload_ids, side=SMALL_SIDE)
    # The median image is small where at least half of them are.
    spec = sized(spec, choices.image_size(small=2 * small >= images))
    row.spec = spec.model_dump(mode="json")
    session.flush()
    classifier_rows.bump_revision(session, row.id)
    return spec
