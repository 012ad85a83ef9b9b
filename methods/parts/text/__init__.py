"""Use of the frozen text tower: learned prompts, and the texts of a class.

Imported by methods that learn prompts or compare texts. Start with `prompts.py`; the modules it
runs on, `prompt_encoder.py` to `packed_attention.py`, only make it fast.
"""
