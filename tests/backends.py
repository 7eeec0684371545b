"""The backends that a test of behaviour runs on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zerograd.engine import admission


@pytest.fixture(scope="module", params=["compiled", "eager"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Compiled kernels where they serve, as users have it; and the eager backend alone."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "eager":
            patch.setattr(admission, "layout_of", lambda *_: None)
        yield request.param
