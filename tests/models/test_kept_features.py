"""Features kept of single images, and which image each row is of."""

import torch

from models.kept_features import KeptFeatures


def _kept() -> tuple[KeptFeatures, torch.Tensor, torch.Tensor]:
    features = torch.arange(12.0).view(6, 2).half()
    digests = torch.arange(6 * 32).view(6, 32).to(torch.uint8)
    kept = KeptFeatures()
    kept.add(features[:4], torch.tensor([1, 0, 1, 0]), digests[:4], classes=2)
    kept.add(features[4:], torch.tensor([2, 0]), digests[4:], classes=3)
    return kept, features, digests


def test_rows_are_class_by_class_and_step_by_step() -> None:
    kept, features, _ = _kept()
    rows, columns = kept.all()
    assert columns.tolist() == [0, 0, 0, 1, 1, 2]
    assert torch.equal(rows, features[[1, 3, 5, 0, 2, 4]])


def test_digests_stay_beside_their_rows_in_the_parts() -> None:
    kept, features, digests = _kept()
    parts = dict(kept.parts())
    assert sorted(parts) == ["features.0.0", "features.0.1", "features.1.0", "features.2.0"]
    restored = KeptFeatures.load(parts, 3)
    for part, positions in zip(restored.by_column[0], ([1, 3], [5]), strict=True):
        assert part.digests is not None
        assert torch.equal(part.features, features[positions])
        assert torch.equal(part.digests, digests[positions])


def test_parts_of_older_releases_have_no_digests() -> None:
    kept, features, _ = _kept()
    parts = {name: {"features": part["features"]} for name, part in kept.parts()}
    restored = KeptFeatures.load(parts, 3)
    assert [rows.digests for rows in restored.by_column[1]] == [None]
    assert torch.equal(restored.all()[0], features[[1, 3, 5, 0, 2, 4]])
    assert dict(restored.parts())["features.1.0"].keys() == {"features"}


def test_other_classes_keep_their_rows() -> None:
    kept, _, _ = _kept()
    left = kept.without([0])
    assert left.all()[1].tolist() == [0, 0, 1]
    assert left.by_column[0] is kept.by_column[1]
