"""Classifiers: they learn, and predict."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack, overload

from accrue_client import operations
from accrue_client.blocking.jobs import Job
from accrue_client.blocking.session import Session
from accrue_client.blocking.versions import Version
from accrue_client.http_api import classifier_path
from accrue_client.images import ImageLike, is_image
from accrue_client.predicting import AT_ONCE, AskedFields, batches, predict_batch, predict_one
from accrue_client.progress import Tell, teller
from accrue_client.sources import GroupBy, Split
from accrue_client.telling import tell_of_upload
from accrue_client.views import ClassifierView, Prediction, Unreadable


class Classifier:
    """A classifier; `info` is what the service said of it last."""

    def __init__(self, session: Session, info: ClassifierView) -> None:
        self._session = session
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self.info.name

    def learn(
        self,
        source: Any,
        *,
        label: str | None = None,
        split: Split | None = None,
        group: GroupBy | None = None,
        names: str | None = None,
        strict: bool = False,
        resume: str | None = None,
        on_existing: str | None = None,
        base_version: int | str | None = None,
        options: Mapping[str, Any] | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook: Mapping[str, str] | None = None,
        progress: bool | Tell = False,
    ) -> Job:
        """Send images and queue a job that learns them.

        `source` is a folder of class folders, a zip or tar of one, `{label: [images]}`, a
        DataFrame with the columns image and label, images of one class with `label`, or an
        `Upload`. Images are paths, bytes, images of Pillow or arrays. What is not taken is warned
        of; with `strict` all is taken or nothing. `resume` continues an upload that was cut off.
        `description` and `metadata` are noted about the version.

        Raises InvalidSourceError, UploadInterruptedError, UploadLeftError and ProblemError.
        """
        job = {
            "on_existing": on_existing,
            "base_version": base_version,
            "options": options,
            "description": description,
            "metadata": metadata,
            "webhook": webhook,
        }
        steps = operations.learn(
            self._session.api,
            self.name,
            source,
            teller(progress),
            job,
            label=label,
            split=split,
            group=group,
            names=names,
            strict=strict,
            resume=resume,
        )
        queued, sent = self._session.threads.run(steps)
        tell_of_upload(sent)
        return Job(self._session, queued, sent)

    @overload  # a str is one image, though iterable
    def predict(  # type: ignore[overload-overlap]
        self, images: ImageLike, **asked: Unpack[AskedFields]
    ) -> Prediction: ...

    @overload
    def predict(
        self, images: Iterable[ImageLike], **asked: Unpack[AskedFields]
    ) -> list[Prediction | Unreadable]: ...

    def predict(
        self, images: ImageLike | Iterable[ImageLike], **asked: Unpack[AskedFields]
    ) -> Prediction | list[Prediction | Unreadable]:
        """Return a `Prediction` of one image, or a list of `Prediction | Unreadable` of several.

        Many images are sent in batches, several at once. Raises UnreadableImageError where the only
        image cannot be read.
        """
        if is_image(images):
            steps = predict_one(self._session.api, self.name, images, asked)
            return self._session.threads.run(steps)
        return list(self.predict_each(images, **asked))

    def predict_each(
        self, images: Iterable[ImageLike], **asked: Unpack[AskedFields]
    ) -> Iterator[Prediction | Unreadable]:
        """Yield predictions in the order of the images, reading only a little ahead."""
        api, name = self._session.api, self.name
        many = (predict_batch(api, name, batch, asked) for batch in batches(images))
        for answers in self._session.threads.each(many, AT_ONCE):
            yield from answers

    def versions(
        self, *, since: datetime | None = None, metadata: Mapping[str, str] | None = None
    ) -> list[int]:
        """Return the numbers of the versions made `since` a time, and that have the `metadata`."""
        steps = operations.list_version_numbers(self._session.api, self.name, since, metadata)
        return self._session.threads.run(steps)

    def version(self, reference: int | str = "live") -> Version:
        """Return a version by its number or an alias. Raises VersionNotFoundError."""
        steps = operations.get_version(self._session.api, self.name, reference)
        return Version(self._session, self.name, self._session.threads.run(steps))

    def forget(
        self,
        classes: Sequence[str],
        *,
        purge: bool = False,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Job:
        """Queue a job that makes a version without some classes."""
        request = {"kind": "forget", "classes": list(classes), "purge": purge}
        return self._start({**request, "description": description, "metadata": metadata})

    def correct(
        self,
        labels: Mapping[str, str | None],
        *,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Job:
        """Queue a job that gives images, by their hashes, other labels; None leaves one out."""
        request = {"kind": "correct", "images": operations.corrections(labels)}
        return self._start({**request, "description": description, "metadata": metadata})

    def update(self, **fields: Any) -> None:
        """Change fields of the classifier."""
        steps = operations.update_classifier(self._session.api, self.name, fields)
        self.info = self._session.threads.run(steps)

    def delete(self, *, confirm: str | None = None) -> None:
        """Delete the classifier; with its versions only if `confirm` is its name.

        Raises ConfirmationRequiredError and ClassifierInUseError.
        """
        steps = self._session.api.delete(classifier_path(self.name), confirm=confirm)
        self._session.threads.run(steps)

    def _start(self, request: Mapping[str, Any]) -> Job:
        steps = operations.start_job(self._session.api, self.name, request)
        return Job(self._session, self._session.threads.run(steps), None)


class Classifiers:
    """The classifiers of a workspace."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, name: str, **fields: Any) -> Classifier:
        """Make a classifier. `fields` are those of `POST /v1/classifiers`; none are needed.

        Raises ClassifierExistsError, InvalidOptionsError.
        """
        steps = operations.create_classifier(self._session.api, name, fields)
        return Classifier(self._session, self._session.threads.run(steps))

    def get(self, name: str) -> Classifier:
        """Return a classifier. Raises ClassifierNotFoundError."""
        steps = operations.get_classifier(self._session.api, name)
        return Classifier(self._session, self._session.threads.run(steps))

    def list(self) -> "list[Classifier]":
        """Return all classifiers."""
        found = self._session.threads.run(operations.list_classifiers(self._session.api))
        return [Classifier(self._session, view) for view in found]
