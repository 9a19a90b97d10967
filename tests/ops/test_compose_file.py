"""docker-compose.yml, Dockerfile and .dockerignore, read: there is no Docker where the tests run."""

from __future__ import annotations

import re
from typing import Any

import dramatiq
import pytest

import marketdata.actors  # noqa: F401 -- declare the queues
from tests.ops.compose import ROOT, compose, own_services, services
from tradebot import settings

SERVICES = services()
LONG_RUNNING = {name: service for name, service in SERVICES.items() if name != "migrate"}
WORKERS = {name: service for name, service in SERVICES.items() if name.startswith("worker-")}


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def each(found: dict[str, dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("service", [pytest.param(value, id=name) for name, value in found.items()])


def test_the_services_are_those_of_production() -> None:
    assert set(SERVICES) == {
        "postgres",
        "valkey",
        "migrate",
        "web",
        "worker-screen",
        "worker-trading",
        "worker-background",
        "scheduler",
        "feed",
        "user-streams",
        "paper-exchange",
    }
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["paper-exchange"]
    assert SERVICES["paper-exchange"]["profiles"] == ["paper"]


@each(SERVICES)
def test_a_service_runs_without_rights(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
    assert service["user"] not in ("", "root", "0", "0:0")
    assert not {"privileged", "cap_add", "pid", "ipc", "network_mode", "devices"} & set(service)


@each(SERVICES)
def test_nothing_is_published_beyond_loopback(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{WEB_PORT:-8000\}:8000", port)


def test_only_the_web_process_is_published() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]


def test_the_databases_reach_no_network_but_their_own() -> None:
    assert compose()["networks"]["inner"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == SERVICES["valkey"]["networks"] == ["inner"]


@each(SERVICES)
def test_an_image_has_a_version(service: dict[str, Any]) -> None:
    _, _, tag = service["image"].partition(":")
    tag = re.sub(r"\$\{[A-Z_]+:-(.*)\}", r"\1", tag)
    assert re.fullmatch(r"\d+(\.\d+)*", tag)


@each(LONG_RUNNING)
def test_a_service_is_started_again_and_has_a_health_check(service: dict[str, Any]) -> None:
    assert service["restart"] in ("always", "unless-stopped")
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(check["timeout"]) < seconds(check["interval"])
    assert seconds(check["start_period"]) > 0


def test_migrate_runs_once_and_all_of_the_project_wait_for_it() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["command"] == ["python", "manage.py", "migrate", "--no-input"]
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name, service in own_services().items():
        if name in ("migrate", "paper-exchange"):
            continue
        assert service["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy"},
            "valkey": {"condition": "service_healthy"},
        }, name


@each(own_services())
def test_the_project_runs_from_one_image_and_can_be_scaled(service: dict[str, Any]) -> None:
    assert service["build"] == "."
    assert service["image"] == SERVICES["web"]["image"]
    assert service["user"] == "10001:10001"
    assert "container_name" not in service


def test_a_container_is_given_longer_to_stop_than_a_run_may_take() -> None:
    for name, service in own_services().items():
        if name != "paper-exchange":
            assert seconds(service["stop_grace_period"]) > settings.TASK_HARD_TIME_LIMIT, name
    for service in WORKERS.values():
        command = service["command"]
        wait_ms = int(command[command.index("--worker-shutdown-timeout") + 1])
        assert settings.TASK_HARD_TIME_LIMIT * 1000 < wait_ms < seconds(service["stop_grace_period"]) * 1000


def test_the_workers_take_messages_from_every_queue_once() -> None:
    taken = []
    for service in WORKERS.values():
        queues = service["command"][service["command"].index("--queues") + 1 :]
        assert service["healthcheck"]["test"][-len(queues) :] == queues
        taken += queues
    assert sorted(taken) == sorted(dramatiq.get_broker().get_declared_queues())


@pytest.mark.parametrize("name", ["scheduler", "feed", "user-streams"])
def test_scheduler_feed_and_user_streams_run_once(name: str) -> None:
    assert SERVICES[name]["deploy"] == {"replicas": 1}


def test_the_environment_is_shared_and_the_paper_exchange_gets_none_of_it() -> None:
    shared = compose()["x-environment"]
    for name, service in own_services().items():
        if name == "paper-exchange":
            assert not {"environment", "env_file"} & set(service)
        else:
            assert service["env_file"] == ".env"
            assert shared.items() <= service["environment"].items(), name
    assert shared["LOG_FORMAT"] == "json"


def test_no_password_stands_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for line in text.splitlines():
        if re.search(r"(PASSWORD|AUTH|SECRET|KEY)\w*: ", line):
            assert re.search(r": \$\{[A-Z_]+:\?set it in \.env\}$", line), line


def test_what_must_survive_is_on_named_volumes() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert mounts == ["postgres:/var/lib/postgresql", "paper:/data"]
    assert set(compose()["volumes"]) == {"postgres", "paper"}


def test_the_image_runs_as_nobody_and_holds_the_code_alone() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("FROM ")] == ["FROM python:3.11-slim-bookworm"]
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    copied = [line.split()[1] for line in lines if line.startswith("COPY ")]
    assert copied == ["requirements.txt", "manage.py", "tradebot", "marketdata", "trading", "bots"]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in ignored if not line.startswith("#")) == "*"
    assert [line[1:] for line in ignored if line.startswith("!")] == copied
