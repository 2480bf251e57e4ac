"""Damaged and hostile files of every format that the package reads.

`python -m tests.fuzz --seconds 600` mutates valid files, reads each mutant in a forked process, and reports what is not
a refusal in one line: a traceback, a crash, more than ten seconds, more memory than ten times the file plus 300 MB, or,
where the format has a checksum, other content than that of a valid file. `seeds` has the valid files, `found` the
mutants that once failed, which `tests/test_fuzz.py` reads again.
"""
