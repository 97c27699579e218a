"""A worker is told to stop in the middle of a sale: nobody at the till notices."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import Stack
from tests.support.honest_sale import HonestSale

pytestmark = pytest.mark.stack


async def test_a_worker_that_is_told_to_stop_loses_no_booking(besieged: Stack, honest_sale: HonestSale) -> None:
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            pid = besieged.run.processes["worker-1"]
            os.kill(pid, signal.SIGTERM)
            await besieged.replaced("worker-1", pid)
