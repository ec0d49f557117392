"""The dialog manager: deterministic agenda, free language.

One recipient turn takes this way: understand (what does it mean?) → decide (the agenda's next act) → word (vetted text,
or a warm sentence of the language model) → check bounds → speak.
"""
