import pytest

from verl_spo.store.text import Part
from verl_spo_dashboard import tool_calls


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ('<tool_call>\n{"name": "calculator", "arguments": {"x": 1}}\n</tool_call>', ["calculator"]),
        ('<tool_call>{"id": 7, "name" : "a.b-c"}</tool_call> and <tool_call>{"name": "d"}</tool_call>', ["a.b-c", "d"]),
        ("<tool_call>\n<function=search>\n<parameter=query>x</parameter></function></tool_call>", ["search"]),
        ('<minimax:tool_call><invoke name="run_code"></invoke></minimax:tool_call>', ["run_code"]),
        ('<｜DSML｜invoke name="run_code">', ["run_code"]),
        ('{"name": "somebody"}', []),
        ('<tool_call>{"arguments": {"name": "an argument"}, "name": "late"}</tool_call>', []),
        ('<tool_call>{"name": "[a link](https://example.org)"}</tool_call>', []),
        ("<function=again><function=again><function=other>", ["again", "other"]),
        (f"<function={'x' * 65}>", []),
        ("", []),
    ],
)
def test_the_tools_that_a_message_calls_are_named(text: str, called: list[str]) -> None:
    assert tool_calls.names([Part("model", 3, text)]) == [called]


def test_an_answer_is_of_the_tools_that_the_message_before_it_called() -> None:
    call, answer = Part("model", 3, "<function=search>"), Part("environment", 2, "found")
    assert tool_calls.names([call, answer, Part("model", 1, "So"), answer]) == [["search"], ["search"], [], []]
    assert tool_calls.names([answer, call]) == [[], ["search"]]
