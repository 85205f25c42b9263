"""The Open Inference Protocol, spoken by Triton's client to a running service."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.db.engine import Database
from app.settings import Settings
from app.storage import BlobStore
from tests.app.api.test_event_stream import Running, serving
from tests.app.api.test_v2 import FILES, two_versions
from tests.app.keyed import bearer, new_key
from tests.app.learnt import LABELS
from tests.databases import ONE_KIND_AT_FIRST
from tests.docs.blocks import snippets

# It wants another greenlet than what is locked, so `make test-triton` has it beside that.
triton = pytest.importorskip("tritonclient.http", reason="run make test-triton")
InferenceServerException = pytest.importorskip("tritonclient.utils").InferenceServerException

pytestmark = ONE_KIND_AT_FIRST

PIXELS = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in FILES])


@pytest.fixture
def running(settings: Settings, database: Database, store: BlobStore) -> Iterator[Running]:
    with two_versions(settings, database, store) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[Any]:
    url = running.http.base_url
    with triton.InferenceServerClient(f"{url.host}:{url.port}") as client:
        yield client


def files_input(files: list[bytes] = FILES) -> Any:
    tensor = triton.InferInput("image", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, object))
    return tensor


def pixels_input(*, binary: bool) -> Any:
    tensor = triton.InferInput("image", list(PIXELS.shape), "UINT8")
    tensor.set_data_from_numpy(PIXELS, binary_data=binary)
    return tensor


def expected(running: Running) -> list[dict[str, Any]]:
    form = [("files", ("x", file, "image/png")) for file in FILES]
    found: list[dict[str, Any]] = running.http.post("/predict", files=form).json()["results"]
    return found


def check(result: Any, results: list[dict[str, Any]]) -> None:
    # From bytes as they are, from JSON decoded.
    labels = [x if isinstance(x, str) else x.decode() for x in result.as_numpy("label")]
    assert labels == [each["label"] for each in results]
    for scores, each in zip(result.as_numpy("scores"), results, strict=True):
        ranked = {entry["label"]: entry["score"] for entry in each["ranked"]}
        found = dict(zip(LABELS, scores.tolist(), strict=True))
        assert found == pytest.approx(ranked, abs=1e-5)
    assert result.as_numpy("p_known").tolist() == pytest.approx(
        [each["p_known"] for each in results]
    )


def test_the_page_prints_what_the_service_answers(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sign.jpg").write_bytes(FILES[0])
    (code,) = snippets("docs/inference-protocol.md", "python")
    url = running.http.base_url
    exec(code.replace("127.0.0.1:8000", f"{url.host}:{url.port}"), {})
    said = capsys.readouterr().out
    assert expected(running)[0]["label"] in said


def test_files_and_pixels_get_the_predictions_of_the_service(running: Running, client: Any) -> None:
    results = expected(running)
    check(client.infer("signs", [files_input()]), results)
    check(client.infer("signs", [files_input()], model_version="2"), results)
    for binary in (True, False):
        outputs = [
            triton.InferRequestedOutput(name, binary_data=binary)
            for name in ("label", "scores", "p_known")
        ]
        check(client.infer("signs", [pixels_input(binary=binary)], outputs=outputs), results)
    one = client.infer("signs", [files_input(FILES[:1])], request_id="first")
    assert one.get_response()["id"] == "first"
    assert one.get_response()["model_version"] == "2"


def test_another_version_answers_by_its_number(client: Any) -> None:
    found = client.infer("signs", [files_input()], model_version="1")
    assert found.as_numpy("scores").shape == (3, 2)


def test_classification_ranks_the_best(running: Running, client: Any) -> None:
    output = triton.InferRequestedOutput("scores", class_count=2)
    found = client.infer("signs", [files_input()], outputs=[output]).as_numpy("scores")
    assert found.shape == (3, 2)
    for row, each in zip(found, expected(running), strict=True):
        for text, entry in zip(row, each["ranked"][:2], strict=True):
            score, column, label = text.decode().split(":", 2)
            assert (LABELS[int(column)], label) == (entry["label"], entry["label"])
            assert float(score) == pytest.approx(entry["score"], abs=1e-5)


def test_what_is_there_is_described(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("signs")
    assert client.is_model_ready("signs", "1")
    assert not client.is_model_ready("signs", "9")
    assert not client.is_model_ready("nothing")
    assert "classification" in client.get_server_metadata()["extensions"]
    described = client.get_model_metadata("signs")
    assert described["versions"] == ["2"]
    assert described["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert described["outputs"][1] == {"name": "scores", "datatype": "FP32", "shape": [-1, 3]}
    config = client.get_model_config("signs")
    assert config["parameters"]["labels"]["string_value"].split("\n") == list(LABELS)
    index = client.get_model_repository_index()
    assert [(each["name"], each["version"], each["state"]) for each in index] == [
        ("signs", "2", "READY")
    ]


def test_what_is_wrong_is_said(running: Running, client: Any) -> None:
    def refusal(**given: Any) -> str:
        with pytest.raises(InferenceServerException) as caught:
            client.infer(**{"model_name": "signs", "inputs": [files_input()], **given})
        return str(caught.value)

    assert "[404] " in refusal(model_name="nothing")
    assert "Image 1: " in refusal(inputs=[files_input([FILES[0], b"not an image"])])
    unknown = triton.InferRequestedOutput("logits")
    assert "ask for label, scores, p_known" in refusal(outputs=[unknown])
    ranked = triton.InferRequestedOutput("label", class_count=2)
    assert "classification is for scores" in refusal(outputs=[ranked])
    floats = triton.InferInput("image", [1, 3, 8, 8], "FP32")
    floats.set_data_from_numpy(np.zeros((1, 3, 8, 8), np.float32))
    assert "BYTES" in refusal(inputs=[floats])
    planes = triton.InferInput("image", [1, 3, 8, 8], "UINT8")
    planes.set_data_from_numpy(np.zeros((1, 3, 8, 8), np.uint8))
    assert "[batch, height, width, 3]" in refusal(inputs=[planes])


def test_keys_are_those_of_the_service(settings: Settings, database: Database) -> None:
    with serving(settings.model_copy(update={"keys": "required"})) as running:
        url = running.http.base_url
        with triton.InferenceServerClient(f"{url.host}:{url.port}") as client:
            assert client.is_server_ready()
            with pytest.raises(InferenceServerException, match="401"):
                client.get_model_repository_index()
            headers = bearer(new_key(database, "predict"))
            assert client.get_model_repository_index(headers=headers) == []
