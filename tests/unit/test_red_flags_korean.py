"""Danger in Korean replies: what is found, what is not, and what is said then."""

import datetime
import re

import pytest

from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.korean import KoreanRules
from carecall.dialog.understanding.meaning import Asked
from carecall.domain.language import Language
from carecall.settings import settings

RULES = KoreanRules()
TODAY = datetime.date(2025, 1, 15)
HOW = "오늘 몸은 좀 어떠세요?"
KEPT_ON_THE_LINE = {"suicidal_intent", "abuse_or_violence", "fall_cannot_get_up"}


def flags(reply: str, ask: str = HOW) -> set[str]:
    found = RULES.read(reply, Asked(ask), TODAY).red_flags
    assert all(each.quote and each.quote in reply for each in found)
    return {each.id for each in found}


PRESENT = [
    ("가슴이 찢어질 듯이 아파요", "chest_pain"),
    ("가슴 한가운데가 꽉 조여요", "chest_pain"),
    ("아까부터 가슴이 답답하고 식은땀이 나", "chest_pain"),
    ("가심이 뻐근하이 아프네", "chest_pain"),
    ("가슴을 바위가 누르는 것 같아", "chest_pain"),
    ("왼쪽 가슴이 콕콕 쑤시고 팔까지 저려", "chest_pain"),
    ("심장이 쥐어짜듯이 아파", "chest_pain"),
    ("숨을 못 쉬겠어요", "breathing_difficulty"),
    ("숨이 안 쉬어져", "breathing_difficulty"),
    ("숨이 막혀서 죽을 것 같아", "breathing_difficulty"),
    ("가만히 앉아 있어도 숨이 차서 말을 못 하겠어", "breathing_difficulty"),
    ("숨이 차서 누울 수가 없어요", "breathing_difficulty"),
    ("숨이 넘어갈 거 같아", "breathing_difficulty"),
    ("떡을 먹다가 목에 걸려서 숨을 몬 쉬겠다", "breathing_difficulty"),
    ("영감이 숨을 못 쉬어요", "breathing_difficulty"),
    ("아침부터 왼쪽 팔에 힘이 하나도 없어요", "stroke_signs"),
    ("얼굴 한쪽이 마비된 것 같아", "stroke_signs"),
    ("갑자기 말이 어눌해졌어요", "stroke_signs"),
    ("입이 한쪽으로 비뚤어졌어", "stroke_signs"),
    ("오른쪽 다리가 말을 안 들어요", "stroke_signs"),
    ("갑자기 눈이 안 보여요", "stroke_signs"),
    ("머리를 망치로 맞은 것처럼 갑자기 아파", "stroke_signs"),
    ("집사람 입이 돌아갔어요", "stroke_signs"),
    ("반신이 마비된 거 같애", "stroke_signs"),
    ("영감이 쓰러졌는데 안 일어나요", "unconscious_or_confused"),
    ("아까 기절했다가 깼어요", "unconscious_or_confused"),
    ("집사람이 흔들어도 안 깨어나요", "unconscious_or_confused"),
    ("내가 지금 어디 있는 건지 모르겠어", "unconscious_or_confused"),
    ("할멈이 갑자기 사람을 못 알아봐요", "unconscious_or_confused"),
    ("남편이 의식이 없어요", "unconscious_or_confused"),
    ("아침에 정신을 잃었어요", "unconscious_or_confused"),
    ("영감이 헛소리를 하고 나를 못 알아봐", "unconscious_or_confused"),
    ("코피가 안 멈춰요", "severe_bleeding"),
    ("피를 토했어요", "severe_bleeding"),
    ("칼에 베여서 피가 철철 나", "severe_bleeding"),
    ("변에 피가 많이 섞여 나와요", "severe_bleeding"),
    ("손을 베었는데 피가 안 멎어", "severe_bleeding"),
    ("하혈을 해요", "severe_bleeding"),
    ("화장실에서 넘어져서 못 일어나겠어", "fall_cannot_get_up"),
    ("바닥에 누워서 꼼짝을 못 해요", "fall_cannot_get_up"),
    ("자빠졌는데 일어날 수가 없다", "fall_cannot_get_up"),
    ("침대에서 떨어져서 움직이지를 못하겠어요", "fall_cannot_get_up"),
    ("넘어져서 아까부터 이러고 누워 있어", "fall_cannot_get_up"),
    ("미끄러져 갖고 일나지를 몬하겠다", "fall_cannot_get_up"),
    ("죽고 싶어요", "suicidal_intent"),
    ("그만 살고 싶어", "suicidal_intent"),
    ("농약을 사다 놨어", "suicidal_intent"),
    ("약을 한꺼번에 먹어 버릴까 싶어", "suicidal_intent"),
    ("이대로 자다가 안 깼으면 좋겠어", "suicidal_intent"),
    ("살아서 뭐 하나 싶어 콱 죽어 버릴란다", "suicidal_intent"),
    ("옥상에서 뛰어내리려고요", "suicidal_intent"),
    ("유서 써 놨습니다", "suicidal_intent"),
    ("영감 곁으로 가고 싶어", "suicidal_intent"),
    ("더 이상 살고 싶지 않아요", "suicidal_intent"),
    ("내가 없어지는 게 낫겠어 그만 끝내고 싶어", "suicidal_intent"),
    ("목을 매려고 끈을 준비했어", "suicidal_intent"),
    ("아들이 때려요", "abuse_or_violence"),
    ("며느리가 밥을 안 줘요", "abuse_or_violence"),
    ("영감이 술 먹고 나를 두들겨 패", "abuse_or_violence"),
    ("아들이 방에 가두고 문을 잠가요", "abuse_or_violence"),
    ("사위가 칼 들고 죽인다고 협박했어", "abuse_or_violence"),
    ("딸한테 맞아서 멍이 들었어", "abuse_or_violence"),
    ("간병인이 자꾸 꼬집어요", "abuse_or_violence"),
    ("아들놈이 돈 안 주면 죽인다고 그래", "abuse_or_violence"),
    ("쌀이 떨어져서 굶고 있어", "no_food_or_heat"),
    ("먹을 게 하나도 없어", "no_food_or_heat"),
    ("보일러가 고장 나서 너무 추워", "no_food_or_heat"),
    ("기름이 떨어져서 불을 못 때", "no_food_or_heat"),
    ("전기가 끊겼어요", "no_food_or_heat"),
    ("사흘째 아무것도 못 먹었어 쌀이 없어서", "no_food_or_heat"),
    ("냉장고가 텅 비었어 돈도 없고", "no_food_or_heat"),
    ("방이 얼음장이야 난방이 안 돼", "no_food_or_heat"),
    ("입술이 퉁퉁 부었어요", "severe_allergic_reaction"),
    ("온몸에 두드러기가 났어요", "severe_allergic_reaction"),
    ("새우를 먹었더니 목이 붓고 숨이 막혀", "severe_allergic_reaction"),
    ("벌에 쏘였는데 얼굴이 부어올라", "severe_allergic_reaction"),
    ("혀가 부어서 말이 안 나와", "severe_allergic_reaction"),
    ("살려 주세요", "asks_for_help"),
    ("구급차 좀 불러 줘요", "asks_for_help"),
    ("119 불러 주세요", "asks_for_help"),
    ("사람 살려", "asks_for_help"),
    ("누가 좀 와 줘요 제발", "asks_for_help"),
    ("도와주세요", "asks_for_help"),
    ("나 좀 살리 도", "asks_for_help"),
    ("가슴에 돌을 얹은 것처럼 무겁고 아파", "chest_pain"),
    ("명치부터 가슴까지 타들어 가듯 아프네", "chest_pain"),
    ("왼쪽 가슴이 칼로 찌르는 거 같아요", "chest_pain"),
    ("가슴이 먹먹하고 턱까지 아파", "chest_pain"),
    ("숨이 턱턱 막혀요 지금", "breathing_difficulty"),
    ("숨을 쉬어도 쉬어도 모자라", "breathing_difficulty"),
    ("숨쉬기가 너무 힘들어요", "breathing_difficulty"),
    ("숨이 가빠서 한 발짝도 못 떼겠어", "breathing_difficulty"),
    ("헉헉 숨이 헉 안 쉬어", "breathing_difficulty"),
    ("오른손에 힘이 빠져서 숟가락을 자꾸 놓쳐", "stroke_signs"),
    ("말이 자꾸 헛나오고 혀가 굳은 것 같아", "stroke_signs"),
    ("한쪽 얼굴이 축 처졌어", "stroke_signs"),
    ("갑자기 앞이 안 보여", "stroke_signs"),
    ("왼쪽 팔다리가 마비됐어", "stroke_signs"),
    ("자고 일어나니 오른쪽이 안 움직여요", "stroke_signs"),
    ("남편이 갑자기 쓰러져서 말을 못 해", "unconscious_or_confused"),
    ("할머니가 불러도 대답이 없어요", "unconscious_or_confused"),
    ("엄마가 정신을 못 차려요", "unconscious_or_confused"),
    ("여기가 우리 집이 아닌데 여기가 어디여", "unconscious_or_confused"),
    ("아까 핑 돌더니 정신을 잃고 깨 보니 바닥이야", "unconscious_or_confused"),
    ("피가 멈추질 않아", "severe_bleeding"),
    ("입에서 피가 계속 나와요", "severe_bleeding"),
    ("이마가 찢어져서 피가 줄줄 흘러", "severe_bleeding"),
    ("똥이 새까맣고 피가 나와", "severe_bleeding"),
    ("욕실 바닥에 주저앉아서 못 일어나고 있어", "fall_cannot_get_up"),
    ("다리가 부러진 거 같아 넘어져서 꼼짝 못 해", "fall_cannot_get_up"),
    ("침대 밑으로 떨어져서 못 올라가고 있어요", "fall_cannot_get_up"),
    ("미끄러졌는데 혼자서는 못 일어나겠어", "fall_cannot_get_up"),
    ("요새 자꾸 죽을 생각만 해", "suicidal_intent"),
    ("그냥 확 죽어 버렸으면", "suicidal_intent"),
    ("모아 둔 수면제 다 먹고 끝내려고", "suicidal_intent"),
    ("이제 갈 때가 됐어 오늘 밤에 갈 거야 따라갈 거야 영감한테", "suicidal_intent"),
    ("살 이유가 없어", "suicidal_intent"),
    ("한강에 가서 뛰어들까 해", "suicidal_intent"),
    ("아침에 눈을 안 떴으면 좋겠어요", "suicidal_intent"),
    ("목매달아 죽을 거야", "suicidal_intent"),
    ("큰아들이 주먹으로 때려서 얼굴이 부었어", "abuse_or_violence"),
    ("며느리가 욕하고 밀쳐서 넘어졌어", "abuse_or_violence"),
    ("남편이 또 손찌검을 해요", "abuse_or_violence"),
    ("아들이 통장 내놓으라고 때려", "abuse_or_violence"),
    ("밖에 못 나가게 문을 잠가 놔요", "abuse_or_violence"),
    ("집에 먹을 거라곤 하나도 없어요", "no_food_or_heat"),
    ("이틀째 굶었어 쌀이 없어", "no_food_or_heat"),
    ("보일러가 안 돌아가서 얼어 죽겠어", "no_food_or_heat"),
    ("난방비가 없어서 불을 못 때요", "no_food_or_heat"),
    ("전기도 가스도 끊겨서 깜깜하고 추워", "no_food_or_heat"),
    ("약 먹고 얼굴이 퉁퉁 붓고 가려워", "severe_allergic_reaction"),
    ("땅콩 먹고 목이 조여 와요", "severe_allergic_reaction"),
    ("온몸에 벌겋게 두드러기가 올라와", "severe_allergic_reaction"),
    ("빨리 구급차 불러", "asks_for_help"),
    ("119에 전화 좀 해 주세요", "asks_for_help"),
    ("사람 좀 보내 줘요 죽겠어요 빨리", "asks_for_help"),
    ("제발 살려 줘", "asks_for_help"),
    ("나 좀 도와줘 큰일 났어", "asks_for_help"),
]


@pytest.mark.parametrize(("reply", "flag"), PRESENT)
def test_danger_is_found(reply: str, flag: str) -> None:
    assert flag in flags(reply)


HARMLESS = [
    "배고파 죽겠네",
    "더워 죽겠어요",
    "웃겨 죽는 줄 알았어",
    "좋아 죽지 뭐",
    "허리 아파 죽겠어",
    "죽고 싶은 생각은 한 번도 없어요",
    "죽기 살기로 일했지",
    "오래 살아야지 손주 장가가는 거 봐야지",
    "드라마에서 남편이 막 때리더라",
    "뉴스에 누가 칼을 들고 협박했다대",
    "옛날에 시어머니가 밥을 안 줬지",
    "젊을 때 남편한테 많이 맞았어 지금은 죽고 없어",
    "옆집 할아버지가 쓰러져서 구급차가 왔었어",
    "친구가 뇌졸중이 와서 병원에 있어",
    "가슴이 벅차서 눈물이 났어",
    "그 얘기 들으니 가슴이 아프네",
    "가슴은 안 아파요",
    "숨은 안 차요",
    "숨 쉴 틈 없이 바빴어",
    "계단 오를 때 숨이 차는데 쉬면 괜찮아",
    "정신없이 바빴지",
    "내 정신 좀 봐 깜빡했네",
    "늦잠 자고 이제 일어났어",
    "이불 속이 좋아서 못 일어나겠어",
    "지난주에 넘어졌는데 지금은 잘 걸어",
    "넘어질 뻔했는데 괜찮아",
    "코피가 조금 났는데 금방 멎었어",
    "손가락을 살짝 베었어 반창고 붙였지",
    "피검사 했는데 정상이래",
    "다리에 쥐가 나서 저렸는데 풀렸어",
    "팔 베고 자서 저려",
    "두드러기는 다 가라앉았어",
    "라면 먹고 자서 얼굴이 부었어",
    "보일러 고쳐서 따뜻해",
    "쌀이 떨어졌는데 아들이 사 왔어",
    "먹을 거야 냉장고에 가득하지",
    "입맛이 없어서 밥을 안 먹었어",
    "건강검진 때문에 어제저녁부터 굶었어",
    "전기 아끼느라 불을 껐어",
    "도와주셔서 고마워요",
    "사람 살려 소리가 절로 나게 웃었어",
    "영감 따라 시장에 갔다 왔어",
    "모기 때려잡느라 혼났네",
    "손주가 장난으로 때려서 웃었지",
    "파스 붙였더니 한결 나아",
    "무릎이 아파서 계단을 못 올라가",
    "혈압은 정상이에요",
    "밥 먹었어요",
    "어지러운데 누우면 괜찮아",
    "허리 아파서 죽겠다",
    "힘들어 죽겠어 정말",
    "심심해서 죽을 맛이야",
    "아들 걱정에 가슴이 아파",
    "이웃집 영감이 목을 맸다는 소문이 있어",
    "드라마 보다가 가슴이 찢어지는 줄 알았어",
    "숨이 찼는데 지금은 괜찮아요",
    "어제 코피가 났는데 바로 멎었어요",
    "예전에 뇌졸중이 왔었지만 다 나았어요",
    "작년에 넘어져서 못 일어난 적이 있었지",
    "정신이 깜빡깜빡해서 냄비를 태웠어",
    "배가 고파서 죽는 줄 알았네",
    "그때는 죽고 싶었지 지금은 손주 보는 재미로 살아",
    "보일러가 고장 났었는데 고쳤어요",
    "딸이 쌀을 갖다 줘서 먹을 거 많아",
    "텔레비전에서 칼부림이 났다고 무섭더라",
    "우리 손주는 매를 맞고 큰 적이 없어",
    "모기한테 물려서 팔이 부었어",
    "낮에 잠깐 어지러웠는데 앉으니 괜찮아졌어",
    "구급차 소리가 시끄러워서 잠을 깼어",
    "도와줄 필요 없어 혼자 잘해",
    "눈이 침침해서 글씨가 잘 안 보여",
    "오래 앉았더니 다리가 저려",
    "숨은 잘 쉬어요 걱정 마세요",
    "죽을 끓여 먹었어",
    "약을 한꺼번에 받아 왔어 석 달 치",
    "농약 안 친 상추야",
    "밥맛이 없어서 저녁은 안 먹었어",
    "",
]


@pytest.mark.parametrize("reply", HARMLESS)
def test_idioms_the_past_others_and_denials_raise_no_alarm(reply: str) -> None:
    assert flags(reply) == set()


def test_danger_is_found_beside_an_idiom() -> None:
    assert "chest_pain" in flags("배고파 죽겠네. 근데 아까부터 가슴이 조여 와요")


def test_danger_is_found_after_a_denied_one() -> None:
    found = flags("가슴은 안 아픈데 숨을 못 쉬겠어요")
    assert "breathing_difficulty" in found
    assert "chest_pain" not in found


SCRIPTS = load_red_flags(settings().dialogs_dir, Language.KOREAN)


def test_every_danger_of_the_english_file_has_a_korean_script() -> None:
    assert set(SCRIPTS) == set(load_red_flags(settings().dialogs_dir, Language.ENGLISH))


@pytest.mark.parametrize("flag", sorted(SCRIPTS))
def test_script_names_the_emergency_number_and_promises_nothing(flag: str) -> None:
    script = SCRIPTS[flag]
    said = " ".join(script.say)
    assert "119" in said
    assert not re.search(
        r"(?:불러|보내|신고해|연락해) ?(?:드릴게요|드리겠습니다|줄게요)", said.replace("119에 알려", "")
    )
    assert all(sentence.endswith((".", "?")) for sentence in (*script.say, *script.stay_on_line))


def test_the_suicide_line_is_named() -> None:
    assert "109" in " ".join(SCRIPTS["suicidal_intent"].say)


def test_who_must_not_be_left_alone_is_kept_on_the_line() -> None:
    assert {flag for flag, script in SCRIPTS.items() if script.keep_on_line} == KEPT_ON_THE_LINE
    assert all(SCRIPTS[flag].stay_on_line for flag in KEPT_ON_THE_LINE)
