"""Scenario files and the synthetic recipient: what is loaded, what is refused and how, what is said when."""

from pathlib import Path

import pytest

from carecall.domain.finding import Finding, Missing, Ternary
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.errors import SimulationError
from carecall.simulation.persona import Persona, Reaction
from carecall.simulation.scenario import Expected, Interjection, Recipient, load_scenario, scenario_files
from carecall.simulation.text_call import judge

GOOD = """\
dialog: wellbeing.en
recipient:
  name: Ann
  greets: yes
  answers:
    ate: [yes, yes I did]
  interjections:
    - {turn: 2, say: who is this}
expect:
  outcome: completed
  findings: {ate: yes, hours: 7}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lonely.en.yaml"


def test_a_scenario_is_loaded_and_named_after_its_file(file: Path) -> None:
    file.write_text(GOOD)
    scenario = load_scenario(file)
    assert scenario.name == "lonely.en"
    assert scenario.recipient.answers == {"ate": ["yes", "yes I did"]}
    assert scenario.recipient.interjections == [Interjection(turn=2, say="who is this")]
    assert scenario.expect.outcome is Outcome.COMPLETED
    assert scenario.expect.findings == {"ate": "yes", "hours": 7.0}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("name: Ann", "nam: Ann"), "lonely.en.yaml:3: `nam` is not known here; known are name, greets,"),
        (("name: Ann", "name: ''"), "lonely.en.yaml:3: `name`: "),
        (("outcome: completed", "outcome: fine"), "lonely.en.yaml:10: `outcome`: "),
        (("say: who is this", "silence: 2, say: hm"), "lonely.en.yaml:8: `interjections`: needs either say or silence"),
        (("findings: {ate: yes, hours: 7}", "said: ['(']"), "lonely.en.yaml:11: `said`: is not a regular expression"),
        (("dialog: wellbeing.en\n", ""), "lonely.en.yaml:1: `dialog` is missing; add it"),
        (("recipient:", "recipient: ["), "lonely.en.yaml:"),
    ],
)
def test_a_wrong_scenario_is_refused_by_its_line(file: Path, change: tuple[str, str], problem: str) -> None:
    file.write_text(GOOD.replace(*change))
    with pytest.raises(SimulationError) as refused:
        load_scenario(file)
    assert problem in str(refused.value)


def test_every_problem_is_told_at_once(file: Path) -> None:
    file.write_text(GOOD.replace("name: Ann", "nam: Ann").replace("completed", "fine"))
    with pytest.raises(SimulationError) as refused:
        load_scenario(file)
    assert len(str(refused.value).splitlines()) == 3


def test_folders_are_searched_and_an_empty_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "b.yaml").write_text(GOOD)
    (tmp_path / "a.yaml").write_text(GOOD)
    assert [path.name for path in scenario_files([tmp_path, tmp_path / "a.yaml"])] == ["a.yaml", "b.yaml"]
    with pytest.raises(SimulationError, match="there is no scenario"):
        scenario_files([tmp_path / "nowhere"])


# The recipient


def persona(**more: object) -> Persona:
    return Persona(Recipient.model_validate({"name": "Ann", "greets": "hello", **more}))


def test_the_greeting_is_answered_first() -> None:
    assert persona().react(None) == Reaction("hello")


def test_answers_go_by_question_and_by_how_often_it_was_put() -> None:
    ann = persona(answers={"ate": ["hm", "yes"]}, default=["no"])
    ann.react(None)
    assert [ann.react(code).text for code in ("ate", "fever", "ate", "ate")] == ["hm", "no", "yes", "yes"]


def test_an_unknown_question_is_met_with_silence() -> None:
    ann = persona()
    ann.react(None)
    assert ann.react("ate") == Reaction()


def test_who_is_asked_again_whether_it_is_them_says_so_again() -> None:
    ann = persona()
    assert [ann.react(None).text for _ in range(2)] == ["hello", "hello"]


def test_what_is_no_question_gets_its_own_reply() -> None:
    ann = persona(otherwise=["all right"])
    ann.react(None)
    assert ann.react(None) == Reaction("all right")


def test_an_interjection_stands_in_place_of_an_answer_that_is_kept_for_later() -> None:
    ann = persona(answers={"ate": ["yes"]}, interjections=[{"turn": 2, "say": "who are you"}])
    ann.react(None)
    assert [ann.react("ate").text for _ in range(2)] == ["who are you", "yes"]


def test_a_silence_lasts_as_long_as_it_says() -> None:
    ann = persona(answers={"ate": ["yes"]}, interjections=[{"turn": 2, "silence": 2}])
    ann.react(None)
    assert [ann.react("ate").text for _ in range(3)] == ["", "", "yes"]


def test_a_hang_up_comes_after_so_many_turns() -> None:
    ann = persona(answers={"ate": ["yes"]}, hang_up_after=2)
    assert [ann.react(code).hangs_up for code in (None, "ate", "ate")] == [False, False, True]


# The judgement

REPORT = Report(
    "wellbeing",
    "en",
    "1.0.0",
    "0" * 64,
    Outcome.HUNG_UP,
    (
        Finding("ate", Ternary.YES),
        Finding("temperature", 101.3),
        Finding("small_talk", "my roses"),
        Finding("low_mood", Missing.NOT_ASKED),
    ),
    (Alert("fever", Urgency.URGENT, "Fever.", ()),),
    ("send me masks",),
)
TURNS = [Turn(0, Speaker.AGENT, "Hello, have you eaten?", 0, 1), Turn(1, Speaker.RECIPIENT, "rubbish", 1, 2)]


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"outcome": "hung_up", "alerts": ["fever"], "max_turns": 2},
        {"findings": {"ate": "yes", "temperature": 101.3, "small_talk": "roses", "low_mood": "not_asked"}},
        {"noted": ["masks"], "said": ["^hello"], "never_said": ["rubbish"]},
    ],
)
def test_a_call_as_expected_has_no_reasons(expected: dict[str, object]) -> None:
    assert judge(Expected.model_validate(expected), REPORT, TURNS) == ()


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ({"outcome": "completed"}, "outcome is hung_up, not completed"),
        ({"alerts": []}, "alerts are fever, not none"),
        ({"findings": {"ate": "no"}}, "ate is yes, not no"),
        ({"findings": {"cough": "no"}}, "cough is absent, not no"),
        ({"findings": {"temperature": 98.0}}, "temperature is 101.3, not 98.0"),
        ({"max_turns": 1}, "2 turns, more than 1"),
        ({"said": ["goodbye"]}, "never said goodbye"),
        ({"never_said": ["eaten"]}, "said eaten"),
        ({"noted": ["money"]}, "nothing noted like money"),
    ],
)
def test_each_difference_is_a_reason(expected: dict[str, object], reason: str) -> None:
    assert judge(Expected.model_validate(expected), REPORT, TURNS) == (reason,)
