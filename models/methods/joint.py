"""Joint training: the upper bound, which keeps every image."""

from models.methods.base import Needs
from models.methods.finetune import Finetune
from models.step import Step


class Joint(Finetune):
    """Trains from the initial weights, on all images of all classes, at every step."""

    name = "joint"
    summary = "Keeps all images and trains on them again at every step: the upper bound."
    paper = "the baseline of Rebuffi et al., CVPR 2017, section 4"
    needs = Needs(all_images=True)

    def begin(self, step: Step) -> None:
        """Reset the network to the classifier's initial weights."""
        self.network.backbone.load_state_dict(step.initial_network().backbone.state_dict())
        for task in dict.fromkeys(step.tasks):
            self.network.head.grow(task, step.tasks.count(task), step.seed)

    def end(self, step: Step) -> None:
        """Keep every image for the next step."""
        step.memory.keep_all()
