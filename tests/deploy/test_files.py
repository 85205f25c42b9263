"""The files of the deployment agree with each other and with the software. Needs no Docker."""

import re
from typing import Any

import pytest
import yaml
from pydantic_core import PydanticUndefined

from app.settings import Settings
from tests.deploy.docker import ROOT

FILES = ("docker-compose.yml", "docker-compose.gpu.yml")
OURS = ("migrate", "api", "worker")
# What the image and docker-compose.yml decide, or the passwords that have names of their own.
GIVEN = {
    "ACCRUE_DATA_DIR",
    "ACCRUE_HOST",
    "ACCRUE_PORT",
    "ACCRUE_KEYS",
    "ACCRUE_DATABASE",
    "ACCRUE_DATABASE_PASSWORD",
    "ACCRUE_BROKER",
    "ACCRUE_BROKER_PASSWORD",
}


def text(name: str) -> str:
    return (ROOT / name).read_text()


def services(name: str = "docker-compose.yml") -> dict[str, Any]:
    return yaml.safe_load(text(name))["services"]


def example() -> dict[str, str]:
    """The variables of .env.example with the values that it shows, commented out or not."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text(".env.example"), re.MULTILINE))


def passed_on() -> set[str]:
    """Variables that reach one of our containers as they are."""
    return {
        name
        for service in services().values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }


def repeated(node: yaml.Node) -> list[str]:
    """The keys that a mapping below a node has twice."""
    if isinstance(node, yaml.SequenceNode):
        return [key for item in node.value for key in repeated(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    below = [key for _, value in node.value for key in repeated(value)]
    return [key for key in set(keys) if keys.count(key) > 1] + below


@pytest.mark.parametrize("name", FILES)
def test_no_key_is_given_twice(name: str) -> None:
    # docker-compose 1.29 takes the last one, Docker Compose v2 refuses the file.
    assert repeated(yaml.compose(text(name))) == []


def test_every_setting_can_be_set() -> None:
    settings = {f"ACCRUE_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in passed_on() if name.startswith("ACCRUE_")} == settings - GIVEN


def test_the_example_names_every_variable_and_no_other() -> None:
    used = {name for file in FILES for name in re.findall(r"\$\{(\w+)", text(file))}
    assert set(example()) == used | passed_on()


def test_the_example_names_each_variable_once() -> None:
    names = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text(".env.example"), re.MULTILINE)
    assert sorted(names) == sorted(set(names))


def test_the_example_shows_the_defaults() -> None:
    for file in FILES:
        for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", text(file)):
            assert example()[name] == default, name
    for name, field in Settings.model_fields.items():
        shown = example().get(f"ACCRUE_{name.upper()}", "")
        if shown:
            assert field.default is not PydanticUndefined
            assert getattr(Settings(**{name: shown}), name) == field.default, name


def test_no_password_has_a_default() -> None:
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert example()[name] == ""
        assert f"${{{name}:?" in text("docker-compose.yml")
        assert f"${{{name}:-" not in text("docker-compose.yml")


@pytest.mark.parametrize("name", sorted(services()))
def test_containers_may_do_little(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "logging", "restart"} <= set(service)
    assert not {"privileged", "network_mode", "pid", "container_name"} & set(service)
    if "profiles" not in service:
        assert ("ports" in service) == (name == "api")
    assert "cap_add" not in service or name not in OURS


def test_database_and_broker_have_no_way_out() -> None:
    compose = yaml.safe_load(text("docker-compose.yml"))
    inside = {
        name for name, network in compose["networks"].items() if (network or {}).get("internal")
    }
    for name in ("postgres", "redis", "migrate"):
        assert set(compose["services"][name]["networks"]) <= inside


def test_what_the_image_copies_is_not_ignored() -> None:
    kept = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    needed = set(re.findall(r"^COPY ([^-\n].*) \S+$", text("Dockerfile"), re.MULTILINE))
    sources = {source for line in needed for source in line.split()} - {"."}
    sources |= set(re.findall(r" \./(\S+)$", text("Dockerfile"), re.MULTILINE))
    assert "clients/python" in sources
    for source in sources:
        assert any(source == each or source.startswith(f"{each}/") for each in kept), source
