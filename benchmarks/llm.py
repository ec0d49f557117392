"""How long language models in process take: cold, with a warm prefix, and for JSON.

    python benchmarks/llm.py [NAME…] [--threads 2] [--repeat 5]

A NAME is one of ``carecall models list``, a GGUF file (llama.cpp) or a folder with safetensors (transformers).

Prints one line a model, in seconds: load; first token of a prompt of about 300 tokens that was never seen; and with
the prefix warm, the medians of first token, a whole acknowledgement and a whole JSON reply to words not heard before.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable

from carecall import model_files
from carecall.llm import Message, make_language_model
from carecall.settings import Settings

ACKNOWLEDGE = Message(
    "system",
    "You are the voice of a health check-up call to older adults. Reply to what the person said with one short, kind "
    "sentence. Never give advice, never promise anything, never ask a question, never say that you feel or eat.\n"
    + "\n".join(
        f"Person: {said}\nYou: {reply}"
        for said, reply in (
            ("My knees have been bad all week.", "A whole week of sore knees sounds hard."),
            ("I had soup and some bread.", "Soup and bread, thank you for telling me."),
            ("My son came to see me yesterday.", "How nice that your son came by."),
            ("I could not sleep because of the heat.", "A hot night without sleep is tiring."),
            ("I don't go out much now.", "I see, you stay at home more these days."),
            ("The neighbour's dog barked all night.", "That must have been a restless night."),
            ("I walked to the market and back.", "To the market and back, well done."),
            ("I'm fine, nothing new.", "Thank you, good to know."),
        )
    ),
)
UNDERSTAND = Message(
    "system",
    "You read one answer that an older person gave on the phone and fill in JSON. eaten: did the person eat today? "
    "slept: did the person sleep well? pain: is anything hurting? Use unknown when the words do not say.\n"
    + "\n".join(
        f"Answer: {said}\nJSON: {reply}"
        for said, reply in (
            ("I had soup.", '{"eaten":"yes","slept":"unknown","pain":"unknown"}'),
            ("I lay awake, my back hurts.", '{"eaten":"unknown","slept":"no","pain":"yes"}'),
            ("Nothing yet, no appetite.", '{"eaten":"no","slept":"unknown","pain":"unknown"}'),
            ("I slept like a log and had rice.", '{"eaten":"yes","slept":"yes","pain":"unknown"}'),
            ("No pain, no.", '{"eaten":"unknown","slept":"unknown","pain":"no"}'),
        )
    ),
)
VALUES = {"enum": ["yes", "no", "unknown"]}
SCHEMA = {
    "type": "object",
    "properties": {"eaten": VALUES, "slept": VALUES, "pain": VALUES},
    "required": ["eaten", "slept", "pain"],
    "additionalProperties": False,
}
SAID = (
    "I had porridge with my daughter this morning.",
    "My hip hurts a little when I get up.",
    "I slept badly, the rain was so loud.",
    "Yes, I went to the park with my friend.",
    "I could only eat half of my lunch.",
    "My grandson called me last night.",
    "I watched television until late.",
)


async def timed(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def measure(name: str, threads: int, repeat: int) -> dict[str, float]:
    """The figures of one model in seconds."""
    model_files.ensure(name)
    model = make_language_model(Settings(llm="local", llm_model=name, threads=threads))
    assert model is not None

    async def ask(prefix: Message, said: str, max_tokens: int, schema: dict[str, object] | None = None) -> float:
        return await timed(
            model.complete([prefix, Message("user", said)], deadline_s=120, max_tokens=max_tokens, schema=schema)
        )

    try:
        figures = {"load": await timed(model.warm([])), "cold_first_token": await ask(ACKNOWLEDGE, SAID[-1], 1)}
        await model.warm([ACKNOWLEDGE])
        await model.warm([UNDERSTAND])
        first, whole, structured = [], [], []
        for said in SAID[:repeat]:
            first.append(await ask(ACKNOWLEDGE, said, 1))
            structured.append(await ask(UNDERSTAND, said, 48, SCHEMA))
            whole.append(await ask(ACKNOWLEDGE, f"Well. {said}", 24))
    finally:
        await model.close()
    return figures | {
        "warm_first_token": statistics.median(first),
        "warm_acknowledgement": statistics.median(whole),
        "warm_json": statistics.median(structured),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"], metavar="NAME")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5, choices=range(1, len(SAID)))
    options = parser.parse_args()
    for name in options.names:
        figures = asyncio.run(measure(name, options.threads, options.repeat))
        print(
            json.dumps({"model": name, "threads": options.threads} | {key: round(s, 3) for key, s in figures.items()})
        )


if __name__ == "__main__":
    main()
