"""What the paper claims: printed values, recomputed, tested again on a study."""

from brainalign.paper.claims.verdicts import RECOMPUTED, RETESTED, Recomputed, check, check_all, display

__all__ = ["RECOMPUTED", "RETESTED", "Recomputed", "check", "check_all", "display"]
