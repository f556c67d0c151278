{%- if cookiecutter.kind == "modality" -%}
"""Sounds to try things on: three kinds of tones."""

from __future__ import annotations

import wave

import numpy as np

RATE, SECONDS = 8000, 1.0
PITCHES = {"high": 1600.0, "low": 200.0, "middle": 600.0}


def write(*, directory, labelling, per_class) -> int:
    """Writes class folders of WAV files; returns how many files."""
    count = 40 if per_class is None else per_class
    moments = np.arange(int(RATE * SECONDS)) / RATE
    for label, pitch in PITCHES.items():
        (directory / label).mkdir()
        for place in range(count):
            generator = np.random.default_rng([place, int(pitch)])
            frequency = pitch * generator.uniform(0.8, 1.25)
            tone = np.sin(2 * np.pi * frequency * moments + generator.uniform(0, 6))
            sound = 0.3 * tone + 0.1 * generator.normal(size=len(moments))
            with wave.open(str(directory / label / f"{place}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes((32767 * sound.clip(-1, 1)).astype("<i2").tobytes())
    return count * len(PITCHES)
{% endif -%}
