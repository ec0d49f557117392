"""How Korean replies are read: answers, volunteered findings, intents, feeling."""

import datetime
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carecall.dialog.definition import Choice, Feeling
from carecall.dialog.understanding.korean import KoreanRules
from carecall.dialog.understanding.meaning import Asked, Understanding
from carecall.domain.finding import AnswerType, Ternary, Unit

TODAY = datetime.date(2025, 3, 12)  # a Wednesday
RULES = KoreanRules()

FEVER = "지금 열이 나세요?"
COUGH = "기침을 하세요?"
THROAT = "목이 아프거나 따가우세요?"
BREATH = "숨이 차거나 숨쉬기 힘드신가요?"
ATE = "오늘 식사는 하셨어요?"
SLEPT = "어젯밤에 잘 주무셨어요?"
MEDICINE = "오늘 약은 드셨어요?"
OUT = "오늘 밖에 나갔다 오셨어요?"
EXERCISE = "요즘 운동은 하고 계세요?"
FELL = "최근에 넘어지신 적 있으세요?"
PAIN = "지금 아픈 데가 있으세요?"
MOOD = "요즘 기분이 우울하거나 처지세요?"
DIARRHEA = "설사를 하세요?"
HEAD = "머리가 아프세요?"
SMELL = "냄새나 맛을 못 느끼세요?"
CHILLS = "몸이 떨리고 오한이 있으세요?"
ACHES = "몸살처럼 온몸이 쑤시세요?"
DIZZY = "어지러우세요?"
WATER = "오늘 물은 충분히 드셨어요?"
LONELY = "요즘 외롭다고 느끼세요?"
APPETITE = "입맛은 있으세요?"
HOSPITAL = "오늘 병원에 다녀오셨어요?"


def read(reply: str, ask: str, kind: AnswerType = AnswerType.OPEN, unit: Unit | None = None) -> Understanding:
    return RULES.read(reply, Asked(ask, kind, unit), TODAY)


def yes_no(reply: str, ask: str) -> str:
    answer = read(reply, ask, AnswerType.YES_NO).answer
    assert answer is not None
    assert answer.quote in reply
    assert set(answer.scores) == set(Ternary)
    return str(answer.value)


INDIRECT = [
    (FEVER, "이마가 불덩이 같아요", "yes"),
    (FEVER, "어제부터 펄펄 끓어요", "yes"),
    (FEVER, "재 보니까 삼십칠 도 구 부", "yes"),
    (FEVER, "해열제 먹고 떨어졌어", "no"),
    (FEVER, "삼십육 도 팔 부면 정상이지 뭐", "no"),
    (FEVER, "열은 무슨 열이야 멀쩡해", "no"),
    (FEVER, "아침에 재니 정상이더라고", "no"),
    (COUGH, "밤새 콜록콜록했어요", "yes"),
    (COUGH, "지난주에는 했는데 요즘은 안 해요", "no"),
    (COUGH, "한 번도 안 했어", "no"),
    (COUGH, "아직도 안 떨어지네요", "yes"),
    (COUGH, "가끔 해요", "yes"),
    (THROAT, "물만 삼켜도 아파", "yes"),
    (THROAT, "목은 안 아픈데 코가 막혔어요", "no"),
    (THROAT, "좀 잠겼어요", "yes"),
    (BREATH, "조금만 걸어도 숨이 가빠", "yes"),
    (BREATH, "아니 숨은 편해", "no"),
    (BREATH, "숨 쉬는 건 괜찮아요", "no"),
    (ATE, "아까 국수 한 그릇 말아 먹었지", "yes"),
    (ATE, "이제 먹으려고 상 차리고 있어요", "no"),
    (ATE, "아침은 걸렀어", "no"),
    (ATE, "밥 생각이 없어서 그냥 있었어", "no"),
    (ATE, "누룽지 조금 끓여 먹었어요", "yes"),
    (ATE, "배불러 죽겠어", "yes"),
    (ATE, "굶지는 않았어요", "yes"),
    (ATE, "딸이 와서 밥 차려 줘서 먹었어", "yes"),
    (SLEPT, "세상모르고 잤지", "yes"),
    (SLEPT, "몇 번을 깼는지 몰라", "no"),
    (SLEPT, "잠이 안 와서 혼났어요", "no"),
    (SLEPT, "네 푹 잤습니다", "yes"),
    (SLEPT, "화장실 들락거리느라 설쳤어", "no"),
    (MEDICINE, "아침 먹고 바로 먹었어요", "yes"),
    (MEDICINE, "아이고 깜빡했네", "no"),
    (MEDICINE, "약이 떨어져서 못 먹었어", "no"),
    (MEDICINE, "며느리가 챙겨 줘서 꼬박꼬박 먹지", "yes"),
    (MEDICINE, "이따 점심 먹고 먹을 거예요", "no"),
    (OUT, "경로당 갔다 왔지", "yes"),
    (OUT, "비가 와서 집에만 있었어요", "no"),
    (OUT, "다리가 아파서 꼼짝도 못 했어", "no"),
    (OUT, "시장 한 바퀴 돌고 왔어요", "yes"),
    (EXERCISE, "매일 공원을 걸어요", "yes"),
    (EXERCISE, "무릎이 아파서 못 해", "no"),
    (EXERCISE, "귀찮아서 안 해요", "no"),
    (FELL, "엊그제 계단에서 굴렀어요", "yes"),
    (FELL, "넘어질 뻔은 했는데 안 넘어졌어", "no"),
    (FELL, "한 번도 없어요", "no"),
    (FELL, "목욕탕에서 미끄러졌어", "yes"),
    (PAIN, "무릎이 시큰거려", "yes"),
    (PAIN, "안 아픈 데가 없어", "yes"),
    (PAIN, "말짱해요 아무 데도 안 아파", "no"),
    (PAIN, "어깨가 결려서 팔을 못 들겠어", "yes"),
    (MOOD, "사는 게 재미가 하나도 없어요", "yes"),
    (MOOD, "매일 웃고 살지", "no"),
    (MOOD, "자꾸 눈물이 나", "yes"),
    (MOOD, "우울할 새가 어디 있어", "no"),
    (DIARRHEA, "배탈이 나서 좍좍 쏟아", "yes"),
    (DIARRHEA, "이제 멎었어요", "no"),
    (HEAD, "머리가 깨질 것 같아", "yes"),
    (HEAD, "아침에는 아팠는데 지금은 괜찮아", "no"),
    (SMELL, "된장 냄새도 안 나", "yes"),
    (SMELL, "밥이 맛있어 냄새도 잘 나고", "no"),
    (CHILLS, "이불 뒤집어쓰고 벌벌 떨고 있어", "yes"),
    (CHILLS, "아니 하나도 안 추워", "no"),
    (ACHES, "여기저기 안 쑤시는 데가 없어", "yes"),
    (ACHES, "몸은 가벼워요", "no"),
    (DIZZY, "천장이 빙빙 돌아", "yes"),
    (DIZZY, "그런 증상은 없어요", "no"),
    (WATER, "거의 안 마셨어요", "no"),
    (WATER, "물통 들고 다니면서 마셔요", "yes"),
    (LONELY, "찾아오는 사람이 아무도 없어", "yes"),
    (LONELY, "손주들이 매일 와서 심심할 틈이 없어", "no"),
    (APPETITE, "밥맛이 꿀맛이야", "yes"),
    (APPETITE, "통 당기는 게 없어", "no"),
    (APPETITE, "뭘 먹어도 맛있어", "yes"),
    (HOSPITAL, "내일 가려고", "no"),
    (HOSPITAL, "내과 가서 약 타 왔어", "yes"),
    (HOSPITAL, "오늘은 쉬는 날이라 못 갔어요", "no"),
    (FEVER, "아니 미열도 없어", "no"),
    (FEVER, "몸이 뜨겁고 오슬오슬해", "yes"),
    (FEVER, "낮에는 좀 있었는데 약 먹고 내렸어요", "no"),
    (FEVER, "열이 안 떨어져요", "yes"),
    (FEVER, "체온계가 고장 나서 못 재 봤어요", "unknown"),
    (FEVER, "삼십팔 도가 넘어요", "yes"),
    (FEVER, "그런 건 없고 기침만 해요", "no"),
    (COUGH, "목에 가래가 끓어서 캑캑거려요", "yes"),
    (COUGH, "예전에는 심했지 지금은 안 그래", "no"),
    (COUGH, "거의 안 해요", "no"),
    (COUGH, "잠을 못 잘 정도로 해요", "yes"),
    (COUGH, "밤만 되면 나와", "yes"),
    (COUGH, "코로나 뉴스 봤어요?", "unknown"),
    (THROAT, "밥 넘길 때 따끔거려요", "yes"),
    (THROAT, "별로 안 아파요", "no"),
    (THROAT, "목소리가 쉬었어요", "yes"),
    (BREATH, "괜찮아 잘 쉬어", "no"),
    (BREATH, "가슴이 답답하고 숨이 차", "yes"),
    (BREATH, "말만 해도 숨차요", "yes"),
    (BREATH, "전에는 그랬는데 이제 편해졌어", "no"),
    (ATE, "방금 숟가락 놨어요", "yes"),
    (ATE, "밥맛이 없어서 물에 말아 조금 떴어", "yes"),
    (ATE, "점심 준비하는 중이에요", "no"),
    (ATE, "여태 아무것도 입에 안 댔어", "no"),
    (ATE, "경로당에서 다 같이 먹고 왔지", "yes"),
    (ATE, "먹어야지 이제", "no"),
    (ATE, "며느리가 반찬을 해 왔더라고", "unknown"),
    (ATE, "예 잘 먹었습니다", "yes"),
    (ATE, "속이 안 좋아서 못 먹겠어요", "no"),
    (ATE, "빵으로 때웠어", "yes"),
    (SLEPT, "뜬눈으로 지새웠어요", "no"),
    (SLEPT, "네 시간밖에 못 잤어", "no"),
    (SLEPT, "한 번도 안 깨고 잤어요", "yes"),
    (SLEPT, "옆집이 시끄러워서 잠을 설쳤어", "no"),
    (SLEPT, "그럭저럭 잤어요", "yes"),
    (SLEPT, "자다 깨다 했지", "no"),
    (SLEPT, "초저녁에 곯아떨어졌어", "yes"),
    (SLEPT, "못 잔 건 아니고 그냥 잤어", "yes"),
    (MEDICINE, "약 먹는 걸 잊었네", "no"),
    (MEDICINE, "먹고 있어요 하루 세 번", "yes"),
    (MEDICINE, "혈압약 말고는 먹었어", "yes"),
    (MEDICINE, "지금 먹으려던 참이야", "no"),
    (MEDICINE, "먹기 싫어서 안 먹어", "no"),
    (MEDICINE, "약통이 비어 있는 거 보니 먹었네", "yes"),
    (MEDICINE, "의사가 끊으라고 해서 안 먹어요", "no"),
    (OUT, "마당에만 나갔어", "yes"),
    (OUT, "추워서 나갈 엄두가 안 나", "no"),
    (OUT, "오후에 나가 볼까 해요", "no"),
    (OUT, "쓰레기 버리고 왔어요", "yes"),
    (OUT, "하루 종일 누워 있었어요", "no"),
    (OUT, "손녀랑 바람 쐬고 왔지", "yes"),
    (EXERCISE, "아침저녁으로 맨손체조 해", "yes"),
    (EXERCISE, "나이 먹어서 무슨 운동을 해", "no"),
    (EXERCISE, "날이 추워서 쉬고 있어요", "no"),
    (EXERCISE, "만 보씩 걷습니다", "yes"),
    (EXERCISE, "복지관에서 요가 배워요", "yes"),
    (FELL, "빙판에서 꽈당 했어요", "yes"),
    (FELL, "아니 안 넘어졌어", "no"),
    (FELL, "지팡이 짚고 다녀서 괜찮아", "no"),
    (FELL, "작년에 한 번 넘어졌지 요즘은 없어", "no"),
    (FELL, "우리 언니가 넘어졌어", "unknown"),
    (PAIN, "온몸이 종합병원이야", "yes"),
    (PAIN, "이가 시려서 못 씹겠어", "yes"),
    (PAIN, "덕분에 건강해요", "no"),
    (PAIN, "늙으면 다 아프지 뭐", "yes"),
    (PAIN, "아픈 데 없이 잘 지내", "no"),
    (PAIN, "허리는 이제 다 나았어", "no"),
    (PAIN, "손가락 마디가 붓고 쑤셔", "yes"),
    (MOOD, "아니 요즘 살맛 나", "no"),
    (MOOD, "죽은 영감 생각에 잠이 안 와 울기만 해", "yes"),
    (MOOD, "그런대로 괜찮아요", "no"),
    (MOOD, "아무것도 하기 싫고 누워만 있고 싶어", "yes"),
    (MOOD, "마음이 편해요", "no"),
    (MOOD, "글쎄 그날그날 달라서", "unknown"),
    (DIARRHEA, "변이 묽어요", "yes"),
    (DIARRHEA, "변은 좋아요", "no"),
    (DIARRHEA, "아침에 두 번 하고 지금은 괜찮아", "no"),
    (HEAD, "지끈지끈해 죽겠어", "yes"),
    (HEAD, "머리는 괜찮고 어깨가 아파", "no"),
    (HEAD, "약 먹으니까 싹 가셨어", "no"),
    (SMELL, "다 느껴요", "no"),
    (SMELL, "뭘 먹어도 맛을 모르겠어", "yes"),
    (SMELL, "국이 짠지 싱거운지 통 모르겠어요", "yes"),
    (SMELL, "네 못 느껴요", "yes"),
    (SMELL, "아니 잘 느껴", "no"),
    (SMELL, "코가 막혀서 냄새를 못 맡아요", "yes"),
    (CHILLS, "따뜻하게 있어서 괜찮아요", "no"),
    (CHILLS, "춥고 떨려 죽겠어", "yes"),
    (ACHES, "삭신이 다 쑤시네", "yes"),
    (ACHES, "그건 아니고 무릎만 아파", "no"),
    (DIZZY, "가끔 눈앞이 캄캄해져", "yes"),
    (DIZZY, "아침에 좀 어지럽더니 가라앉았어", "no"),
    (WATER, "하루에 한 주전자는 마셔", "yes"),
    (WATER, "화장실 자주 갈까 봐 안 마셔", "no"),
    (WATER, "한 잔밖에 안 먹었네", "no"),
    (LONELY, "자식들이 다 멀리 사니 적적하지", "yes"),
    (LONELY, "친구들이 많아서 안 외로워", "no"),
    (LONELY, "혼자 사니까 그렇지 뭐", "yes"),
    (APPETITE, "밥이 모래알 같아", "no"),
    (APPETITE, "잘 먹고 있어요", "yes"),
    (APPETITE, "요즘 통 못 먹어", "no"),
    (HOSPITAL, "다음 주에 예약돼 있어", "no"),
    (HOSPITAL, "아니 안 갔어", "no"),
    (HOSPITAL, "네 방금 왔어요", "yes"),
    ("콧물이 나세요?", "줄줄 흘러요", "yes"),
    ("콧물이 나세요?", "코는 뻥 뚫렸어", "no"),
    ("속이 메스꺼우세요?", "먹은 걸 다 토했어", "yes"),
    ("속이 메스꺼우세요?", "속은 편해요", "no"),
    ("집은 따뜻하세요?", "보일러 틀어서 뜨끈해", "yes"),
    ("집은 따뜻하세요?", "외풍이 심해서 추워", "no"),
    ("기침은 없으세요?", "조금 있어요", "yes"),
    ("기침은 없으세요?", "네 전혀 없어요", "no"),
    ("가슴이 답답하지는 않으세요?", "네 안 답답해요", "no"),
    ("잠은 잘 주무세요?", "수면제 먹어야 자", "no"),
    ("약은 잘 챙겨 드세요?", "네 딸이 챙겨 줘요", "yes"),
    ("피곤하세요?", "녹초가 됐어", "yes"),
    ("피곤하세요?", "쌩쌩해", "no"),
    ("오늘 변은 보셨어요?", "아직 못 봤어요", "no"),
    ("오늘 변은 보셨어요?", "아침에 봤어요", "yes"),
    ("오늘 혈압은 재 보셨어요?", "아까 쟀어요", "yes"),
    ("오늘 혈압은 재 보셨어요?", "안 쟀는데", "no"),
]


@pytest.mark.parametrize(("ask", "reply", "meaning"), INDIRECT)
def test_indirect_answer_is_understood(ask: str, reply: str, meaning: str) -> None:
    assert yes_no(reply, ask) == meaning


DIALECT = [
    (COUGH, "지침이 쪼매 나예", "yes"),
    (FEVER, "열은 읎는디", "no"),
    (FEVER, "하모 열이 억수로 난다 아이가", "yes"),
    (ATE, "묵었다 아입니까", "yes"),
    (ATE, "아직 안 묵었심더", "no"),
    (ATE, "아따 밥 묵었제", "yes"),
    (PAIN, "허리가 겁나게 아파부러", "yes"),
    (PAIN, "아픈 디는 읎슈", "no"),
    (DIZZY, "쪼까 어지럽구먼유", "yes"),
    (MEDICINE, "약은 챙겨 묵었지라", "yes"),
    (SLEPT, "한숨도 몬 잤다", "no"),
    (SLEPT, "잘 잤당께요", "yes"),
    (FELL, "자빠진 적 엄따", "no"),
    (OUT, "장에 댕겨왔어유", "yes"),
    (HEAD, "언지예 안 아픕니더", "no"),
    (HEAD, "머리가 지끈지끈허요", "yes"),
    (PAIN, "물팍이 쑤셔 죽겄어", "yes"),
    (MOOD, "고마 사는 기 재미가 없다", "yes"),
]


@pytest.mark.parametrize(("ask", "reply", "meaning"), DIALECT)
def test_dialect_is_understood(ask: str, reply: str, meaning: str) -> None:
    assert yes_no(reply, ask) == meaning


NEGATIVE_ASKS = [
    ("두통은 없으세요?", "네", "no"),
    ("두통은 없으세요?", "네 없어요", "no"),
    ("두통은 없으세요?", "없어요", "no"),
    ("두통은 없으세요?", "있어요 좀 아파", "yes"),
    ("두통은 없으세요?", "아니요 머리가 아파요", "yes"),
    ("두통은 없으세요?", "아뇨 없습니다", "no"),
    ("넘어지신 적은 없으시죠?", "네 그런 일 없어요", "no"),
    ("넘어지신 적은 없으시죠?", "아니 어제 화장실에서 미끄러졌어", "yes"),
    ("기침이나 가래는 없으신가요?", "예 괜찮습니다", "no"),
    ("기침이나 가래는 없으신가요?", "기침이 좀 있어요", "yes"),
    ("어지럽지는 않으세요?", "네 괜찮아요", "no"),
    ("어지럽지는 않으세요?", "좀 어지러워요", "yes"),
    ("숨이 차지는 않으세요?", "안 차요", "no"),
    ("약을 거르신 적은 없으세요?", "한 번도 없어요", "no"),
    ("약을 거르신 적은 없으세요?", "어제 한 번 빼먹었어요", "yes"),
    ("입맛이 없으세요?", "네 통 없어요", "yes"),
    ("외롭지 않으세요?", "외롭지 뭐", "yes"),
]


@pytest.mark.parametrize(("ask", "reply", "meaning"), NEGATIVE_ASKS)
def test_yes_means_the_symptom_is_there_however_politely_it_is_asked(ask: str, reply: str, meaning: str) -> None:
    assert yes_no(reply, ask) == meaning


OPENING_WORD = [
    (MOOD, "아니오. 집에 있어도 우울하니까", "yes"),
    (FEVER, "네 열은 없습니다", "no"),
    (COUGH, "아니 기침이 자꾸 나", "yes"),
    (HEAD, "예 이제 안 아파요", "no"),
    (SLEPT, "네, 근데 잠을 설쳤어요", "no"),
    (ATE, "아니 먹기는 먹었지", "yes"),
    (PAIN, "응 허리가 좀 그래", "yes"),
    (FEVER, "네", "yes"),
    (FEVER, "아니요", "no"),
    (ATE, "응 그럼", "yes"),
    (FEVER, "전혀요", "no"),
    (COUGH, "그럼요", "yes"),
]


@pytest.mark.parametrize(("ask", "reply", "meaning"), OPENING_WORD)
def test_meaning_counts_more_than_the_word_it_opens_with(ask: str, reply: str, meaning: str) -> None:
    assert yes_no(reply, ask) == meaning


UNKNOWN = [
    (FEVER, "글쎄 잘 모르겠네"),
    (FEVER, "열이요?"),
    (FEVER, "네? 뭐라고요?"),
    (FEVER, "안 재 봐서 몰라"),
    (COUGH, "잠깐만 누가 왔어요"),
    (MEDICINE, "먹었는지 안 먹었는지 모르겠어"),
    (MEDICINE, "그게 가물가물하네"),
    (FELL, "있었던가 없었던가"),
    (SLEPT, "아이고 우리 손주가 대학에 붙었어"),
    (HEAD, "누구세요?"),
    (DIZZY, "우리 영감이 어지럽대"),
    (PAIN, "소리가 안 들려요"),
    (OUT, "그 저 뭐 음"),
    (COUGH, ""),
    (COUGH, "..."),
]


@pytest.mark.parametrize(("ask", "reply"), UNKNOWN)
def test_unknown_is_never_no(ask: str, reply: str) -> None:
    assert yes_no(reply, ask) == "unknown"


NUMBERS = [
    (Unit.CELSIUS, "삼십칠도 팔부", 37.8),
    (Unit.CELSIUS, "삼십팔 점 이", 38.2),
    (Unit.CELSIUS, "37.8", 37.8),
    (Unit.CELSIUS, "37.5도요", 37.5),
    (Unit.CELSIUS, "삼십육 도 오 부입니다", 36.5),
    (Unit.CELSIUS, "삼십칠 점 오 도", 37.5),
    (Unit.CELSIUS, "삼십팔 도 반", 38.5),
    (Unit.CELSIUS, "아까는 삼십팔 도였는데 지금은 삼십칠 도", 37),
    (Unit.CELSIUS, "안 재 봤어요", None),
    (Unit.CELSIUS, "화씨로 백 점 사 도요", 38),
    (Unit.FAHRENHEIT, "삼십칠 도", 98.6),
    (Unit.HOURS, "여섯 시간 반", 6.5),
    (Unit.HOURS, "일곱 시간 삼십 분쯤", 7.5),
    (Unit.HOURS, "열한 시에 자서 여섯 시에 일어났어", 7),
    (Unit.HOURS, "한숨도 못 잤어요", 0),
    (Unit.HOURS, "네 시간, 아니 다섯 시간", 5),
    (Unit.HOURS, "8시간 잤습니다", 8),
    (Unit.HOURS, "꼬박 샜어", 0),
    (Unit.MEALS, "세 끼 다 먹었어요", 3),
    (Unit.MEALS, "두 끼 먹었지", 2),
    (Unit.MEALS, "아침하고 저녁만", 2),
    (Unit.MEALS, "점심은 거르고 아침 저녁 먹었어", 2),
    (Unit.MEALS, "하루 종일 굶었어", 0),
    (Unit.MEALS, "두 번이요", 2),
    (Unit.MEALS, "아침 점심 다 먹었어요", 2),
    (Unit.MEALS, "먹긴 먹었는데 기억이 안 나", None),
    (Unit.SCORE_0_10, "십 점 만점에 칠 점", 7),
    (Unit.SCORE_0_10, "8점 정도", 8),
    (Unit.SCORE_0_10, "여덟이었는데 지금은 셋", 3),
    (Unit.SCORE_0_10, "오 점이요", 5),
    (Unit.SCORE_0_10, "하나도 안 아파 영점", 0),
    (Unit.SCORE_0_10, "많이 아프지 뭐", None),
    (Unit.SCORE_0_10, "일곱 아니 여섯", 6),
]


@pytest.mark.parametrize(("unit", "reply", "value"), NUMBERS)
def test_number_is_read_in_the_unit_asked_for(unit: Unit, reply: str, value: float | None) -> None:
    answer = read(reply, "얼마나 되세요?", AnswerType.NUMBER, unit).answer
    got = None if answer is None else answer.value
    assert got == (None if value is None else pytest.approx(value, abs=0.05))


DURATIONS = [
    ("오늘 아침부터요", 0),
    ("어제저녁부터", 1),
    ("그저께부터 그래요", 2),
    ("그제요", 2),
    ("그끄저께부터", 3),
    ("사흘 됐어요", 3),
    ("나흘째예요", 4),
    ("닷새 전부터", 5),
    ("한 열흘 됐나", 10),
    ("보름쯤 됐어", 15),
    ("일주일 전부터", 7),
    ("두 주 됐어요", 14),
    ("한 달 전부터요", 30),
    ("지난주 금요일부터", 5),
    ("지난주 월요일", 9),
    ("이번 주 월요일부터요", 2),
    ("삼 일 전부터", 3),
    ("5일 됐습니다", 5),
    ("어제 아니 그저께부터", 2),
    ("잘 모르겠어요", None),
    ("옛날부터 그랬지", None),
]


@pytest.mark.parametrize(("reply", "days"), DURATIONS)
def test_duration_is_counted_in_days(reply: str, days: int | None) -> None:
    answer = read(reply, "언제부터 그러셨어요?", AnswerType.DURATION_DAYS).answer
    assert (None if answer is None else answer.value) == days


BETTER = (Choice("better", "좋아졌어요"), Choice("same", "비슷해요"), Choice("worse", "나빠졌어요"))
TIMES = (Choice("morning", "오전"), Choice("afternoon", "오후"), Choice("evening", "저녁"))
PLACES = (Choice("knee", "무릎"), Choice("back", "허리"), Choice("shoulder", "어깨"), Choice("other", "그 밖의 곳"))
MOODS = (Choice("good", "좋음"), Choice("okay", "보통"), Choice("bad", "나쁨"))
CHOICES = [
    (BETTER, "많이 나아졌어요", "better"),
    (BETTER, "어제랑 똑같아", "same"),
    (BETTER, "더 심해졌어", "worse"),
    (BETTER, "좋아진 것도 없고 그대로예요", "same"),
    (BETTER, "하나도 안 좋아졌어 더 아파", "worse"),
    (BETTER, "훨씬 덜해요", "better"),
    (TIMES, "아침 일찍이 좋아요", "morning"),
    (TIMES, "점심 먹고 나서 해 주세요", "afternoon"),
    (TIMES, "밤에 하는 게 낫지", "evening"),
    (TIMES, "오전은 안 되고 오후에 해요", "afternoon"),
    (TIMES, "아무 때나", None),
    (PLACES, "무르팍이 제일 아파", "knee"),
    (PLACES, "허리가 끊어질 것 같아", "back"),
    (PLACES, "발목이 시큰거려요", "other"),
    (PLACES, "무릎은 괜찮고 어깨가 문제야", "shoulder"),
    (MOODS, "그냥 그래요", "okay"),
    (MOODS, "아주 좋아요", "good"),
    (MOODS, "영 별로야", "bad"),
    (MOODS, "뭐라고?", None),
]


@pytest.mark.parametrize(("choices", "reply", "choice"), CHOICES)
def test_choice_is_taken_from_what_is_meant(choices: tuple[Choice, ...], reply: str, choice: str | None) -> None:
    answer = RULES.read(reply, Asked("어떠세요?", AnswerType.CHOICE, None, choices), TODAY).answer
    assert (None if answer is None else answer.value) == choice


HOW = "오늘 몸은 좀 어떠세요?"
MORE = "더 하실 말씀 있으세요?"
VOLUNTEERED = [
    (HOW, "열도 나고 기침도 해요", {"fever": "yes", "cough": "yes"}),
    (HOW, "열하고 기침은 없는데 목이 아파요", {"fever": "no", "cough": "no", "sore_throat": "yes"}),
    (HOW, "콧물 나고 몸이 으슬으슬해", {"rhinorrhea": "yes", "chills": "yes"}),
    (HOW, "어제는 머리가 아팠는데 오늘은 나았어요", {"headache": "no"}),
    (HOW, "다리 수술했는데 허리가 몹시 아파서 거동하기 힘들어요 아주", {"pain": "yes"}),
    (HOW, "그냥 그래요", {}),
    (HOW, "기운이 없고 입맛도 없어", {"fatigue": "yes", "poor_appetite": "yes"}),
    (HOW, "무릎이 쑤시고 어지러워요", {"pain": "yes", "dizziness": "yes"}),
    (HOW, "우리 영감이 기침을 해", {}),
    (HOW, "옆집 할머니가 넘어졌대", {}),
    (HOW, "속이 울렁거리고 설사도 해", {"nausea": "yes", "diarrhea": "yes"}),
    (HOW, "숨이 차고 피곤해요", {"dyspnea": "yes", "fatigue": "yes"}),
    (HOW, "젊을 때는 열이 자주 났지", {}),
    (MORE, "약을 이틀 빼먹었어", {"medication_missed": "yes"}),
    (MORE, "약은 하루도 안 거르고 먹어", {"medication_missed": "no"}),
    (MORE, "혼자 있으니 외롭고 우울해", {"loneliness": "yes", "low_mood": "yes"}),
    (MORE, "어제 마당에서 미끄러졌어", {"fall": "yes"}),
    (MORE, "밤새 한숨도 못 잤어", {"poor_sleep": "yes"}),
    (MORE, "입맛이 돌아왔어 잠도 잘 자고", {"poor_appetite": "no", "poor_sleep": "no"}),
    (MORE, "냄새를 통 못 맡아", {"anosmia": "yes"}),
    (MORE, "온몸이 두들겨 맞은 것 같아", {"myalgia": "yes"}),
    (MORE, "아픈 데는 하나도 없어", {"pain": "no"}),
    (MORE, "국수 먹었어", {}),
    (MORE, "배고파 죽겠네", {}),
]


@pytest.mark.parametrize(("ask", "reply", "findings"), VOLUNTEERED)
def test_what_is_said_unasked_becomes_a_finding(ask: str, reply: str, findings: dict[str, str]) -> None:
    understood = read(reply, ask)
    assert {each.id: str(each.value) for each in understood.volunteered} == findings
    assert all(each.quote and each.quote in reply for each in understood.volunteered)


INTENTS = [
    (ATE, "응 먹었어", "answer"),
    (FEVER, "삼십육 도 오 부요", "answer"),
    (HOW, "무릎이 아파요", "answer"),
    (ATE, "뭐라고요 잘 안 들려요", "repeat_request"),
    (ATE, "다시 한 번 말씀해 주세요", "repeat_request"),
    (ATE, "못 들었어 뭐라 캤노", "repeat_request"),
    (ATE, "잠시만요 가스불 좀 끄고 올게요", "wait_request"),
    (ATE, "가만있어 봐요 안경 좀 쓰고", "wait_request"),
    ("지금 통화 괜찮으세요?", "지금 바쁘니까 나중에 전화해요", "call_later"),
    ("지금 통화 괜찮으세요?", "손님이 와 있어서 이따 다시 걸어 주세요", "call_later"),
    ("지금 통화 괜찮으세요?", "내일 다시 전화 주세요", "call_later"),
    ("김순자 어르신이세요?", "전화 잘못 거셨어요", "wrong_person"),
    ("김순자 어르신이세요?", "그런 사람 없어요", "wrong_person"),
    ("김순자 어르신이세요?", "저는 딸인데요 어머니 주무세요", "wrong_person"),
    ("김순자 어르신이세요?", "아닙니다", "wrong_person"),
    (HOW, "이제 전화하지 마세요", "stop_calling"),
    (HOW, "귀찮으니까 다시는 전화 걸지 마", "stop_calling"),
    (HOW, "전화 받기 싫으니 빼 주세요", "stop_calling"),
    (MORE, "혈압약을 끊어도 되나요?", "medical_question"),
    (MORE, "이거 코로나 아니에요?", "medical_question"),
    (MORE, "병원에 가 봐야 될까요?", "medical_question"),
    (MORE, "두통약 두 알 먹어도 돼요?", "medical_question"),
    (MORE, "내일 비 온대요?", "out_of_scope_question"),
    (MORE, "지금 몇 시예요?", "out_of_scope_question"),
    (MORE, "쌀값이 얼마나 올랐어?", "out_of_scope_question"),
    (MORE, "버스는 몇 시에 와요?", "out_of_scope_question"),
    (MORE, "반찬 좀 갖다 줬으면 좋겠어", "service_request"),
    (MORE, "수도가 고장 났는데 고쳐 줄 수 있어요?", "service_request"),
    (MORE, "병원 갈 때 차 좀 태워 주세요", "service_request"),
    (MORE, "상담원 바꿔 주세요", "wants_human"),
    (MORE, "기계 말고 진짜 사람하고 얘기하고 싶어", "wants_human"),
    (MORE, "담당자한테 전화 좀 하라고 해 줘요", "wants_human"),
    (MORE, "네 그럼 끊을게요", "goodbye"),
    (MORE, "안녕히 계세요", "goodbye"),
    (MORE, "수고하세요 들어가세요", "goodbye"),
    ("안녕하세요 어르신.", "누구시죠?", "who_is_this"),
    ("안녕하세요 어르신.", "거기 어디예요?", "who_is_this"),
    ("안녕하세요 어르신.", "이거 사기 전화 아니야?", "who_is_this"),
    ("안녕하세요 어르신.", "지금 사람이에요 기계예요?", "who_is_this"),
    (MORE, "우리 손녀가 이번에 시집을 가요", "small_talk"),
    (HOW, "아이고 날마다 전화해 줘서 고맙네", "small_talk"),
    (MORE, "마당에 꽃이 활짝 폈어", "small_talk"),
    (ATE, "어 그 뭐 저기", "unclear"),
    (ATE, "", "unclear"),
    (ATE, "치직 지지직", "unclear"),
]


@pytest.mark.parametrize(("ask", "reply", "intent"), INTENTS)
def test_intent(ask: str, reply: str, intent: str) -> None:
    assert read(reply, ask).intent == intent


def test_asking_for_a_machine_is_told_from_asking_for_a_name() -> None:
    assert read("혹시 로봇이에요?", "안녕하세요.").asks_if_robot
    assert not read("누구세요?", "안녕하세요.").asks_if_robot


FEELINGS = [
    (HOW, "다리 수술했는데 허리가 몹시 아파서 거동하기 힘들어요 아주", Feeling.BAD),
    (HOW, "아주 좋아요", Feeling.GOOD),
    (MORE, "영감이 작년에 죽었어", Feeling.BAD),
    (FEVER, "아니요 없어요", Feeling.GOOD),
    (FEVER, "네 나요", Feeling.BAD),
    (ATE, "아직 못 먹었어요", Feeling.BAD),
    (SLEPT, "푹 잤어요", Feeling.GOOD),
    (FEVER, "글쎄 모르겠네", Feeling.NEUTRAL),
    (HOW, "괜찮기는 뭐가 괜찮아 온몸이 쑤셔", Feeling.BAD),
]


@pytest.mark.parametrize(("ask", "reply", "feeling"), FEELINGS)
def test_bad_news_is_never_met_with_relief(ask: str, reply: str, feeling: Feeling) -> None:
    kind = AnswerType.OPEN if ask in (HOW, MORE) else AnswerType.YES_NO
    assert read(reply, ask, kind).feeling is feeling


def test_question_is_read_by_what_the_dialog_says_it_is_about() -> None:
    asked = Asked("그거는 좀 어떠신가요?", AnswerType.YES_NO, about=("cough",))
    answer = RULES.read("이제 안 해요", asked, TODAY).answer
    assert answer is not None
    assert answer.value is Ternary.NO


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " ",
        "\x00\x07\n",
        "네" * 5000,
        "아 " * 5000,
        "가슴이 " * 2500,
        "?!.,",
        "👵🏻 열이 나요",
        "fever 열 ١٢ 熱",
        "ㅋㅋㅋㅠㅠ",
        "a" * 10000,
    ],
)
def test_no_text_is_too_strange(reply: str) -> None:
    for kind, unit in ((AnswerType.YES_NO, None), (AnswerType.NUMBER, Unit.CELSIUS), (AnswerType.DURATION_DAYS, None)):
        began = time.perf_counter()
        understood = read(reply, FEVER, kind, unit)
        assert time.perf_counter() - began < 2
        assert understood.answer is None or understood.answer.quote in reply


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_quotes_stand_in_the_reply(reply: str) -> None:
    understood = read(reply, HEAD, AnswerType.YES_NO)
    assert understood.answer is not None
    quotes = [understood.answer.quote]
    quotes += [each.quote for each in understood.volunteered]
    quotes += [each.quote for each in understood.red_flags]
    assert all(quote in reply for quote in quotes)


def test_decomposed_text_is_read_too() -> None:
    import unicodedata

    reply = unicodedata.normalize("NFD", "머리가 아파요")
    understood = read(reply, HEAD, AnswerType.YES_NO)
    assert understood.answer is not None
    assert understood.answer.value is Ternary.YES
    assert understood.answer.quote in reply


def test_threads_share_one_reader() -> None:
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda n: yes_no("열은 없어요" if n % 2 else "열이 나요", FEVER), range(64)))
    assert values == ["yes", "no"] * 32


def test_a_turn_is_read_within_a_tenth_of_a_second() -> None:
    spent = []
    for ask, reply, _ in INDIRECT * 3:
        began = time.perf_counter()
        read(reply, ask, AnswerType.YES_NO)
        spent.append(time.perf_counter() - began)
    assert sorted(spent)[int(len(spent) * 0.9)] < 0.1
