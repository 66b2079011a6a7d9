"""States as text."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tidegate.judge.evidence.state import decode, encode

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(st.lists(st.lists(FINITE, max_size=30), max_size=5), st.integers(0, 2**32 - 1))
def test_every_float_comes_back(stretches, fingerprint):
    """Bit for bit, the sign of zero included."""
    text = encode(fingerprint, stretches)
    found = decode(text, fingerprint, [len(stretch) for stretch in stretches])

    assert found == stretches
    assert [math.copysign(1, v) for s in stretches for v in s] == [math.copysign(1, v) for s in found for v in s]


class TestWhatCannotBeRead:
    def test_of_other_limits(self):
        assert decode(encode(1, [[1.0]]), 2, [1]) is None

    def test_of_another_length(self):
        assert decode(encode(1, [[1.0]]), 1, [2]) is None

    def test_of_another_version(self):
        text = encode(1, [[1.0]])

        assert decode("/" + text[1:], 1, [1]) is None

    def test_no_numbers(self):
        assert decode(encode(1, [[math.nan]]), 1, [1]) is None

    @given(st.text(max_size=40))
    def test_no_state_at_all(self, text):
        assert decode(text, 1, [1]) is None
