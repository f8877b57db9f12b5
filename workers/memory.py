"""How much memory a process may have."""

from resource import RLIM_INFINITY, RLIMIT_DATA, getrlimit, setrlimit


def bound(most: int) -> None:
    """Allow this process at most so many bytes of data; a limit that is lower already stays as it is."""
    soft, hard = getrlimit(RLIMIT_DATA)
    setrlimit(RLIMIT_DATA, (min([most, *(limit for limit in (soft, hard) if limit != RLIM_INFINITY)]), hard))
