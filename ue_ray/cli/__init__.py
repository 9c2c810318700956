"""The command ``ue-ray``: flags in, one library call, one line for a mistake, an exit status."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module

import ue_ray
from ue_ray.cli.command import Command
from ue_ray.cli.json_lines import as_json, as_line, belongs_to
from ue_ray.cli.stopping import stoppable
from ue_ray.errors import FaultsFound, RunError, UserError, WeakNoise, choose

COMMANDS = {
    "protect": "Protect a collection of labelled images: every image ends as protected or as rejected with a reason.",
    "evaluate": "Train victims on clean, control and protected images and say whether the protection holds.",
    "reproduce": "Reproduce an experiment of the paper and hold the outcome against what it says.",
    "verify": "Read a committed output again, every byte of it, and say what is not as it was committed.",
}
KEPT = {  # of a command that is stopped
    "protect": "what is finished is kept at the output",
    "evaluate": "the victims that are trained are kept at the output",
    "reproduce": "the noises and the victims that are finished are kept at the output",
    "verify": "the output was not verified",
}
USAGE = """usage: ue-ray COMMAND [OPTIONS]

{commands}

ue-ray COMMAND --help lists the options of a command.
Exit status: 0 done, 2 a mistake in what was asked for, 3 protected, but by a weak noise, 130 or 143 stopped by Ctrl-C
or SIGTERM, 1 anything else.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs ``ue-ray ARGUMENTS`` and exits: 0; or, after one line, 2 (UserError), 3 (WeakNoise), 1 (RunError,
    FaultsFound)."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print(USAGE.format(commands="\n".join(f"  {command:{width}}  {help}" for command, help in COMMANDS.items())))
        sys.exit(0)
    if name == "--version":
        print(f"ue-ray {ue_ray.__version__}")
        sys.exit(0)
    with _exit_status("nothing was done"):
        choose(name, COMMANDS, "command")
    with (
        _exit_status("nothing was done"),  # of a mistake in the environment; _run has one of its own
        as_json(name),
        stoppable(lambda: as_line(_stopped(name, rest, begun=_begun(name)))),
    ):
        _run(name, rest)
    sys.exit(0)


def _run(name: str, arguments: Sequence[str]) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # of C++: a SIGTERM would end with a C stack
    from ue_ray.cli.flags import parse

    command: Command = import_module(f"ue_ray.cli.{name}").command()
    with _exit_status(command.unfinished):
        given = parse(command, arguments, f"ue-ray {name}", COMMANDS[name])
        belongs_to(given["output"])
    try:
        with _exit_status(command.unfinished):
            command.run(**given)
    finally:  # now, not when Python exits: all processes are to be gone while a signal still ends the command
        if "ray" in sys.modules:
            import_module("ue_ray.distributed.cluster").leave()


def _begun(name: str) -> bool:
    """Returns whether a stop now leaves something: asked by another thread, at any moment, of protect only."""
    command = sys.modules.get(f"ue_ray.cli.{name}")
    return bool(name != "protect" or getattr(command, "begun", bool)())


def _stopped(name: str, arguments: Sequence[str], begun: bool) -> str:
    """Returns the line at a stop: what is kept, and the command that goes on where this one was stopped.

    A protection resumes, once it has claimed its output: with ``--mode overwrite`` again, it would remove its own work.
    """
    program = os.path.basename(sys.argv[0])
    again = [program, name] if program == "ue-ray" else ["python", sys.argv[0]]
    if name == "protect" and begun:
        arguments = [*_without_mode(arguments), "--mode", "resume"]
    return f"stopped: {KEPT[name] if begun else 'nothing was done'}; go on with: {shlex.join([*again, *arguments])}"


def _without_mode(arguments: Sequence[str]) -> list[str]:
    kept = list(arguments)
    while "--mode" in kept:
        at = kept.index("--mode")
        del kept[at : at + 2]
    return [text for text in kept if not text.startswith("--mode=")]


@contextmanager
def _exit_status(unfinished: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunError as error:
        print(f"error: {unfinished}: {error}{_logged(error)}", file=sys.stderr)
        sys.exit(1)
    except WeakNoise as weak:
        print(f"weak: {weak}", file=sys.stderr)
        sys.exit(3)
    except FaultsFound as faults:
        print(faults)
        sys.exit(1)


def _logged(error: BaseException) -> str:
    """Writes what an error was raised from, with its traceback, to a file; returns where, as a part of a message."""
    if error.__cause__ is None:
        return ""
    with suppress(OSError), tempfile.NamedTemporaryFile("w", prefix="ue-ray-", suffix=".log", delete=False) as file:
        file.writelines(traceback.format_exception(error))
        return f" (details: {file.name})"
    return ""
