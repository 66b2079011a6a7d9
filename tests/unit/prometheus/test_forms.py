"""Bodies of requests to Prometheus say what was asked, whatever is in it."""

from urllib.parse import parse_qsl, urlencode

from hypothesis import given
from hypothesis import strategies as st

from tidegate.prometheus.forms import encoded

TIME = {"time": "1767323045.000", "timeout": "9000ms"}


WORDS = st.lists(st.sampled_from(["", "sum", "by", "(pod)", "+", "%2B", "a+b", "\n", 'up{job="a"}', "\xe4"]), max_size=20).map(
    " ".join
)


@given(query=st.text() | st.text(st.characters(max_codepoint=127)) | WORDS)
def test_a_query_is_encoded_as_by_the_standard_library(query: str) -> None:
    """To the letter; and what is read from it is what was asked."""
    if any("\ud800" <= character <= "\udfff" for character in query):
        return
    body = encoded(query, TIME)

    assert urlencode({"query": query, **TIME}) == body
    assert [("query", query), *TIME.items()] == parse_qsl(body, keep_blank_values=True)
