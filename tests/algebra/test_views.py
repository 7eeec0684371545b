"""A view reads p and state and changes nothing."""

from __future__ import annotations

import pytest
import torch

from zerograd import RuleError, rules
from zerograd.algebra import lerp, view


@view
def between(p, z, *, betas, share=0.5):
    return lerp(p, z, share * betas[0])


def test_a_view_says_what_it_reads() -> None:
    assert list(between.positional) == ["p", "z"]
    assert between.supplied == ("betas",)
    assert between.hypers == {"share": 0.5}


def test_a_view_is_called_with_tensors() -> None:
    p, z = torch.zeros(2), torch.ones(2)
    assert between(p, z, betas=(0.5, 0.9)).tolist() == [0.25, 0.25]
    assert between(p, z, betas=(0.5, 0.9), share=1.0).tolist() == [0.5, 0.5]
    assert p.tolist() == [0, 0]


def test_the_average_of_schedule_free_is_where_p_and_z_come_from() -> None:
    """y = (1 - b) z + b x, hence x from y and z."""
    x, z = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    y = 0.1 * z + 0.9 * x
    torch.testing.assert_close(rules.schedule_free_average(y, z, betas=(0.9, 0.999)), x)


def test_a_view_has_no_star_arguments() -> None:
    with pytest.raises(RuleError, match=r"view 'all_of_it', .*\*args"):

        @view
        def all_of_it(p, *states):
            return p + sum(states)
