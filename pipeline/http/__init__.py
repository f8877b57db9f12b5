"""What every HTTP edge shares: its app, the guard, problems and security headers."""

from pipeline.http.answers import Answer
from pipeline.http.edge import Edge
from pipeline.http.guard import ANYONE, Guard, KeyRing
from pipeline.http.problems import Problem

__all__ = ["ANYONE", "Answer", "Edge", "Guard", "KeyRing", "Problem"]
