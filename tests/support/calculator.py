"""A calculator that verl's tool agent loop calls in process, and the parser for a model that writes bare numbers.

verl reads both from `actor_rollout_ref.rollout.multi_turn.function_tool_path`.
"""

import json
import re

from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser
from verl.tools.function_tool import function_tool

FORMAT = "bare_number"


@function_tool
def calculator(expression: str) -> str:
    """Add numbers.

    Args:
        expression: Numbers, with anything between them.
    """
    return str(sum(map(int, re.findall(r"\d+", expression))))


@ToolParser.register(FORMAT)
class BareNumberParser(ToolParser):  # type: ignore[misc]
    """A response that is a number and nothing else calls the calculator with it."""

    async def extract_tool_calls(
        self, responses_ids: list[int], tools: object = None
    ) -> tuple[str, list[FunctionCall]]:
        """The response, and its call if it is one."""
        text = self.tokenizer.decode(responses_ids, skip_special_tokens=True)
        call = FunctionCall(name="calculator", arguments=json.dumps({"expression": text}))
        return text, [call] if re.fullmatch(r"\d+", text) else []
