"""What is remembered of a long story: the newest, in the order they came."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from engine.recent import Recent

keys = st.integers(0, 12).map(str)


@given(st.lists(st.tuples(keys, st.integers())), st.integers(1, 6), st.integers(0, 40))
def test_it_remembers_what_an_ordered_dict_would(told: list[tuple[str, int]], limit: int, restart: int) -> None:
    recent, plain = Recent[int](), OrderedDict[str, int]()
    for number, (key, value) in enumerate(told):
        if number == restart:
            again = Recent[int]()
            again.restore(recent.items())
            recent = again
        recent.remember(key, value, limit)
        plain[key] = value
        if len(plain) > limit:
            plain.popitem(last=False)
        assert list(recent.items()) == list(plain.items())
