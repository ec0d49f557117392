"""Triage: what the rules make of findings, in the abstract and for the product's dialogs."""

import pytest

from carecall.dialog.files import find_dialog
from carecall.domain.finding import Evidence, Finding, Findings, FindingValue, Missing, Ternary
from carecall.domain.triage import (
    Alert,
    AllOf,
    AnyOf,
    Between,
    Condition,
    Count,
    Is,
    TriageRule,
    Urgency,
    findings_of,
    holds,
    triage,
    urgency_of,
)
from carecall.settings import Settings

DIALOGS = Settings().dialogs_dir
YES, NO, UNKNOWN, NO_ANSWER, NOT_ASKED = "yes", "no", "unknown", "no_answer", "not_asked"


def value_of(value: str | float) -> FindingValue:
    if isinstance(value, str) and value in list(Ternary):
        return Ternary(value)
    return Missing(value) if isinstance(value, str) and value in list(Missing) else value


def found(**values: str | float) -> Findings:
    """Findings by code, each said in a turn of its own."""
    return {
        code: Finding(code, value_of(value), (Evidence(turn, code),))
        for turn, (code, value) in enumerate(values.items())
    }


# Conditions


@pytest.mark.parametrize(
    ("condition", "findings", "expected"),
    [
        (Is("fever", ("yes",)), found(fever=YES), True),
        (Is("fever", ("yes", "unknown")), found(fever=UNKNOWN), True),
        (Is("fever", ("no",)), found(fever=UNKNOWN), False),
        (Is("fever", ("no",)), found(), False),
        (Is("fever", ("no_answer",)), found(fever=NO_ANSWER), True),
        (Is("compared", ("worse",)), found(compared="worse"), True),
        (Is("temperature", ("38",)), found(temperature=38.0), False),
        (Between("temperature", at_least=38.0), found(temperature=38.0), True),
        (Between("temperature", at_least=38.0), found(temperature=37.9), False),
        (Between("temperature", below=35.0), found(temperature=35.0), False),
        (Between("temperature", 36.0, 37.0), found(temperature=36.5), True),
        (Between("temperature", at_least=38.0), found(temperature=NO_ANSWER), False),
        (Between("temperature", at_least=38.0), found(), False),
        (Count(("a", "b", "c"), 2), found(a=YES, b=NO, c=YES), True),
        (Count(("a", "b", "c"), 2), found(a=YES, b=UNKNOWN), False),
        (AllOf((Is("a", ("yes",)), Is("b", ("no",)))), found(a=YES, b=NO), True),
        (AllOf((Is("a", ("yes",)), Is("b", ("no",)))), found(a=YES), False),
        (AnyOf((Is("a", ("yes",)), Is("b", ("no",)))), found(b=NO), True),
        (AnyOf((Is("a", ("yes",)), Is("b", ("no",)))), found(a=NO), False),
    ],
)
def test_a_condition_holds_only_of_what_was_found(condition: Condition, findings: Findings, expected: bool) -> None:
    assert holds(condition, findings) is expected


def test_a_condition_names_its_findings_once_in_order() -> None:
    condition = AnyOf((Is("b", ("yes",)), AllOf((Count(("a", "b"), 1), Between("c", 1.0)))))
    assert findings_of(condition) == ("b", "a", "c")


# Alerts

RULES = (
    TriageRule("mild", Urgency.ATTENTION, Is("cough", ("yes",)), "Coughs."),
    TriageRule("noted", Urgency.ROUTINE, Is("cough", ("yes",)), "For the record."),
    TriageRule("grave", Urgency.URGENT, Count(("cough", "dyspnea"), 2), "Coughs and is short of breath."),
)


def test_the_most_urgent_alert_comes_first_and_routine_raises_none() -> None:
    alerts = triage(found(cough=YES, dyspnea=YES), RULES)
    assert [alert.code for alert in alerts] == ["grave", "mild"]
    assert urgency_of(alerts) is Urgency.URGENT


def test_nothing_amiss_is_routine() -> None:
    assert triage(found(cough=NO), RULES) == ()
    assert urgency_of(()) is Urgency.ROUTINE


def test_an_alert_rests_on_the_words_that_speak_for_it() -> None:
    rule = TriageRule("any", Urgency.ATTENTION, Count(("cough", "dyspnea", "fever"), 2), "Two symptoms.")
    (alert,) = triage(found(cough=YES, dyspnea=NO, fever=YES), [rule])
    assert alert == Alert("any", Urgency.ATTENTION, "Two symptoms.", (Evidence(0, "cough"), Evidence(2, "fever")))


# The product's dialogs. Temperatures are in °C, and put to the English dialog in °F.

ACTIVE_MONITORING: list[tuple[dict[str, str | float], Urgency, set[str]]] = [
    ({}, Urgency.ROUTINE, set()),
    ({"fever": NO, "temperature": 36.5, "cough": NO}, Urgency.ROUTINE, set()),
    ({"temperature": 37.9}, Urgency.ROUTINE, set()),
    ({"temperature": 38.0}, Urgency.ATTENTION, {"fever"}),
    ({"fever": YES}, Urgency.ATTENTION, {"fever"}),
    ({"fever": NO, "temperature": 38.4}, Urgency.ATTENTION, {"fever"}),
    ({"temperature": 39.0}, Urgency.URGENT, {"high_fever", "fever"}),
    ({"cough": YES}, Urgency.ATTENTION, {"case_by_one_symptom"}),
    ({"anosmia": YES}, Urgency.ATTENTION, {"case_by_one_symptom"}),
    ({"dyspnea": YES}, Urgency.URGENT, {"dyspnea", "case_by_one_symptom"}),
    ({"chest_pain": YES}, Urgency.URGENT, {"chest_pain"}),
    ({"sore_throat": YES}, Urgency.ROUTINE, set()),
    ({"sore_throat": YES, "headache": YES}, Urgency.ATTENTION, {"case_by_two_symptoms"}),
    ({"fever": YES, "chills": YES}, Urgency.ATTENTION, {"fever", "case_by_two_symptoms"}),
    ({"temperature": 38.0, "diarrhea": YES}, Urgency.ATTENTION, {"fever", "case_by_two_symptoms"}),
    ({"fever_reducer": YES, "fever": NO}, Urgency.ROUTINE, set()),
    ({"fever_reducer": YES, "fever": NO, "fatigue": YES}, Urgency.ATTENTION, {"fever_may_be_masked"}),
    ({"fever": NO_ANSWER}, Urgency.ATTENTION, {"no_clear_answer"}),
    ({"dyspnea": UNKNOWN}, Urgency.ATTENTION, {"no_clear_answer"}),
    ({"temperature": NO_ANSWER, "fever_reducer": NO_ANSWER}, Urgency.ROUTINE, set()),
    ({"fever": NOT_ASKED, "cough": NOT_ASKED}, Urgency.ROUTINE, set()),
]

WELLBEING: list[tuple[dict[str, str | float], Urgency, set[str]]] = [
    ({}, Urgency.ROUTINE, set()),
    ({"ate": YES, "slept_well": YES, "health_problem": NO, "low_mood": NO}, Urgency.ROUTINE, set()),
    ({"slept_well": NO, "went_out": NO, "exercised": NO}, Urgency.ROUTINE, set()),
    ({"ate": NO}, Urgency.ATTENTION, {"not_eating"}),
    ({"poor_appetite": YES}, Urgency.ATTENTION, {"not_eating"}),
    ({"health_problem": YES}, Urgency.ATTENTION, {"health_problem"}),
    ({"low_mood": YES}, Urgency.ATTENTION, {"low_mood"}),
    ({"loneliness": YES}, Urgency.ATTENTION, {"low_mood"}),
    ({"medication_missed": YES}, Urgency.ATTENTION, {"medication_missed"}),
    ({"fall": YES, "health_problem": YES}, Urgency.URGENT, {"fall", "health_problem"}),
    ({"dyspnea": YES}, Urgency.URGENT, {"breathing_or_chest"}),
    ({"ate": NO, "low_mood": YES}, Urgency.URGENT, {"several_troubles", "not_eating", "low_mood"}),
    ({"ate": NO, "health_problem": YES}, Urgency.URGENT, {"several_troubles", "not_eating", "health_problem"}),
    ({"health_problem": YES, "low_mood": YES}, Urgency.ATTENTION, {"health_problem", "low_mood"}),
    (
        {"health_problem": YES, "low_mood": YES, "slept_well": NO},
        Urgency.URGENT,
        {"several_troubles", "health_problem", "low_mood"},
    ),
    ({"ate": NO_ANSWER}, Urgency.ATTENTION, {"no_clear_answer"}),
    ({"low_mood": UNKNOWN}, Urgency.ATTENTION, {"no_clear_answer"}),
    ({"medication_missed": NO_ANSWER, "small_talk": NO_ANSWER}, Urgency.ROUTINE, set()),
    ({"ate": NOT_ASKED, "low_mood": NOT_ASKED}, Urgency.ROUTINE, set()),
]


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(("said", "urgency", "codes"), ACTIVE_MONITORING)
def test_active_monitoring_follows_the_case_definition(
    language: str, said: dict[str, str | float], urgency: Urgency, codes: set[str]
) -> None:
    in_unit = {
        code: round(value * 1.8 + 32, 1) if language == "en" and isinstance(value, float) else value
        for code, value in said.items()
    }
    alerts = triage(found(**in_unit), find_dialog(DIALOGS, f"active-monitoring.{language}").triage)
    assert (urgency_of(alerts), {alert.code for alert in alerts}) == (urgency, codes)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(("said", "urgency", "codes"), WELLBEING)
def test_wellbeing_puts_before_a_nurse_what_needs_one(
    language: str, said: dict[str, str | float], urgency: Urgency, codes: set[str]
) -> None:
    alerts = triage(found(**said), find_dialog(DIALOGS, f"wellbeing.{language}").triage)
    assert (urgency_of(alerts), {alert.code for alert in alerts}) == (urgency, codes)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"fever": YES}, {"temperature", "symptom_onset"}),
        ({"fever": NO_ANSWER}, {"temperature"}),
        ({"fever": NO}, set()),
        ({"headache": YES}, {"symptom_onset"}),
        ({"fever": NO, "temperature": 38.3}, {"symptom_onset"}),
    ],
)
def test_active_monitoring_asks_for_more_only_when_there_is_cause(
    said: dict[str, str | float], asked: set[str]
) -> None:
    dialog = find_dialog(DIALOGS, "active-monitoring.ko")
    open_ = {each.code for each in dialog.agenda if each.when is not None and holds(each.when, found(**said))}
    assert open_ == asked


def test_an_alert_rests_on_what_raised_it_and_on_nothing_else() -> None:
    findings = {
        "ate": Finding("ate", Ternary.NO, (Evidence(1, "not a bite"),)),
        "slept_well": Finding("slept_well", Ternary.YES, (Evidence(2, "slept well"),)),
        "health_problem": Finding("health_problem", Ternary.YES, (Evidence(3, "my back"),)),
        "temperature": Finding("temperature", Missing.NO_ANSWER, (Evidence(4, "no thermometer"),)),
    }
    when = AnyOf(
        (
            AllOf((Is("ate", ("no",)), Is("health_problem", ("yes",)))),
            AllOf((Is("health_problem", ("yes",)), Is("slept_well", ("no",)))),
            Between("temperature", at_least=38.0),
            Count(("slept_well", "health_problem"), 3),
        )
    )
    (alert,) = triage(findings, [TriageRule("several", Urgency.URGENT, when, "Several.")])
    assert [each.quote for each in alert.evidence] == ["not a bite", "my back"]
