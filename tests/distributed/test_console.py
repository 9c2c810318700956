import io

from ue_ray.distributed.console import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_moves_and_the_last_stands():
    screen = Terminal()
    progress = Progress("craft", screen)
    progress.show("round 1, a long line", at_most=90)
    progress.show("round 2", fraction=0.5)
    progress.done("2 rounds")
    first, second, last = screen.getvalue().split("\r")[1:]
    assert first.startswith("craft: round 1, a long line, 0:00, at most 1:30 left")
    assert len(second) == len(first)  # the longer line is wiped
    assert last.rstrip(" \n").startswith("craft: 2 rounds, 0:00")
    assert last.endswith("\n")


def test_elsewhere_lines_are_plain_and_few():
    log = io.StringIO()
    progress = Progress("apply", log)
    for _ in range(100):
        progress.show("the same")
    progress.done("4,000 images")
    assert log.getvalue() == "apply: 4,000 images, 0:00\n"  # nothing is said twice, nothing in the first seconds
