"""The policy of docs/object-storage.md allows what a store does, and every part of it is needed."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from app.storage import BlobStore, open_store, s3_parts
from tests.docs.blocks import snippets
from tests.s3 import BUCKET, S3Server

POLICY = json.loads(*snippets("docs/object-storage.md", "json"))
ACTIONS = sorted(action for statement in POLICY["Statement"] for action in statement["Action"])
URL = f"s3://{BUCKET}/prefix"


def without(action: str) -> dict[str, Any]:
    statements = [
        {**statement, "Action": [each for each in statement["Action"] if each != action]}
        for statement in POLICY["Statement"]
    ]
    return {**POLICY, "Statement": statements}


Act = Callable[[str], BlobStore]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """Environments by the action that their policy lacks; "" is the whole policy."""
    policies = {"": POLICY} | {action: without(action) for action in ACTIONS}
    # What makes the bucket and the users is free; then signatures and policies are looked at.
    free = str(1 + 3 * len(policies))
    server = S3Server(tmp_path_factory.mktemp("s3"), INITIAL_NO_AUTH_ACTION_COUNT=free)
    iam = boto3.session.Session().client(
        "iam",
        endpoint_url=server.endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    made = {}
    for number, (action, policy) in enumerate(policies.items()):
        user = f"user{number}"
        iam.create_user(UserName=user)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
        made[action] = {
            **server.environment,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
    yield made
    server.stop()


@pytest.fixture
def act(keys: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Act:
    """A function that opens the storage with a key that lacks one action ("" for none)."""

    def act(lacking: str = "") -> BlobStore:
        for name, value in keys[lacking].items():
            monkeypatch.setenv(name, value)
        return open_store(URL)

    return act


def everything(store: BlobStore) -> None:
    """Everything that a store does."""
    store.check()
    for data in (b"small", bytes(s3_parts.PART_BYTES + 1)):
        for _ in range(2):
            sha256 = store.put(data)
        assert store.get(sha256) == data
        assert store.exists(sha256)
        assert not store.exists("0" * 64)
        assert store.put_at(sha256)
    store.write_document("a/b.json", b"{}")
    assert store.read_document("a/b.json") == b"{}"
    assert store.documents("a/") == ["a/b.json"]
    store.remove_document("a/b.json")
    store.remove_unfinished(datetime.now(UTC))
    for blob in list(store.stored()):
        store.delete(blob.sha256)


def test_the_policy_allows_everything(act: Act) -> None:
    everything(act())


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_is_needed(act: Act, action: str) -> None:
    client = act()._client  # type: ignore[attr-defined]
    client.create_multipart_upload(Bucket=BUCKET, Key="prefix/ab/cd/unfinished")
    with pytest.raises(PermissionError, match=r"refused \(AccessDenied\): set AWS_ACCESS_KEY_ID"):
        everything(act(action))


def test_another_prefix_is_refused(act: Act) -> None:
    act()
    with pytest.raises(PermissionError, match="AccessDenied"):
        open_store(f"s3://{BUCKET}/other").check()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"),
    ],
)
def test_a_key_that_is_none(
    act: Act, monkeypatch: pytest.MonkeyPatch, wrong: str, code: str
) -> None:
    act()
    monkeypatch.setenv(wrong, os.environ[wrong][:-1] + "?")
    with pytest.raises(PermissionError, match=code):
        open_store(URL).check()
