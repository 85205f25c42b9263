"""Versions, and how right they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accrue_client import operations
from accrue_client.blocking.session import Session
from accrue_client.http_api import classifier_path
from accrue_client.operations import ExportFormat, Used
from accrue_client.progress import Tell, teller
from accrue_client.sources import GroupBy
from accrue_client.telling import tell_of_upload
from accrue_client.views import EvaluatedImage, EvaluationView, JudgedImage, Suspect, VersionView


class Evaluation:
    """How right a version is. `info` has all figures."""

    def __init__(self, session: Session, job_id: str, info: EvaluationView) -> None:
        self._session = session
        self.job_id = job_id
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.info.images} images, accuracy {self.accuracy}>"

    @property
    def accuracy(self) -> float | None:
        """The share of images that are right."""
        return self.info.accuracy

    @property
    def confusion(self) -> Mapping[str, Mapping[str, int]]:
        """By true label, how many images were called what; zeros are left out."""
        return self.info.confusion.by_label

    def images(self, *, wrong: bool | None = None) -> list[EvaluatedImage]:
        """Return the images, the most surely wrong first; with `wrong`, the mistakes only."""
        steps = operations.evaluated_images(self._session.api, self.job_id, wrong)
        return self._session.threads.run(steps)


class Version:
    """A version of a classifier; `info` has its metrics."""

    def __init__(self, session: Session, classifier: str, info: VersionView) -> None:
        self._session = session
        self.classifier = classifier
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} of {self.classifier!r}>"

    @property
    def number(self) -> int:
        """Its number."""
        return self.info.number

    @property
    def accuracy(self) -> float | None:
        """The accuracy on held-out images; None where there are none."""
        return self.info.metrics.accuracy

    def evaluate(
        self,
        source: Any = None,
        *,
        group: GroupBy | None = None,
        task: int | None = None,
        false_alarms: float | None = None,
        progress: bool | Tell = False,
    ) -> Evaluation:
        """Measure the version on labelled images, or on those it holds out."""
        asked = {"task": task, "false_alarms": false_alarms}
        job_id, sent, found = self._session.threads.run(
            operations.evaluate(
                self._session.api,
                self.classifier,
                self.number,
                source,
                teller(progress),
                asked,
                group=group,
            )
        )
        if sent is not None and sent is not source:
            tell_of_upload(sent)
        return Evaluation(self._session, job_id, found)

    def suspects(self) -> list[Suspect]:
        """Return the images whose label is likely to be wrong. Raises NotJudgedError."""
        steps = operations.suspects(self._session.api, self.classifier, self.number)
        return self._session.threads.run(steps)

    def judged(
        self,
        *,
        used: Used | None = None,
        label: str | None = None,
        predicted: str | None = None,
        wrong: bool | None = None,
    ) -> list[JudgedImage]:
        """Return what the version says of the images that it judges, the most surely wrong first.

        `used` chooses held-out images or those that were trained on, `label` and `predicted` those
        of a class, `wrong` those that the version contradicts, or does not. Raises NotJudgedError
        and ClassNotFoundError.
        """
        steps = operations.judged(
            self._session.api, self.classifier, self.number, used, label, predicted, wrong
        )
        return self._session.threads.run(steps)

    def exemplars(self, label: str | None = None) -> list[dict[str, Any]]:
        """Return the exemplars of one or all classes. Raises ClassNotFoundError."""
        steps = operations.exemplars(self._session.api, self.classifier, self.number, label)
        return self._session.threads.run(steps)

    def promote(self, alias: str = "live") -> None:
        """Make an alias name this version."""
        steps = operations.promote(self._session.api, self.classifier, self.number, alias)
        self._session.threads.run(steps)

    def update(self, **fields: Any) -> None:
        """Change its `description` and `metadata`."""
        steps = operations.update_version(self._session.api, self.classifier, self.number, fields)
        self.info = self._session.threads.run(steps)

    def download(self, to: str | Path) -> None:
        """Write the version file, a tar archive."""
        steps = operations.download(self._session.api, self.classifier, self.number, Path(to))
        self._session.threads.run(steps)

    def export(self, to: str | Path, format: ExportFormat = "onnx") -> None:
        """Write the version as a model for other programs. Raises CannotExportError."""
        steps = operations.export(self._session.api, self.classifier, self.number, Path(to), format)
        self._session.threads.run(steps)

    def delete(self) -> None:
        """Delete the version. Raises VersionInUseError."""
        path = f"{classifier_path(self.classifier)}/versions/{self.number}"
        self._session.threads.run(self._session.api.delete(path))
