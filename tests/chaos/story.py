"""Checks that the events of a job are a possible sequence."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.db.tables import FINAL_STATES, JobEvent

_HELD = ("running", "cancelling")
# Of each type of event: in which states a job may say so, and its state then, where that changes.
_MOVES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "created": (("",), "queued"),
    # A claim may take over a job whose worker was lost before that is recorded.
    "started": (("queued", "running"), "running"),
    "phase": (_HELD, None),
    "epoch": (_HELD, None),
    "resumed": (_HELD, None),
    "not_resumed": (_HELD, None),
    "warning": (("queued", *_HELD), None),  # also that no worker is there
    "requeued": (("running", "failed", "cancelled"), "queued"),
    "cancelling": (("running",), "cancelling"),
    "published": (("running",), None),
    "succeeded": (("running",), "succeeded"),
    "failed": (("running",), "failed"),
    "cancelled": (("queued", *_HELD), "cancelled"),
}


@dataclass
class Story:
    """The life of a job according to its events; `wrong` lists what is impossible."""

    state: str = ""
    attempt: int = 0
    published: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def tell(self, event: JobEvent) -> None:
        """Go on with the next event."""
        if event.type not in _MOVES:
            self.wrong.append(f"event {event.seq} is of the unknown type {event.type}")
            return
        states, then = _MOVES[event.type]
        if self.state not in states:
            self.wrong.append(f"event {event.seq}: {event.type} while {self.state or 'not there'}")
        self.state = then or self.state
        if event.type == "started":
            if event.data["attempt"] != self.attempt + 1:
                self.wrong.append(f"attempt {event.data['attempt']} after {self.attempt}")
            self.attempt = event.data["attempt"]
        elif event.type == "published":
            self.published.append(event.data["version"])
        elif event.type == "succeeded" and len(self.published) != 1:
            self.wrong.append(f"succeeded with the versions {self.published}")


def read(events: Sequence[JobEvent]) -> Story:
    """Return the story of a job from its events, in order."""
    story = Story()
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        story.wrong.append(f"numbered {[event.seq for event in events]}")
    for event in events:
        story.tell(event)
    if story.state not in FINAL_STATES:
        story.wrong.append(f"ends as {story.state}")
    return story
