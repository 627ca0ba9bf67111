"""The program's rules as values (`ruleset`), and the look-ups that decisions need (`rulebook`)."""

from domain.rules.rulebook import FOREVER, Rulebook, RuleLine
from domain.rules.ruleset import RuleSet

__all__ = ["FOREVER", "RuleLine", "RuleSet", "Rulebook"]
