"""The argument tree: one sub-parser per command, one-line errors that name the nearest valid word."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import heatrd
from heatrd.cli import (
    compare,
    completion,
    critical,
    curve,
    neural,
    path,
    sample,
    solve,
    warmup,
)

__all__ = ["COMMANDS", "build_parser"]

COMMANDS = (solve, curve, critical, path, sample, neural, compare, warmup, completion)

DESCRIPTION = "Certified quadratic rate-distortion functions of continuous sources, through the heat equation."
EPILOG = """\
examples:
  heatrd curve laplace --plot laplace.png
  heatrd solve uniform --distortion 0.1 --json
  heatrd COMMAND --help

exit codes: 0 done; 1 internal; 2 bad input; 3 not certified to the tolerance; 4 memory; 130 interrupted"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and suggest the nearest valid word."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; sources may stand anywhere among the options, which argparse alone does not allow."""
        parsed, extra = self.parse_known_args(args, namespace)
        words = [word for word in extra if not word.startswith("-")]
        if extra and (len(words) < len(extra) or not hasattr(parsed, "sources")):
            parsed.parser.error(f"unrecognized arguments: {' '.join(sorted(extra, key=_is_word))}")
        if words:
            parsed.sources = [*parsed.sources, *words]
        return parsed

    def error(self, message: str) -> NoReturn:
        words = _misspelled(message)
        near = nearest(words[0], self._vocabulary(words[0])) if words else None
        message = re.sub(r" \(choose from [^)]*\)", "", message)
        hint = f"did you mean {near!r}?" if near else f"try: {self.prog} --help"
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; {hint}\n")

    def _vocabulary(self, word: str) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings if word.startswith("-") else map(str, action.choices or ())


def _is_word(argument: str) -> bool:
    return not argument.startswith("-")


def nearest(word: str, vocabulary: Iterable[str]) -> str | None:
    """Return the entry of ``vocabulary`` nearest to ``word``, or None when nothing is near."""
    bare, entries = word.lstrip("-"), {entry.lstrip("-"): entry for entry in vocabulary}
    longer = [entry for entry in entries if len(entry) > 2 and bare.startswith(entry)]  # --tolerance for --tol
    found = longer or difflib.get_close_matches(bare, entries, n=1, cutoff=0.5)
    return entries[found[0]] if found else None


def _misspelled(message: str) -> list[str]:
    unknown_option = re.findall(r"unrecognized arguments: ([^\s=]+)", message)
    return unknown_option or re.findall(r"invalid choice: '([^']*)'", message)


def build_parser() -> argparse.ArgumentParser:
    """Build the whole argument tree."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="heatrd", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"heatrd {heatrd.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        lines = (module.__doc__ or name).strip().splitlines()  # python -OO leaves no docstrings
        sub = commands.add_parser(
            name,
            help=lines[0],
            description=lines[0],
            epilog="\n".join(lines[1:]).strip(),
            formatter_class=raw,
            allow_abbrev=False,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run, parser=sub, tree=parser)
    return parser
