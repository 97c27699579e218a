"""Who gives way does so among sessions too, and takes nobody along."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actors.process.courtesy import AUTOGROUP, LOWEST

GIVE_WAY = f"""
import os
from actors.process.courtesy import give_way
give_way()
print(os.nice(0), open({str(AUTOGROUP)!r}).read() if os.path.exists({str(AUTOGROUP)!r}) else "")
"""


def after_giving_way(own_session: bool) -> str:
    command = [sys.executable, "-c", GIVE_WAY]
    return subprocess.run(command, start_new_session=own_session, capture_output=True, check=True, text=True).stdout


def test_it_has_the_lowest_priority() -> None:
    assert after_giving_way(own_session=True).split()[0] == str(LOWEST)


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not share itself out among sessions")
def test_its_session_has_too_but_not_one_that_others_lead() -> None:
    assert f"nice {LOWEST}" in after_giving_way(own_session=True)
    assert f"nice {LOWEST}" not in after_giving_way(own_session=False)
