"""Several machines for a test of its own."""

from __future__ import annotations

import pytest

from tests.cluster.machines import MakeCluster, cluster_of


@pytest.fixture(scope="session")
def make_cluster() -> MakeCluster:
    """`async with make_cluster("a", "b", BOXOFFICE_…="…") as cluster`: machines of these names, running."""
    return cluster_of
