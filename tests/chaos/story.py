"""Whether the events of a job tell a story that can have happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.db.tables import FINAL_STATES, JobEvent

# What only a job that a worker holds may say.
_AT_WORK = {"phase", "epoch", "resumed", "not_resumed"}


@dataclass
class Story:
    """A job's life as its events tell it; `wrong` is what cannot have been."""

    state: str = ""
    attempt: int = 0
    published: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def _expect(self, event: JobEvent, *states: str) -> None:
        if self.state not in states:
            self.wrong.append(f"event {event.seq}: {event.type} while {self.state or 'not there'}")

    def tell(self, event: JobEvent) -> None:
        """Go on with the next event."""
        if event.type == "created":
            self._expect(event, "")
            self.state = "queued"
        elif event.type == "started":
            # A claim may take over a job whose worker was lost, before anybody says so.
            self._expect(event, "queued", "running")
            if event.data["attempt"] != self.attempt + 1:
                self.wrong.append(f"attempt {event.data['attempt']} after {self.attempt}")
            self.state, self.attempt = "running", event.data["attempt"]
        elif event.type in _AT_WORK:
            self._expect(event, "running", "cancelling")
        elif event.type == "warning":  # also that no worker is there
            self._expect(event, "queued", "running", "cancelling")
        elif event.type == "requeued":
            self._expect(event, "running", "failed", "cancelled")
            self.state = "queued"
        elif event.type == "cancelling":
            self._expect(event, "running")
            self.state = "cancelling"
        elif event.type == "published":
            self._expect(event, "running")
            self.published.append(event.data["version"])
        elif event.type == "succeeded":
            self._expect(event, "running")
            if len(self.published) != 1:
                self.wrong.append(f"succeeded with the versions {self.published}")
            self.state = "succeeded"
        elif event.type == "failed":
            self._expect(event, "running")
            self.state = "failed"
        elif event.type == "cancelled":
            self._expect(event, "queued", "running", "cancelling")
            self.state = "cancelled"
        else:
            self.wrong.append(f"event {event.seq} is of the unknown type {event.type}")


def read(events: Sequence[JobEvent]) -> Story:
    """Return the story of a job's events, which come in their order."""
    story = Story()
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        story.wrong.append(f"numbered {[event.seq for event in events]}")
    for event in events:
        story.tell(event)
    if story.state not in FINAL_STATES:
        story.wrong.append(f"ends as {story.state}")
    return story
