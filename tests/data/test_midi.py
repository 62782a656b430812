"""`write_midi`: round trip through mido, and rejected arguments."""

import mido
import numpy as np
import pytest

from deeprnn_keras.data import write_midi


def test_midi_file_contains_the_notes_of_the_roll(tmp_path, rng):
    roll = rng.random((12, 88)) < 0.1
    roll[3] = False
    write_midi(roll, tmp_path / "a.mid", frames_per_quarter=4, quarters_per_minute=60)
    played, now, sounding = np.zeros_like(roll), 0.0, {}
    for message in mido.MidiFile(tmp_path / "a.mid"):
        now += message.time
        frame = round(now * 4)
        if message.type == "note_on":
            assert message.note not in sounding, "a held note starts once"
            sounding[message.note] = frame
        elif message.type == "note_off":
            played[sounding.pop(message.note) : frame, message.note - 21] = True
    assert not sounding
    np.testing.assert_array_equal(played, roll)
    assert {path.name for path in tmp_path.iterdir()} == {"a.mid"}


@pytest.mark.parametrize(
    ("roll", "options", "message"),
    [
        (np.zeros(88), {}, r"roll must have shape \(T, K\)"),
        (np.zeros((0, 88)), {}, r"roll must have shape \(T, K\)"),
        (np.zeros((3, 120)), {}, r"lowest \+ K - 1 in \[0, 127\], got shape \(3, 120\) and lowest=21"),
        (np.zeros((3, 88)), {"frames_per_quarter": 0}, "frames_per_quarter must"),
        (np.zeros((3, 88)), {"quarters_per_minute": -1}, "quarters_per_minute must"),
    ],
    ids=range(5),
)
def test_invalid_arguments_are_rejected(roll, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_midi(roll, tmp_path / "a.mid", **options)
    assert not list(tmp_path.iterdir())
