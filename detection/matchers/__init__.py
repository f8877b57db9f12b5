"""Matchers: the kinds of pattern that a rule can be made of. One file each, found by looking."""

from detection.matchers._base import FieldMatcher, Matcher, TextMatcher, matchers

__all__ = ["FieldMatcher", "Matcher", "TextMatcher", "matchers"]
