"""Batches of images to predict."""

from accrue_client.predicting import batches


def test_batches_keep_the_order_and_stay_within_their_bounds() -> None:
    images = [b"x" * size for size in (10, 20, 90, 200, 5, 5, 5)]
    found = list(batches(iter(images), size=2, limit=100))
    assert [[len(image) for image in batch] for batch in found] == [
        [10, 20],
        [90],
        [200],
        [5, 5],
        [5],
    ]
