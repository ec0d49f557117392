"""What people of a seeded database are called and say."""

import random
from dataclasses import dataclass

from carecall.domain.language import Language
from carecall.domain.triage import Urgency
from carecall.memory.memory import Topic

IN_KOREAN = {"Hanbit": "한빛동", "Saebyeok": "새벽동"}
HARD_OF_HEARING = "귀가 어두우셔서 크게 말씀드려야 합니다."
TELEPHONED = "댁으로 전화드려 통화했습니다."
RESOLVED = "전화로 확인했고 괜찮다고 하셨습니다."
_SURNAMES = "김이박최정강조윤장임한오서신권황안송류홍"
_SYLLABLES = "영숙정순자옥희경미선명복덕춘금만길수용철상기종태분남"
_ENGLISH = ("Anna", "Ben", "Clara", "David", "Ellen", "Frank", "Grace", "Henry", "Irene", "James")
_FAMILIES = ("Hill", "Brook", "Stone", "Field", "Wood", "Marsh", "Lane", "Dale", "Ford", "Green")
MEMORIES = (
    ("무릎이 아파서 계단을 천천히 오른다.", Topic.HEALTH),
    ("혈압약을 아침마다 먹는다.", Topic.MEDICATION),
    ("새벽에 자주 깬다.", Topic.SLEEP),
    ("저녁은 죽으로 간단히 먹는다.", Topic.MEALS),
    ("아침마다 공원을 한 바퀴 걷는다.", Topic.EXERCISE),
    ("목요일마다 복지관 노래 교실에 간다.", Topic.OUTINGS),
    ("강아지 복실이와 함께 산다.", Topic.PETS),
    ("손녀가 올해 대학생이 되었다.", Topic.FAMILY),
)


@dataclass(frozen=True, slots=True)
class Concern:
    """What somebody may say that a human has to see."""

    rule: str
    urgency: Urgency
    reason: str
    code: str
    value: str
    words: str

    @property
    def volunteered(self) -> bool:
        """Whether no question asks for it."""
        return self.code not in REPLIES


_CONCERNS = (
    Concern(
        "chest_pain", Urgency.EMERGENCY, "지금 가슴이 아프다고 했습니다.", "chest_pain", "yes", "지금 가슴이 아파요"
    ),
    Concern("fall", Urgency.URGENT, "최근에 넘어졌다고 했습니다.", "fall", "yes", "어제 화장실에서 넘어졌어요"),
    Concern(
        "breathing_or_chest",
        Urgency.URGENT,
        "숨이 차거나 가슴이 아프다고 했습니다.",
        "dyspnea",
        "yes",
        "계단만 올라도 숨이 차요",
    ),
    Concern(
        "not_eating",
        Urgency.ATTENTION,
        "식사를 하지 않았거나 입맛이 없다고 했습니다.",
        "ate",
        "no",
        "입맛이 없어서 못 먹었어요",
    ),
    Concern(
        "health_problem",
        Urgency.ATTENTION,
        "아프거나 불편한 데가 있다고 했습니다.",
        "health_problem",
        "yes",
        "허리가 계속 아프네요",
    ),
    Concern(
        "low_mood", Urgency.ATTENTION, "우울하거나 외롭다고 했습니다.", "low_mood", "yes", "요즘 통 적적하고 그래요"
    ),
)
_WEIGHTS = (1, 3, 3, 5, 5, 3)
REPLIES = {
    "ate": ("yes", "네, 아침에 된장국에 밥 먹었어요"),
    "slept_well": ("yes", "그럭저럭 잘 잤어요"),
    "health_problem": ("no", "아니요, 아픈 데는 없어요"),
    "medication_missed": ("no", "약은 꼬박꼬박 먹고 있어요"),
    "went_out": ("yes", "어제 시장에 다녀왔어요"),
    "exercised": ("yes", "동네 한 바퀴 걸었어요"),
    "low_mood": ("no", "괜찮아요, 마음은 편해요"),
}


def some_name(chance: random.Random, language: Language) -> str:
    if language is Language.ENGLISH:
        return f"{chance.choice(_ENGLISH)} {chance.choice(_FAMILIES)}"
    return chance.choice(_SURNAMES) + "".join(chance.sample(_SYLLABLES, 2))


def some_concern(chance: random.Random) -> Concern:
    return chance.choices(_CONCERNS, _WEIGHTS)[0]


def summary(concern: Concern | None) -> str:
    """Of a call's report."""
    return "식사와 잠이 좋다고 하셨습니다." if concern is None else f"{concern.reason} 확인이 필요합니다."
