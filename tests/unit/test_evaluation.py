"""Evaluation: metrics against figures worked out by hand, files that are wrong, and the command itself."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from carecall.cli import evaluate
from carecall.domain.language import Language
from carecall.errors import CareCallError
from carecall.evaluation import metrics
from carecall.evaluation.records import BoundsRecord, EvaluationFileError, language_of, read_lines, read_recordings
from carecall.evaluation.speech import through_telephone

app = typer.Typer()
app.callback()(lambda: None)
evaluate.register(app)
runner = CliRunner()


def test_macro_f1_is_the_mean_of_the_labels() -> None:
    pairs = [("yes", "yes"), ("yes", "no"), ("no", "no"), ("unknown", "no")]
    assert metrics.label_f1(pairs, "yes") == pytest.approx(2 / 3)
    assert metrics.label_f1(pairs, "no") == pytest.approx(0.5)
    assert metrics.macro_f1(pairs, ["yes", "no", "unknown"]) == pytest.approx((2 / 3 + 0.5 + 0) / 3)


def test_average_precision_steps_down_the_ranking() -> None:
    # Ranked: relevant (1/1), not, relevant (2/3): (1 + 2/3) / 2
    assert metrics.average_precision([True, False, True], [0.9, 0.8, 0.7]) == pytest.approx((1 + 2 / 3) / 2)


def test_equal_scores_are_one_step_of_average_precision() -> None:
    assert metrics.average_precision([True, False], [0.5, 0.5]) == metrics.average_precision([False, True], [0.5, 0.5])
    assert metrics.average_precision([True, False], [0.5, 0.5]) == pytest.approx(0.5)


def test_micro_counts_are_summed_over_lines() -> None:
    assert metrics.micro_counts([({"a", "b"}, {"a"}), (set(), {"c"})]) == (1, 1, 1)
    assert metrics.f1(1, 1, 1) == pytest.approx(0.5)


def test_sets_of_sentences_are_compared_in_their_plain_form() -> None:
    assert metrics.set_f1(["Has a cat.", "Swims."], ["has a  cat"]) == pytest.approx(2 / 3)
    assert metrics.set_f1([], []) == 1.0


def test_error_rate_counts_edits_over_all_that_was_wanted() -> None:
    assert metrics.edit_distance("kitten", "sitting") == 3
    assert metrics.error_rate([(["a", "b"], ["a"]), (["c", "d"], ["c", "d"])]) == pytest.approx(0.25)


def test_percentiles_are_values_that_were_measured() -> None:
    assert metrics.percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert metrics.percentile([4.0, 1.0, 3.0, 2.0], 0.95) == 4.0


def test_the_language_is_told_by_the_script() -> None:
    assert language_of("네, yes") is Language.KOREAN
    assert language_of("yes") is Language.ENGLISH


def test_a_telephone_line_keeps_speech_and_loses_what_is_above_4_khz() -> None:
    time_s = np.arange(16_000, dtype=np.float32) / 16_000
    low = np.sin(2 * np.pi * 440 * time_s).astype(np.float32) * 0.5
    high = np.sin(2 * np.pi * 6_000 * time_s).astype(np.float32) * 0.5
    heard = through_telephone(low, 16_000)
    assert len(heard) == 8_000
    error = heard - low[::2]
    assert np.sqrt(np.mean(error[200:-200] ** 2)) < 0.02
    assert np.sqrt(np.mean(through_telephone(high, 16_000)[200:-200] ** 2)) < 0.01


def lines(path: Path, *records: dict[str, object]) -> Path:
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8")
    return path


def bounds_line(number: int, utterance: str, expected: str | None) -> dict[str, object]:
    context = [{"role": "person", "text": "my knee hurts"}]
    record: dict[str, object] = {"id": f"b-{number}", "language": "en", "context": context, "utterance": utterance}
    return record if expected is None else record | {"expected": expected}


def test_a_wrong_line_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "bounds.jsonl"
    file.write_text(json.dumps(bounds_line(1, "Hello.", "in")) + "\n{not json\n", encoding="utf-8")
    with pytest.raises(EvaluationFileError, match="line 2: is not JSON"):
        read_lines(file, BoundsRecord)


def test_a_recording_without_a_transcript_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "speech.tsv"
    file.write_text("a.wav hello", encoding="utf-8")
    with pytest.raises(EvaluationFileError, match="line 1: wants a wav path, a tab"):
        read_recordings(file)


def test_the_command_prints_one_json_object(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "bounds.jsonl",
        bounds_line(1, "I'll visit you tomorrow.", "out"),
        bounds_line(2, "I'm sorry your knee hurts.", "in"),
        bounds_line(3, "Your knee hurts, I see.", "out"),
    )
    result = runner.invoke(app, ["evaluate", "bounds", str(file), "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["kind"], found["n"]) == ("bounds", 3)
    assert [(each["id"], each["predicted"]) for each in found["items"]] == [
        ("b-1", "out"),
        ("b-2", "in"),
        ("b-3", "in"),
    ]
    assert found["metrics"] == pytest.approx({"precision": 1.0, "recall": 0.5, "f1": 2 / 3})


def test_unlabelled_lines_are_predicted_without_metrics(tmp_path: Path) -> None:
    file = lines(tmp_path / "bounds.jsonl", bounds_line(1, "I'll visit you tomorrow.", None))
    found = json.loads(runner.invoke(app, ["evaluate", "bounds", str(file), "--json"]).stdout)
    assert found["items"][0]["predicted"] == "out"
    assert found["metrics"] == {}


def test_replies_are_read_by_the_rules(tmp_path: Path) -> None:
    ask: dict[str, object] = {"language": "en", "ask": "Do you have a cough?", "answer_type": "yes_no"}
    file = lines(
        tmp_path / "understanding.jsonl",
        {"id": "u-1", "reply": "yes I do", "expected": "yes"} | ask,
        {"id": "u-2", "reply": "no not at all", "expected": "no"} | ask,
    )
    found = json.loads(runner.invoke(app, ["evaluate", "understanding", str(file), "--json", "--llm", "none"]).stdout)
    assert [each["predicted"] for each in found["items"]] == ["yes", "no"]
    assert found["metrics"]["yes_no_f1_yes"] == 1.0
    assert set(found["items"][0]["scores"]) == {"yes", "no", "unknown"}


def test_memory_is_measured_by_session(tmp_path: Path) -> None:
    sessions = [
        {"date": "2026-01-01", "memory_before": [], "dialogue": [], "new_facts": ["Has a cough."]},
        {"date": "2026-01-08", "memory_before": ["Has a cough."], "dialogue": [], "new_facts": ["Cough is gone."]},
    ]
    sessions[0]["memory_after"], sessions[1]["memory_after"] = ["Has a cough."], []
    file = tmp_path / "memory.json"
    file.write_text(json.dumps([{"episode": "E", "sessions": sessions}]), encoding="utf-8")
    found = json.loads(runner.invoke(app, ["evaluate", "memory", str(file), "--json", "--llm", "none"]).stdout)
    assert [(each["id"], each["predicted"]) for each in found["items"]] == [("E/0", ["Has a cough."]), ("E/1", [])]
    assert found["metrics"]["set_f1_second_session_on"] == 1.0


def test_tables_are_for_people(tmp_path: Path) -> None:
    file = lines(tmp_path / "bounds.jsonl", bounds_line(1, "I'll visit you tomorrow.", "in"))
    result = runner.invoke(app, ["evaluate", "bounds", str(file)])
    assert "precision" in result.stdout
    assert "b-1" in result.stdout


@pytest.mark.parametrize("arguments", [["moods", "FILE"], ["bounds", "missing.jsonl"], ["bounds"]])
def test_wrong_usage_exits_with_2(arguments: list[str], tmp_path: Path) -> None:
    file = lines(tmp_path / "bounds.jsonl", bounds_line(1, "Hello.", "in"))
    result = runner.invoke(app, ["evaluate", *[str(file) if each == "FILE" else each for each in arguments]])
    assert result.exit_code == 2


def test_an_unreadable_wav_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"not a wav")
    file = tmp_path / "speech.tsv"
    file.write_text("a.wav\thello", encoding="utf-8")
    result = runner.invoke(app, ["evaluate", "speech", str(file), "--language", "en"])
    assert isinstance(result.exception, CareCallError)
    assert "a.wav: is not a wav file" in str(result.exception)


def test_eight_bit_audio_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8_000)
        file.writeframes(b"\x80" * 800)
    listing = tmp_path / "speech.tsv"
    listing.write_text("a.wav\thello", encoding="utf-8")
    result = runner.invoke(app, ["evaluate", "speech", str(listing)])
    assert "is not 16-bit PCM" in str(result.exception)
