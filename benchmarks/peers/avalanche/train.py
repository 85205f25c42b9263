"""iCaRL by avalanche-lib on the work of a folder, with the rates of its own example.

    python train.py FOLDER

FOLDER holds ``work.json`` and ``images.npz`` (see `benchmarks.learning.work`); ``found.json`` is
written there.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import Dataset
from torchvision import transforms

warnings.filterwarnings("ignore")

from avalanche.benchmarks import nc_benchmark  # noqa: E402
from avalanche.models import IcarlNet, initialize_icarl_net, make_icarl_net  # noqa: E402
from avalanche.training.plugins import EvaluationPlugin  # noqa: E402
from avalanche.training.plugins.lr_scheduling import LRSchedulerPlugin  # noqa: E402
from avalanche.training.supervised.icarl import ICaRL  # noqa: E402

# Of avalanche's own iCaRL on CIFAR-100, with the milestones as parts of the epochs.
LR, DECAY, FALL, MILESTONES = 2.0, 1e-5, 1 / 5, (49 / 70, 63 / 70)


class Images(Dataset[tuple[Tensor, int]]):
    """Images as float tensors [3, S, S], normalised, and their classes."""

    def __init__(self, images: Tensor, targets: np.ndarray) -> None:
        self.images, self.targets = images, targets.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.targets[index]


def main(folder: Path) -> None:
    """Learn the tasks in turn and write the accuracy over all classes after each."""
    torch.set_num_threads(1)
    work = json.loads((folder / "work.json").read_text())
    torch.manual_seed(work["seed"])
    with np.load(folder / "images.npz") as arrays:
        train_x, test_x = (
            torch.from_numpy(arrays[name]).permute(0, 3, 1, 2).float() / 255
            for name in ("train_x", "test_x")
        )
        train_y, test_y = arrays["train_y"], arrays["test_y"]
    mean = train_x.mean(dim=(0, 2, 3), keepdim=True)
    std = train_x.std(dim=(0, 2, 3), keepdim=True)
    train = Images((train_x - mean) / std, train_y)
    test = Images((test_x - mean) / std, test_y)
    side = train_x.shape[-1]
    augment = transforms.Compose(
        [transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip()]
    )
    benchmark = nc_benchmark(
        train,
        test,
        n_experiences=work["tasks"],
        task_labels=False,
        fixed_class_order=list(range(work["classes"])),
        train_transform=augment,
    )
    model: IcarlNet = make_icarl_net(num_classes=work["classes"])
    model.apply(initialize_icarl_net)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=DECAY)
    milestones = [round(part * work["epochs"]) for part in MILESTONES]
    strategy = ICaRL(
        feature_extractor=model.feature_extractor,
        classifier=model.classifier,
        optimizer=optimizer,
        memory_size=work["exemplars"],
        buffer_transform=augment,
        fixed_memory=True,
        train_mb_size=work["batch"],
        train_epochs=work["epochs"],
        eval_mb_size=256,
        plugins=[LRSchedulerPlugin(MultiStepLR(optimizer, milestones, gamma=FALL))],
        evaluator=EvaluationPlugin(loggers=[]),
    )
    found = []
    for number, experience in enumerate(benchmark.train_stream):
        strategy.train(experience, num_workers=0)
        found.append(accuracy(strategy, test, (number + 1) * work["classes"] // work["tasks"]))
        print(f"task {number + 1}: {found[-1]:.3f}", flush=True)
    (folder / "found.json").write_text(json.dumps({"accuracies": found}))


@torch.no_grad()
def accuracy(strategy: ICaRL, test: Images, classes: int) -> float:
    """Return the share of the test images of the first `classes` that get the right one of them."""
    targets = torch.tensor(test.targets)
    chosen = (targets < classes).nonzero().flatten()
    strategy.model.eval()
    scores = torch.cat([strategy.model(test.images[part]) for part in chosen.split(256)])
    right = scores[:, :classes].argmax(dim=1) == targets[chosen]
    return float(right.double().mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
