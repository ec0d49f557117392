"""Dialog files: what is loaded, and how every problem of a wrong file is told with its line."""

import datetime
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carecall.dialog.definition import Dialog, Feeling, Question
from carecall.dialog.files import DialogFileError, dialog_names, find_dialog, json_schema, load_dialog
from carecall.dialog.understanding.meaning import Asked
from carecall.dialog.understanding.rules import rules_for
from carecall.dialog.yaml_source import MAX_BYTES, read_yaml
from carecall.domain.codes import CodeSystem, Coding
from carecall.domain.finding import AnswerType, Ternary, Unit
from carecall.domain.language import Language
from carecall.domain.triage import AllOf, AnyOf, Between, Count, Is, Urgency
from carecall.settings import Settings

DIALOGS = Settings().dialogs_dir
NAMES = ["active-monitoring.en", "active-monitoring.ko", "wellbeing.en", "wellbeing.ko"]

Write = Callable[..., Path]


LEXICON = "language: en\nfindings:\n  fever:\n    present: [hot]\n  cough: {}\n\n  poor_sleep: {}\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a dialog file beside a small lexicon and gives its path."""
    for language in Language:
        (tmp_path / f"lexicon.{language}.yaml").write_text(LEXICON)

    def write_file(content: str, name: str = "visit.en.yaml") -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write_file


def problems(path: Path) -> list[str]:
    with pytest.raises(DialogFileError) as caught:
        load_dialog(path)
    return list(caught.value.problems)


def lines_of(told: list[str]) -> dict[int, list[str]]:
    """The problems by line, in the order told."""
    lines: dict[int, list[str]] = {}
    for each in told:
        _, line, text = each.split(":", 2)
        lines.setdefault(int(line), []).append(text.strip())
    return lines


TEXTS = """\
texts:
  greeting: "This is an automated AI call from {organisation}. Is this {name}?"
  begin: Thank you, {name}.
  identity_again: Is this {name}?
  acknowledge: {good: Good., bad: I am sorry., neutral: I see.}
  confirm: "I heard {answer}, is that right?"
  repeat_lead: Once more.
  wait: Take your time.
  silence: [Are you there?, Can you hear me?]
  refuse_medical: Please ask your doctor.
  refuse_out_of_scope: I do not know.
  service_noted: I wrote that down.
  human_noted: I will pass that on.
  who_is_this: I am calling for {organisation}.
  are_you_a_robot: I am an AI.
  small_talk: I see.
  resume: Back to my question.
  forget: I will not remember that.
  close: Goodbye, {name}.
  close_early: Goodbye.
  close_later: We will call later.
  close_wrong_person: Sorry, goodbye.
  close_opted_out: We will not call again.
  close_silence: Goodbye.
  close_emergency: Goodbye.
  greeting_inbound: "This is the AI assistant of {organisation}. Is this {name}?"
  resumed: We were cut off.
  voicemail: This was an AI call from {organisation}.
"""
HEAD = """\
id: visit
language: en
version: 1.2.3
title: A visit
organisation: The Town
"""
AGENDA = """\
agenda:
  - code: fever
    type: yes_no
    ask: [Do you have a fever?, Do you feel hot?]
    about: [fever]
    coding: [{system: snomed_ct, code: "386661006", display: Fever}]
  - {code: temperature, type: number, unit: celsius, ask: How high?, required: false,
     when: {finding: fever, is: [yes, unknown]}}
  - {code: slept_well, type: yes_no, ask: Did you sleep?, bad: [no], opposite: [poor_sleep],
     acknowledge: {bad: A bad night.}}
  - {code: compared, type: choice, ask: Better or worse?, bad: [worse],
     choices: [{id: better, label: Better}, {id: worse, label: Worse}]}
"""
TRIAGE = """\
triage:
  - id: hot
    urgency: urgent
    when: {any: [{finding: temperature, at_least: 38.0, below: 43}, {all: [{count: [fever, cough], at_least: 2}]}]}
    reason: Hot.
"""
GOOD = HEAD + AGENDA + TEXTS + TRIAGE


# What a good file gives


def test_a_file_becomes_the_values_a_call_runs_on(write: Write) -> None:
    dialog = load_dialog(write(GOOD))

    assert (dialog.name, dialog.version, dialog.organisation) == ("visit.en", "1.2.3", "The Town")
    assert dialog.question("fever") == Question(
        code="fever",
        type=AnswerType.YES_NO,
        ask=("Do you have a fever?", "Do you feel hot?"),
        about=("fever",),
        coding=(Coding(CodeSystem.SNOMED_CT, "386661006", "Fever"),),
    )
    temperature = dialog.question("temperature")
    assert (temperature.unit, temperature.required, temperature.ask) == (Unit.CELSIUS, False, ("How high?",))
    assert temperature.when == Is("fever", ("yes", "unknown"))
    slept = dialog.question("slept_well")
    assert (slept.bad, slept.opposite, slept.acknowledge) == (
        ("no",),
        ("poor_sleep",),
        {Feeling.BAD: ("A bad night.",)},
    )
    assert [choice.id for choice in dialog.question("compared").choices] == ["better", "worse"]
    assert dialog.texts.silence == ("Are you there?", "Can you hear me?")
    assert dialog.texts.acknowledge[Feeling.BAD] == ("I am sorry.",)
    assert dialog.triage[0].urgency is Urgency.URGENT
    assert dialog.triage[0].when == AnyOf((Between("temperature", 38.0, 43.0), AllOf((Count(("fever", "cough"), 2),))))


def test_yes_and_no_need_no_quotes(write: Write) -> None:
    assert load_dialog(write(GOOD)).question("slept_well").bad == ("no",)


def test_comments_and_spacing_do_not_change_the_hash_but_words_do(write: Write) -> None:
    original = load_dialog(write(GOOD)).hash

    assert (
        load_dialog(write("# a comment\n\n" + GOOD.replace("[yes, unknown]", "[ yes,  'unknown' ]"))).hash == original
    )
    assert load_dialog(write(GOOD.replace("Take your time.", "Take time."))).hash != original
    assert re.fullmatch("[0-9a-f]{64}", original)


# What a wrong file is told


def test_every_problem_is_told_at_once_each_with_its_line(write: Write) -> None:
    path = write(
        """\
id: visit
language: en
version: 1.0
title: A visit
organisatoin: The Town
agenda:
  - code: fever
    type: yesno
    ask:
      - Is there fever?
      - Please answer yes or no.
      - Is there?
      - Is there really?
  - code: temperature
    type: number
    ask: How high, {nmae}?
    when: {finding: feverr, is: yes}
  - code: temperature
    type: choice
    required: no
    choices: [{id: one, label: One}]
    ask: []
    about: [caugh]
texts:
  greeting: Hello, is this {name}? A question about your health.
  acknowledge:
    good: Good.
    bad: Good to hear.
    neutral: " "
triage:
  - id: hot
    urgency: soon
    when: {finding: temperature}
    reason: Hot.
"""
    )

    told = problems(path)

    lines = lines_of(told)
    for line, said in {
        1: "lacks `organisation`; add it",
        3: "`version` is `1.0`; write a text; put numbers, true and false in quotes",
        5: "`organisatoin` is not known here; did you mean `organisation`?",
        8: "`type` is `yesno`; did you mean `yes_no`?",
        9: "`ask` has 4 wordings; keep at most 3",
        11: "this asks for a bare yes or no",
        15: "a number question needs a `unit`; add one",
        16: "{nmae} is never filled in; use only {name}, {organisation}",
        17: "called feverr; did you mean fever?",
        18: "`code` temperature is used twice",
        20: "`required` is `no`; write true or false",
        21: "two or more `choices`",
        22: "`ask` is empty; write at least one",
        23: "`about` has caugh, which the lexicon lacks; did you mean cough?",
        24: "`texts` lacks `close_silence`; add it",
        25: "`greeting` does not say that a machine calls; put AI into it",
        28: "`Good to hear` sounds relieved after bad news",
        29: "`neutral` has an empty text; write the words, or take the line away",
        32: "`urgency` is `soon`; known are emergency, urgent, attention, routine",
        33: "`when` has something that is not a condition; write one of {finding: …, is: …}",
    }.items():
        assert any(said in text for text in lines.get(line, [])), (line, said, lines)
    assert any("`greeting` lacks {organisation}" in text for text in lines[25])
    assert any("`health`" in text for text in lines[25])
    assert list(lines) == sorted(lines)
    assert all(each.startswith(f"{path.parent.name}/visit.en.yaml:") for each in told)


def test_the_error_is_one_line_a_problem(write: Write) -> None:
    with pytest.raises(DialogFileError) as caught:
        load_dialog(write(GOOD.replace("1.2.3", "one").replace("unit: celsius, ", "")))
    assert caught.value.code == "dialog_file"
    assert str(caught.value).splitlines() == list(caught.value.problems)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("good", "wrong", "told"),
    [
        ("version: 1.2.3", "version: 1.2.3.4", r":3: `version` is `1\.2\.3\.4`; write three numbers"),
        ("language: en", "language: ko", r":2: id and language make `visit\.ko`, but the file is visit\.en\.yaml"),
        ("id: visit\n", "id: visits\n", r":1: id and language make `visits\.en`"),
        ("title: A visit", "title:", r":4: `title` is empty; write a text"),
        ("unit: celsius", "unit: kelvin", r":12: `unit` is `kelvin`; known are celsius"),
        ("type: yes_no\n", "type: yes_no\n    unit: hours\n", r":9: only a number question has a `unit`"),
        ("bad: [worse]", "bad: [worst]", r":16: `bad` has worst; did you mean `worse`\?"),
        ("is: [yes, unknown]", "is: [maybe]", r":13: fever is never maybe; known are yes, no, unknown"),
        ("at_least: 38.0", 'at_least: "38"', r":49: `at_least` is `38`; write a number, without quotes"),
        ("finding: temperature, at", "finding: fever, at", r":49: fever is not a number; compare it with `is`"),
        ("count: [fever,", "count: [temperature,", r":49: temperature is not a yes_no question"),
        ("count: [fever,", "count: [sneezing,", r":49: no question and no lexicon finding is called sneezing"),
        (
            "opposite: [poor_sleep]",
            "opposite: [por_sleep]",
            r":14: `opposite` has por_sleep, .* did you mean poor_sleep",
        ),
        ("{answer}", "it", r":23: `confirm` lacks \{answer\}"),
        ("Take your time.", "Take your {time}.", r":25: \{time\} is never filled in"),
        ("Take your time.", "Take your time}.", r":25: \} is never filled in"),
        ("Take your time.", "Your doctor can wait.", r":25: `wait` says `doctor`, and somebody else may be listening"),
        ('code: "386661006"', "code: 386661006", r":11: `code` is `386661006`; write a text; put numbers"),
        ("at_least: 2}", "at_least: 0}", r":49: `at_least` is `0`; write 1 or more"),
        ("  wait: Take your time.\n", "", r":18: `texts` lacks `wait`; add it"),
        ("reason: Hot.", "reason: Hot.\n    reason: Cold.", r":51: `reason` is given twice; keep one"),
        ("title: A visit", "title: A visit: today", r":4: not YAML: mapping values are not allowed here"),
    ],
)
def test_a_wrong_line_is_told_with_its_mend(write: Write, good: str, wrong: str, told: str) -> None:
    assert good in GOOD
    found = problems(write(GOOD.replace(good, wrong, 1)))
    assert any(re.search(told, each) for each in found), found


@pytest.mark.parametrize(
    ("language", "wording"),
    [
        ("en", "Just say yes or no."),
        ("en", "Is it 'yes' or 'no'?"),
        ("en", "A yes/no will do."),
        ("ko", "네 또는 아니오로 대답해 주세요."),
        ("ko", "예, 아니요 중에 골라 주세요."),
        ("ko", "'네'나 '아니요'로 말씀해 주세요."),
        ("ko", "네/아니오로 말씀해 주세요."),
    ],
)
def test_a_question_never_asks_for_a_bare_yes_or_no(write: Write, language: str, wording: str) -> None:
    content = GOOD.replace("Do you feel hot?", f'"{wording}"').replace("language: en", f"language: {language}")
    assert any(":9: this asks for a bare" in each for each in problems(write(content, f"visit.{language}.yaml")))


def test_a_finding_that_the_lexicon_beside_it_names_may_be_used(write: Write, tmp_path: Path) -> None:
    path = write(GOOD.replace("count: [fever, cough]", "count: [fever, sneezing]"))
    assert any("lexicon finding is called sneezing" in each for each in problems(path))
    (tmp_path / "lexicon.en.yaml").write_text(LEXICON.replace("cough", "sneezing") + "idioms: []\n")
    assert load_dialog(path).name == "visit.en"


# A file is hostile until it has been read


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", ":1: there is no dialog in this file"),
        ("- a\n", ":1: there is no dialog in this file"),
        ("a: &x [1]\nb: [*x, *x]\n", ":1: anchors"),
        ("a:\n  b: *x\n", ":2: anchors"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", ":2: tags"),
        ("a:\n  <<: *x\n", ":2: anchors"),
        ("a: " + "[" * 100_000, ":1: nested deeper than 16 levels"),
        ("a: 1\n---\nb: 2\n", ":2: a second document"),
        ("a: 1\n? [x]\n: y\n", ":2: a key must be a plain word"),
        ("a: 1\nb: [x\n", "not YAML"),
        ("a: \x07\n", ":1: not YAML"),
        ("a: " + "x" * MAX_BYTES, ":1: the file is larger than 256 KiB"),
        ("id: " + "9" * 5000, "`id`"),
        ("agenda: 7\ntexts: [x]\ntriage: {a: b}\nid: [x]\nlanguage: {a: b}\n", ":1: `agenda` is `7`; write a list"),
        ("agenda: [7, {code: [x], ask: {a: b}, choices: 7}]\n", ":1: `agenda` is `7`; write `key: value` lines"),
    ],
)
def test_hostile_content_is_refused_with_a_line(write: Write, content: str, told: str) -> None:
    started = time.perf_counter()
    found = problems(write(content))
    assert time.perf_counter() - started < 2
    assert any(told in each for each in found), found


@given(
    line=st.integers(0, GOOD.count("\n") - 1),
    new=st.sampled_from(
        ["", "  - x", "x: [", "when: {all: [{any: []}]}", "  ask: {a: [1, null]}", "- - -", '"\\uD800"']
    )
    | st.text(max_size=12),
    keep=st.integers(0, 12),
)
@settings(max_examples=150)
def test_a_spoiled_line_never_does_worse_than_a_told_problem(write: Write, line: int, new: str, keep: int) -> None:
    lines = GOOD.splitlines()
    lines[line] = lines[line][:keep] + new.encode("utf-8", "replace").decode()
    path = write("\n".join(lines))
    told: tuple[str, ...] = ()
    try:
        load_dialog(path)
    except DialogFileError as error:
        told = error.problems
    assert all(re.match(r"[^:]+/visit\.en\.yaml:[0-9]+: \S", each) for each in told)


def test_characters_that_cannot_be_spoken_are_refused(write: Write) -> None:
    found = problems(write(GOOD.replace("Take your time.", '"Take \\uD800 your \\u202E time."')))
    assert any(":25: the text has the character U+D800; take it out" in each for each in found)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "visit.en.yaml"
    path.write_bytes(b"id: visit\ntitle: \xff\xfe\n")
    assert any(":2: the text is not UTF-8" in each for each in problems(path))


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (told,) = problems(tmp_path / "visit.en.yaml")
    assert "visit.en.yaml: cannot be read" in told


# Finding dialogs


def test_dialogs_are_found_by_name_and_other_files_are_not_dialogs(write: Write, tmp_path: Path) -> None:
    write(GOOD)
    write(GOOD, "visit.yaml")
    assert dialog_names(tmp_path) == ["visit.en"]
    assert find_dialog(tmp_path, "visit.en").id == "visit"


@pytest.mark.parametrize("name", ["visit.ko", "visit", "", "../visit.en", "visit.en.yaml", "lexicon.fr", "/etc/passwd"])
def test_an_unknown_name_lists_what_there_is(write: Write, tmp_path: Path, name: str) -> None:
    write(GOOD)
    with pytest.raises(DialogFileError, match=r"there is no dialog named .*there are: visit\.en") as caught:
        find_dialog(tmp_path, name)
    assert len(str(caught.value).splitlines()) == 1


# The dialogs that come with the product


def test_the_product_has_its_four_dialogs() -> None:
    assert set(NAMES) <= set(dialog_names(DIALOGS))


@pytest.fixture(params=NAMES)
def dialog(request: pytest.FixtureRequest) -> Dialog:
    return find_dialog(DIALOGS, str(request.param))


@pytest.mark.parametrize("name", NAMES)
def test_a_dialog_loads_within_half_a_second(name: str) -> None:
    find_dialog(DIALOGS, name)
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        find_dialog(DIALOGS, name)
        spent.append(time.perf_counter() - started)
    assert min(spent) <= 0.5


def test_both_languages_of_a_dialog_ask_and_judge_alike() -> None:
    for base in ("active-monitoring", "wellbeing"):
        en, ko = (find_dialog(DIALOGS, f"{base}.{language}") for language in Language)
        assert en.version == ko.version
        for one, other in zip(en.agenda, ko.agenda, strict=True):
            assert (one.code, one.type, one.required, one.bad) == (other.code, other.type, other.required, other.bad)
            assert (one.about, one.opposite, one.coding) == (other.about, other.opposite, other.coding)
        assert [(rule.id, rule.urgency) for rule in en.triage] == [(rule.id, rule.urgency) for rule in ko.triage]


def test_no_sentence_need_be_said_twice_in_a_row(dialog: Dialog) -> None:
    for feeling in Feeling:
        assert len(dialog.texts.acknowledge[feeling]) >= 4
    for text in ("confirm", "repeat_lead", "wait", "silence", "refuse_medical", "refuse_out_of_scope", "resume"):
        assert len(getattr(dialog.texts, text)) >= 2, text
    assert len(dialog.texts.forget) >= 2
    for question in dialog.agenda:
        assert len(question.ask) == (3 if question.required else 2), question.code
        assert len(set(question.ask)) == len(question.ask)


def test_what_is_spoken_is_short(dialog: Dialog) -> None:
    longest = {Language.ENGLISH: 100, Language.KOREAN: 55}[dialog.language]
    spoken = [wording for question in dialog.agenda for wording in question.ask]
    for name in type(dialog.texts).__dataclass_fields__:
        value = getattr(dialog.texts, name)
        spoken += [each for variants in value.values() for each in variants] if isinstance(value, dict) else value
    for text in spoken:
        for sentence in re.split(r"(?<=[.?!])\s+", text):
            assert len(sentence) <= longest, sentence


def test_korean_speaks_politely() -> None:
    for name in ("active-monitoring.ko", "wellbeing.ko"):
        dialog = find_dialog(DIALOGS, name)
        for question in dialog.agenda:
            for wording in question.ask:
                for sentence in re.split(r"(?<=[.?!])\s+", wording):
                    assert re.search(r"요[.?]$", sentence), sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_answer_means_the_same_to_every_wording(name: str) -> None:
    dialog = find_dialog(DIALOGS, name)
    rules = rules_for(dialog.language)
    replies = {
        Language.ENGLISH: {"yes": Ternary.YES, "no": Ternary.NO, "No, not really.": Ternary.NO},
        Language.KOREAN: {"네": Ternary.YES, "아니요": Ternary.NO, "아니 없어요": Ternary.NO},
    }
    for question in dialog.agenda:
        if question.type is not AnswerType.YES_NO:
            continue
        for wording in question.ask:
            asked = Asked(wording, question.type, about=question.about or (question.code,))
            for reply, expected in replies[dialog.language].items():
                answer = rules.read(reply, asked, datetime.date(2026, 3, 2)).answer
                assert answer is not None, wording
                assert answer.value is expected, wording


def test_the_schema_for_editors_is_up_to_date() -> None:
    assert json.loads((DIALOGS / "dialog.schema.json").read_text(encoding="utf-8")) == json_schema()


@pytest.mark.parametrize("name", NAMES)
def test_editors_find_the_schema_and_agree_with_the_loader(name: str) -> None:
    path = DIALOGS / f"{name}.yaml"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=dialog.schema.json"
    jsonschema.validate(read_yaml(path).value, json_schema())
