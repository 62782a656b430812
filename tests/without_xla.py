"""Runs the XLA implementation as a plain graph: the same arithmetic and the same gradients, without compiling."""

import pytest

from deeprnn_keras.kernels.xla import plan, stack


def plain(how):
    """A plan without XLA, as an export has, but in pieces all the same."""
    return how._replace(compiled=False, padded=False)


@pytest.fixture(autouse=True)
def plain_graphs(request, monkeypatch):
    """Compile nothing, but in tests marked `compiled`: a compile takes a second."""
    if not request.node.get_closest_marker("compiled"):
        monkeypatch.setattr(stack, "make_plan", lambda *arguments: plain(plan.make_plan(*arguments)))
