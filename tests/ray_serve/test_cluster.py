"""What a cluster is for: a node that dies costs nobody anything, and replicas come and go with the load."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.load import Load
from support.serve_cluster import ServeCluster
from support.server_process import wait_until
from twinserve_loadtest.record.testset import TestSet, load_test_set

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

#: Until Ray has placed, started and warmed a replica, also where others use the processor.
STARTED_SECONDS = 300.0


@pytest.fixture(scope="module")
def test_set(digits: Path) -> TestSet:
    return load_test_set(digits / "mnist")


def test_replicas_grow_with_the_load_and_go_with_it(cluster: ServeCluster, test_set: TestSet) -> None:
    wait_until(lambda: len(cluster.replicas("int8")) == 1, STARTED_SECONDS, cluster.log)
    with cluster.client(timeout=120.0) as client, Load(client, test_set.images[:200], ["int8"], users=12) as load:
        wait_until(lambda: len(cluster.replicas("int8")) > 1, STARTED_SECONDS, cluster.log)
    assert load.errors == []
    wait_until(lambda: len(cluster.replicas("int8")) == 1, STARTED_SECONDS, cluster.log)
