"""print a completion script for bash, zsh or fish

examples:
  heatrd completion bash > ~/.local/share/bash-completion/completions/heatrd
  heatrd completion zsh > ~/.zfunc/_heatrd
  heatrd completion fish > ~/.config/fish/completions/heatrd.fish
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import heatrd

__all__ = ["add_arguments", "run"]

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of one command."""

    flags: tuple[str, ...]
    choices: tuple[str, ...]
    takes_value: bool
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command with the words that may stand in it."""

    name: str
    help: str
    options: tuple[Option, ...]
    words: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd completion``."""
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Print the script for one shell."""
    commands = tuple(_commands(args.tree))
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](commands))
    return 0


def _commands(tree: argparse.ArgumentParser) -> Iterator[Command]:
    """Read commands, options and choices off the argument tree."""
    names = tuple(heatrd.sources.source_names())
    for action in tree._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, sub in action.choices.items():
            options = tuple(_option(each) for each in sub._actions if each.option_strings)
            positional = [each for each in sub._actions if not each.option_strings]
            words = tuple(str(choice) for each in positional for choice in each.choices or ())
            takes_source = any(each.dest == "sources" for each in positional)
            yield Command(name, helps[name], options, words + (names if takes_source else ()))


def _option(action: argparse.Action) -> Option:
    choices = tuple(str(choice) for choice in action.choices or ())
    return Option(tuple(action.option_strings), choices, action.nargs != 0, (action.help or "").split(";")[0])


def _bash(commands: tuple[Command, ...]) -> str:
    cases = []
    for command in commands:
        flags = " ".join(flag for option in command.options for flag in option.flags)
        values = "\n".join(
            f"          {'|'.join(option.flags)}) {_bash_reply(option.choices)}; return;;"
            for option in command.options
            if option.choices
        )
        files = "|".join(flag for o in command.options if o.takes_value and not o.choices for flag in o.flags)
        cases.append(
            f"    {command.name})\n"
            f'        case "$prev" in\n'
            + (f"{values}\n" if values else "")
            + (f"          {files}) compopt -o default; return;;\n" if files else "")
            + f"        esac\n"
            f'        case "$cur" in\n'
            f"          -*) {_bash_reply(flags.split())};;\n"
            f"          *) {_bash_reply(command.words)}; compopt -o default;;\n"
            f"        esac;;"
        )
    names = " ".join(command.name for command in commands)
    return f"""\
# bash completion for heatrd; made by: heatrd completion bash
_heatrd() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{names} --help --version" -- "$cur"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{chr(10).join(cases)}
  esac
}}
complete -F _heatrd heatrd"""


def _bash_reply(words: Sequence[str]) -> str:
    return f'COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$cur"))'


def _zsh(commands: tuple[Command, ...]) -> str:
    cases = []
    for command in commands:
        specs = [f"      {_zsh_option(option, flag)}" for option in command.options for flag in option.flags]
        words = f"'*:word:({' '.join(command.words)})'" if command.words else "'*:file:_files'"
        cases.append(f"    {command.name})\n      _arguments \\\n" + " \\\n".join([*specs, f"      {words}"]) + " ;;")
    described = "\n".join(f"    {_quoted(f'{command.name}:{command.help}')}" for command in commands)
    return f"""\
#compdef heatrd
# zsh completion for heatrd; made by: heatrd completion zsh
_heatrd() {{
  local -a commands
  commands=(
{described}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=${{words[2]}}
  shift words
  (( CURRENT-- ))
  case $command in
{chr(10).join(cases)}
  esac
}}
if [ "$funcstack[1]" = "_heatrd" ]; then _heatrd "$@"; else compdef _heatrd heatrd; fi"""


def _zsh_option(option: Option, flag: str) -> str:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", " ")
    action = f"({' '.join(option.choices)})" if option.choices else "_files"
    value = f":value:{action}" if option.takes_value else ""
    return _quoted(f"*{flag}[{text}]{value}")


def _fish(commands: tuple[Command, ...]) -> str:
    lines = ["# fish completion for heatrd; made by: heatrd completion fish"]
    for command in commands:
        lines.append(f"complete -c heatrd -n __fish_use_subcommand -f -a {command.name} -d {_quoted(command.help)}")
        condition = f"-n {_quoted(f'__fish_seen_subcommand_from {command.name}')}"
        if command.words:
            lines.append(f"complete -c heatrd {condition} -a {_quoted(' '.join(command.words))}")
        lines += [f"complete -c heatrd {condition} {_fish_option(option)}" for option in command.options]
    return "\n".join(lines)


def _fish_option(option: Option) -> str:
    flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
    value = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r" * option.takes_value
    return f"{flags}{value} -d {_quoted(option.help)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "") + "'"
