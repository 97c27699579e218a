"""For Locust itself, with its web page: `locust -f loadtest/locustfile.py --scenario rush --host http://127.0.0.1:8000`.

`python -m loadtest.scenarios` is the same with a verdict. Workers on other machines need this file and nothing else:
`locust -f loadtest/locustfile.py --worker --master-host …`.
"""

from __future__ import annotations

import time

from locust import LoadTestShape, events

from loadtest.scenarios.crowd.browsing import Browser, StreamWatcher, UndecidedCustomer
from loadtest.scenarios.crowd.changing import ChangingCustomer
from loadtest.scenarios.crowd.crew import crew
from loadtest.scenarios.crowd.hot_seats import HotSeatBuyer
from loadtest.scenarios.crowd.paying import PayingCustomer, ReturningCustomer
from loadtest.scenarios.crowd.reconciling import ReconcilingAdmin
from loadtest.scenarios.crowd.rush import RushBuyer
from loadtest.scenarios.scenario import SCENARIOS
from loadtest.scenarios.shapes import Tick

__all__ = [
    "Browser",
    "ChangingCustomer",
    "HotSeatBuyer",
    "PayingCustomer",
    "ReconcilingAdmin",
    "ReturningCustomer",
    "RushBuyer",
    "StreamWatcher",
    "UndecidedCustomer",
]


class ScenarioShape(LoadTestShape):
    """The shape of the scenario that is played, with the users and the time that were asked for."""

    use_common_options = True

    def tick(self) -> Tick | None:
        """How many users there are to be by now, and how many to start a second; None: the run is over."""
        assert self.runner is not None, "Locust sets it"
        options = self.runner.environment.parsed_options
        assert options is not None, "Locust was started by its command"
        crew.saw(self.runner.user_count)
        shape = SCENARIOS[crew.stage.scenario].shape
        return shape(time.perf_counter() - self.start_time, options.num_users, float(options.run_time))


crew.install(events)
