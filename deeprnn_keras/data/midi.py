"""`write_midi`: a piano roll as a MIDI file."""

import os
from pathlib import Path

import numpy as np

from deeprnn_keras import checks, extras
from deeprnn_keras.data.music import FRAMES_PER_QUARTER, LOWEST

TICKS = 480  # of a quarter note
VELOCITY = 72  # of 127: mezzo-forte


def write_midi(roll, path, *, frames_per_quarter=FRAMES_PER_QUARTER, quarters_per_minute=72.0, lowest=LOWEST):
    """Writes a roll as a MIDI file of one track, a piano; a note in frames that follow each other is one held note.

    Args:
        roll: (T, K), above 0 where note `lowest` + k sounds.
        path: of the file.
        frames_per_quarter: frames in a quarter note.
        quarters_per_minute: the tempo.
        lowest: the MIDI note of the first column: 21, A0, in a roll of 88.

    Raises:
        ValueError: for a roll of another form, or an argument out of range.
        ImportError: if mido is not installed.

    >>> import numpy as np, pathlib, tempfile
    >>> from deeprnn_keras.data import write_midi
    >>> roll = np.zeros((8, 88)); roll[:, [39, 43, 46]] = 1                      # C major, four quarters
    >>> write_midi(roll, pathlib.Path(tempfile.mkdtemp()) / "chord.mid")
    """
    roll = np.asarray(roll)
    if roll.ndim != 2 or not len(roll) or lowest < 0 or lowest + roll.shape[1] > 128:
        raise ValueError(f"roll must be (T, K) with notes {lowest} to at most 127, got shape {roll.shape}")
    ticks = TICKS // checks.positive_int("frames_per_quarter", frames_per_quarter)
    tempo = checks.positive("quarters_per_minute", quarters_per_minute)
    mido = extras.import_optional("mido", "music", "write_midi")
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    now = 0
    for frame, note, sounds in _changes(roll > 0):
        kind = "note_on" if sounds else "note_off"
        track.append(mido.Message(kind, note=lowest + note, velocity=VELOCITY, time=frame * ticks - now))
        now = frame * ticks
    file, path = mido.MidiFile(ticks_per_beat=TICKS), Path(path).expanduser()
    file.tracks.append(track)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    file.save(beside)
    beside.replace(path)


def _changes(roll):
    """(frame, note, whether it begins) in order; what ends in a frame before what begins there."""
    quiet = np.zeros((1, roll.shape[1]), bool)
    steps = np.diff(np.concatenate([quiet, roll, quiet]).astype(int), axis=0)
    for frame, step in enumerate(steps):
        for note in [*np.flatnonzero(step < 0), *np.flatnonzero(step > 0)]:
            yield frame, int(note), bool(step[note] > 0)
