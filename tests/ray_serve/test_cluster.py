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


def test_a_node_that_is_killed_under_load_costs_no_request(cluster: ServeCluster, test_set: TestSet) -> None:
    targets = ",".join(cluster.targets)
    gateways = cluster.gateways()
    victim = next(index for index in (1, 2) if gateways & cluster.pids_of_node(index))
    with cluster.client(target=targets, timeout=120.0) as client:
        client.wait_until_ready(STARTED_SECONDS)
        with Load(client, test_set.images[:1], ["fp32"], users=4) as load:
            load.wait_for(200, STARTED_SECONDS)
            cluster.kill_node(victim)
            load.wait_for(200, STARTED_SECONDS)
            # Serve has put another gateway in the place of the one that was lost, and it is at work.
            wait_until(lambda: len(cluster.gateways() - gateways) == 1, STARTED_SECONDS, cluster.log)
            load.wait_for(200, STARTED_SECONDS)
    assert load.errors == []
    cluster.start_node(victim)
