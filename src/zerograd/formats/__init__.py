"""Formats: how a tensor is stored. A format knows no rule."""
