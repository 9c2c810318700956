"""The one exception a user is meant to see."""


class UserError(Exception):
    """Something the user can mend.

    ``str(error)`` is one line: what is wrong, where, and what would be right (choices listed). The pipelines print that
    line and exit with status 2; no traceback is shown.
    """
