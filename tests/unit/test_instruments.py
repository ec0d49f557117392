"""Every instrument is documented, and is told apart by allowed attributes only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from carecall.telemetry import METRIC_ATTRIBUTES, SPAN_ATTRIBUTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "telemetry.md").read_text()


def calls() -> Iterator[tuple[Path, str, ast.Call]]:
    """Every call of a method in the modules that count or time something: module, name of the method, call."""
    for package in ("carecall", "telephony"):
        for module in sorted((ROOT / package).rglob("*.py")):
            source = module.read_text()
            for node in ast.walk(ast.parse(source)) if "get_meter" in source else ():
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield module, node.func.attr, node


def test_every_instrument_is_documented_and_no_other() -> None:
    created = {
        ast.literal_eval(call.args[0])
        for _, method, call in calls()
        if re.fullmatch(r"create_(observable_)?(counter|up_down_counter|histogram|gauge)", method)
    }
    assert "carecall.alerts.delivered" in created
    assert created == set(re.findall(r"^\| `(carecall\.[a-z_.]+)`", PAGE, re.MULTILINE))


def test_an_attribute_of_a_metric_is_written_out_and_allowed() -> None:
    used = set()
    for module, method, call in calls():
        if method in ("add", "record") and len(call.args) == 2:
            assert isinstance(call.args[1], ast.Dict), f"{module}:{call.lineno}"
            used |= {ast.literal_eval(key) for key in call.args[1].keys if key is not None}
    assert used == METRIC_ATTRIBUTES


def test_every_allowed_attribute_is_documented() -> None:
    assert [name for name in SPAN_ATTRIBUTES if f"`{name}`" not in PAGE] == []
