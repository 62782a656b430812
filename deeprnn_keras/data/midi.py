"""`write_midi`: save a piano roll as a MIDI file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deeprnn_keras import checks, extras
from deeprnn_keras._types import ArrayLike, PathLike
from deeprnn_keras.data.music import FRAMES_PER_QUARTER, LOWEST_NOTE
from deeprnn_keras.data.values import numeric_array

TICKS_PER_QUARTER = 480
VELOCITY = 72  # in [1, 127]; corresponds to mezzo-forte


def write_midi(
    roll: ArrayLike,
    path: PathLike,
    *,
    frames_per_quarter: int = FRAMES_PER_QUARTER,
    quarters_per_minute: float = 72.0,
    lowest: int = LOWEST_NOTE,
) -> None:
    """Save a piano roll as a MIDI file with one piano track.

    A note that sounds in consecutive frames is written once, as a held note.

    Args:
        roll: Piano roll (T, K), positive where note `lowest` + k sounds.
        path: Path of the file, which is overwritten if it exists.
        frames_per_quarter: Number of frames per quarter note.
        quarters_per_minute: Tempo, in quarter notes per minute.
        lowest: MIDI note of the first column. The default, 21, is A0, the lowest of 88 piano keys.

    Raises:
        ValueError: If the roll has another shape, or an argument is out of range.
        ImportError: If mido is not installed.

    >>> import numpy as np, pathlib, tempfile
    >>> from deeprnn_keras.data import write_midi
    >>> roll = np.zeros((8, 88)); roll[:, [39, 43, 46]] = 1                      # C major, four quarters
    >>> write_midi(roll, pathlib.Path(tempfile.mkdtemp()) / "chord.mid")
    """
    roll, lowest = numeric_array("roll", roll), checks.non_negative_int("lowest", lowest)
    if roll.ndim != 2 or not len(roll) or lowest + roll.shape[1] > 128:
        raise ValueError(
            f"roll must have shape (T, K) with T at least 1 and MIDI notes from lowest to lowest + K - 1 in [0, 127], "
            f"got shape {roll.shape} and lowest={lowest}"
        )
    ticks_per_frame = TICKS_PER_QUARTER // checks.positive_int("frames_per_quarter", frames_per_quarter)
    tempo = checks.positive("quarters_per_minute", quarters_per_minute)
    mido = extras.import_optional("mido", "music", "Writing MIDI files")
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    now = 0
    for frame, note, starts in _note_events(roll > 0):
        kind, ticks = "note_on" if starts else "note_off", frame * ticks_per_frame
        track.append(mido.Message(kind, note=lowest + note, velocity=VELOCITY, time=ticks - now))
        now = ticks
    file, path = mido.MidiFile(ticks_per_beat=TICKS_PER_QUARTER), Path(path).expanduser()
    file.tracks.append(track)
    temporary_path = path.with_name(f".{os.getpid()}.{path.name}")
    file.save(temporary_path)
    temporary_path.replace(path)


def _note_events(sounding: np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """Yield (frame, note, whether it starts) in chronological order; within a frame, notes end before others start."""
    silence = np.zeros((1, sounding.shape[1]), bool)
    changes = np.diff(np.concatenate([silence, sounding, silence]).astype(int), axis=0)
    for frame, change in enumerate(changes):
        for note in [*np.flatnonzero(change < 0), *np.flatnonzero(change > 0)]:
            yield frame, int(note), bool(change[note] > 0)
