"""What every HTTP edge shares: problems, the guard, and security headers."""

from pipeline.http.guard import Guard, KeyRing
from pipeline.http.headers import SecurityHeaders
from pipeline.http.problems import Problem, install, problem_response

__all__ = ["Guard", "KeyRing", "Problem", "SecurityHeaders", "install", "problem_response"]
