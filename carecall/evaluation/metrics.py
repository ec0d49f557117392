"""Figures of merit, as pure functions of what was expected and what was predicted."""

import math
import unicodedata
from collections.abc import Collection, Hashable, Sequence
from typing import TypeVar

Label = TypeVar("Label", bound=Hashable)
Pair = tuple[Label, Label]  # expected, predicted


def accuracy(pairs: Sequence[Pair[Label]]) -> float:
    """The share of equal pairs; 0 when there are none."""
    return _ratio(sum(expected == predicted for expected, predicted in pairs), len(pairs))


def f1(true_positives: int, false_positives: int, false_negatives: int) -> float:
    """The harmonic mean of precision and recall; 0 when nothing was right."""
    return _ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives)


def label_f1(pairs: Sequence[Pair[Label]], label: Label) -> float:
    """F1 of one label against the rest."""
    return f1(*_counts(pairs, label))


def precision_recall(pairs: Sequence[Pair[Label]], label: Label) -> tuple[float, float]:
    """Precision and recall of one label against the rest."""
    right, extra, missed = _counts(pairs, label)
    return _ratio(right, right + extra), _ratio(right, right + missed)


def macro_f1(pairs: Sequence[Pair[Label]], labels: Collection[Label] | None = None) -> float:
    """The unweighted mean of the labels' F1; without ``labels``, of those that were expected or predicted."""
    counted = labels if labels is not None else {label for pair in pairs for label in pair}
    return _ratio(sum(label_f1(pairs, label) for label in counted), len(counted))


def micro_counts(pairs: Sequence[tuple[Collection[Label], Collection[Label]]]) -> tuple[int, int, int]:
    """Of pairs of sets, summed: how many members were right, extra and missed."""
    right = extra = missed = 0
    for expected, predicted in pairs:
        wanted, found = set(expected), set(predicted)
        right += len(wanted & found)
        extra += len(found - wanted)
        missed += len(wanted - found)
    return right, extra, missed


def average_precision(relevant: Sequence[bool], scores: Sequence[float]) -> float:
    """Area under the precision-recall steps, Σ (Rₙ − Rₙ₋₁) Pₙ over falling thresholds; equal scores form one step.

    0 when nothing is relevant.
    """
    ranked = sorted(zip(scores, relevant, strict=True), key=lambda each: -each[0])
    area = 0.0
    found = found_before = 0
    for place, (score, is_relevant) in enumerate(ranked, start=1):
        found += is_relevant
        if place == len(ranked) or ranked[place][0] != score:
            area += (found - found_before) * found / place
            found_before = found
    return _ratio(area, found)


def set_f1(expected: Collection[str], predicted: Collection[str]) -> float:
    """F1 of two sets of sentences, which are equal when their plain forms are. Two empty sets score 1."""
    wanted, found = {plain(each) for each in expected}, {plain(each) for each in predicted}
    if not wanted and not found:
        return 1.0
    return 2 * len(wanted & found) / (len(wanted) + len(found))


def plain(text: str) -> str:
    """NFKC, lower case, apostrophes dropped, other punctuation as space, single spaces."""
    folded = unicodedata.normalize("NFKC", text).lower().replace("'", "").replace("’", "")
    return " ".join("".join(" " if unicodedata.category(sign)[0] == "P" else sign for sign in folded).split())


def edit_distance(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions."""
    row = list(range(len(found) + 1))
    for i, want in enumerate(wanted, start=1):
        diagonal, row[0] = row[0], i
        for j, have in enumerate(found, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (want != have))
    return row[-1]


def error_rate(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> float:
    """Edits over the length of what was wanted, over all pairs together. Above 1 when far too much was found."""
    return _ratio(sum(edit_distance(wanted, found) for wanted, found in pairs), sum(len(wanted) for wanted, _ in pairs))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 when there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def mean(values: Sequence[float]) -> float:
    return _ratio(sum(values), len(values))


def _counts(pairs: Sequence[Pair[Label]], label: Label) -> tuple[int, int, int]:
    right = sum(expected == label == predicted for expected, predicted in pairs)
    extra = sum(predicted == label != expected for expected, predicted in pairs)
    missed = sum(expected == label != predicted for expected, predicted in pairs)
    return right, extra, missed


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
