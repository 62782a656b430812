"""The tables of docs/export.md are those of real files, and have a row for every layer that is supported."""

import layer_table
import pytest

from deeprnn_keras.program import layer_rules, recurrence_rules  # noqa: F401 - they register rules
from deeprnn_keras.program.builder import MODEL_KINDS, PASS_THROUGH, RULES


@pytest.mark.slow
def test_tables_of_the_page_are_those_of_files():
    pytest.importorskip("onnx")
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    _, inside, _ = layer_table.split_page()
    assert inside == layer_table.tables(), "run: python tests/exporters/layer_table.py"


def test_every_supported_layer_has_a_row():
    text = " ".join(layer_table.ROWS)
    assert not [name for name in RULES if name not in text and name not in (*PASS_THROUGH, *MODEL_KINDS)]
