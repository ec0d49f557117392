"""Reading a language's vocabulary from its file."""

from pathlib import Path

import pytest

from carecall.dialog.understanding.lexicon import FindingKind, Lexicon, Phrases, VocabularyError, load_lexicon
from carecall.domain.language import Language
from carecall.settings import settings


def load(directory: Path, content: str) -> Lexicon:
    (directory / "lexicon.en.yaml").write_text(content, encoding="utf-8")
    return load_lexicon(directory, Language.ENGLISH)


HEAD = 'language: en\nversion: "1"\n'


def test_findings_lists_and_intents_are_compiled(tmp_path: Path) -> None:
    lexicon = load(
        tmp_path,
        HEAD
        + "findings:\n  fall: {kind: event, topic: [fall], present: ['fell down'], absent: [upright]}\n"
        + "intents:\n  goodbye: [bye]\nnegations: ['not', 'no']\n",
    )
    assert lexicon.findings["fall"].kind is FindingKind.EVENT
    assert lexicon.findings["fall"].present.search("I Fell Down")
    assert lexicon.intents["goodbye"].search("bye bye")
    assert lexicon.phrases("negations").search("not me")
    assert lexicon.phrases("never written").search("anything") is None


def test_classes_are_filled_in_and_counts_are_left_alone(tmp_path: Path) -> None:
    lexicon = load(
        tmp_path,
        HEAD + "classes: {part1: 'head|{inner}', inner: knee}\nwhole_words: true\nfindings: {}\n"
        "sore: ['{part1} (?:\\w+ ){0,2}hurts']\n",
    )
    assert lexicon.phrases("sore").search("my knee really hurts")
    assert lexicon.phrases("sore").search("my forehead hurts") is None


def test_masking_keeps_places() -> None:
    assert Phrases(["pain in the neck"]).mask("a pain in the neck he is") == "a ____ __ ___ ____ he is"


@pytest.mark.parametrize(("content", "trouble"), [
    (HEAD, "findings: Field required"),
    (HEAD + "findings: {fever: {presnt: [hot]}}\n", "findings.fever.presnt"),
    (HEAD + "findings: {fever: {present: ['(hot']}}\n", "findings.fever.present.0"),
    (HEAD + "findings: {fever: {present: ['{heat}']}}\n", "names the class heat"),
    (HEAD + "classes: {a: '{a}'}\nfindings: {fever: {present: ['{a}']}}\n", "takes in itself"),
    (HEAD + "findings: {}\nnegations: not\n", "negations"),
    ('language: ko\nversion: "1"\nfindings: {}\n', "language"),
    ("findings: [", "not valid YAML"),
])  # fmt: skip
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, content: str, trouble: str) -> None:
    with pytest.raises(VocabularyError, match=trouble) as refusal:
        load(tmp_path, content)
    assert "\n" not in str(refusal.value)
    assert "lexicon.en.yaml" in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"lexicon\.en\.yaml"):
        load_lexicon(tmp_path, Language.ENGLISH)


def test_opposites_of_the_english_lexicon_name_each_other() -> None:
    findings = load_lexicon(settings().dialogs_dir, Language.ENGLISH).findings
    for name, finding in findings.items():
        if finding.opposite:
            assert findings[finding.opposite].opposite == name
