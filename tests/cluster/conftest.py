"""Several machines for a test of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cluster.machines import Cluster, MakeCluster, cluster_of
from tests.cluster.story import NAMES


@pytest.fixture(scope="session")
def make_cluster() -> MakeCluster:
    """`async with make_cluster("a", "b", BOXOFFICE_…="…") as cluster`: machines of these names, running."""
    return cluster_of


@pytest.fixture(scope="module")
async def three(make_cluster: MakeCluster) -> AsyncIterator[Cluster]:
    """Three machines for the tests of a file, each of which leaves them whole."""
    async with make_cluster(*NAMES, BOXOFFICE_ACTOR_IDLE_SECONDS="10") as cluster:
        yield cluster
