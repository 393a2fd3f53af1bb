"""The example for Kubernetes: its parts fit each other, the program, and what is in Redis while a picture waits."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import containers
import pytest
from ruamel.yaml import YAML
from workers import RedisServer

from py_image_dedup import cli
from py_image_dedup.config.table import ENTRIES
from py_image_dedup.config.values import variable
from py_image_dedup.remote.broker import Addresses, Workers
from py_image_dedup.remote.message import Job

Part = dict[str, Any]


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], Part]:
    """What the example makes, by kind and name."""
    read = YAML(typ="safe").load_all(containers.ROOT / "contrib/kubernetes/workers.yaml")
    return {(part["kind"], part["metadata"]["name"]): part for part in read}


def container(parts: dict[tuple[str, str], Part], name: str) -> Part:
    (only,) = parts["Deployment", name]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_the_worker_is_that_of_the_stack(parts: dict[tuple[str, str], Part]) -> None:
    """The same image, Redis and command, with settings and options that there are."""
    worker, stack = container(parts, "py-image-dedup-worker"), containers.services()
    assert worker["image"] == stack["worker"]["image"]
    assert worker["args"][0] == stack["worker"]["command"]
    assert container(parts, "py-image-dedup-redis")["image"] == stack["redis"]["image"]
    options = {option for parameter in cli.cli.commands["worker"].params for option in parameter.opts}
    assert {word for word in worker["args"][1:] if word.startswith("-")} <= options
    settings = {one["name"] for one in worker["env"]} - {"PASSWORD"}
    assert settings
    assert settings <= {variable(entry.key) for entry in ENTRIES}
    assert containers.image_environment()["PY_IMAGE_DEDUP_STATE_DIRECTORY"] in {
        mount["mountPath"] for mount in worker["volumeMounts"]
    }


def test_all_that_is_named_is_there(parts: dict[tuple[str, str], Part]) -> None:
    """Labels, secrets, addresses and what is scaled."""
    for kind, name in parts:
        if kind == "Deployment":
            spec = parts[kind, name]["spec"]
            assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
            for one in container(parts, name)["env"]:
                if "valueFrom" in one:
                    asked = one["valueFrom"]["secretKeyRef"]
                    assert asked["key"] in parts["Secret", asked["name"]]["stringData"]
    (secret,) = parts["TriggerAuthentication", "py-image-dedup"]["spec"]["secretTargetRef"]
    assert secret["parameter"] == "password"
    assert secret["key"] in parts["Secret", secret["name"]]["stringData"]
    service = parts["Service", "py-image-dedup-redis"]["spec"]
    assert service["selector"] == parts["Deployment", "py-image-dedup-redis"]["spec"]["selector"]["matchLabels"]
    assert ("Deployment", parts["ScaledObject", "py-image-dedup-worker"]["spec"]["scaleTargetRef"]["name"]) in parts


@pytest.mark.redis
def test_what_is_counted_is_what_waits(parts: dict[tuple[str, str], Part], redis: RedisServer) -> None:
    """The list that scales the workers is the one in Redis that a job waits in."""
    scaled = parts["ScaledObject", "py-image-dedup-worker"]["spec"]
    (trigger,) = scaled["triggers"]
    counted = trigger["metadata"]
    url = urlsplit(container(parts, "py-image-dedup-worker")["env"][1]["value"].replace("$(PASSWORD)", "password"))
    assert (f"{url.hostname}:{url.port}", url.path) == (counted["address"], f"/{counted['databaseIndex']}")
    assert trigger["type"] == "redis"
    assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in parts
    assert re.fullmatch(r"[1-9]\d*", counted["listLength"])

    workers = Workers(Addresses(broker=redis.url, results=redis.url))
    try:
        for number in range(3):
            workers.ask(Job(f"job-{number}", "0" * 64, 1, 1))
    finally:
        workers.close()

    assert redis.client.llen(counted["listName"]) == 3
