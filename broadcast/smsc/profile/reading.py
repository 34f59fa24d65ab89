"""Profile files: TOML to tables, and errors that name file, line, field, value and what is possible."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from broadcast.errors import InputError
from broadcast.routing.lines import Path as TomlPath
from broadcast.routing.lines import find_lines
from broadcast.smsc.behaviour import Behaviour, BehaviourError, parse_status
from broadcast.smsc.profile.delays import Delay
from broadcast.smsc.profile.tables import Profile, Rule

_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_STEP: Final = re.compile(r"([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")


class ProfileError(InputError):
    """A profile that is not possible; names the file, line, field, value, and what is possible."""


def built_in_profiles() -> tuple[str, ...]:
    """The names of the profiles that the package has."""
    folder = files("broadcast.smsc.profile")
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_profile(name: str) -> Profile:
    """A profile by the path of its file, or by the name of a built-in one. ProfileError when it is not possible."""
    if name in built_in_profiles():
        entry = files("broadcast.smsc.profile") / f"{name}.toml"
        return read_profile(entry.read_text(encoding="utf-8"), f"{name}.toml")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(
            f"profile {name!r} is neither a readable file ({error}) nor one of {', '.join(built_in_profiles())}"
        ) from None
    return read_profile(text, name)


def read_profile(text: str, file: str) -> Profile:
    """The profile in a TOML text; `file` is named in errors. ProfileError when it is not possible."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{file}: not TOML: {error}") from None
    try:
        profile = msgspec.convert(data, Profile)
    except msgspec.ValidationError as error:
        message, path = _split_error(str(error))
        value = _value_at(data, path)
        hint = _possible(path, message)
        raise _error(file, text, path, value, f"{message}{hint}") from None
    for path, problem in _problems(profile):
        raise _error(file, text, path, _value_at(data, path), problem)
    return profile


def _error(file: str, text: str, path: TomlPath, value: object, problem: str) -> ProfileError:
    lines = find_lines(text)
    # A field that is missing has the line of its table.
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    place = f"{file}, line {line}" if line else file
    shown = "" if value is None or isinstance(value, dict | list) else f" = {value!r}"
    return ProfileError(f"{place}: {_name(path)}{shown}: {problem}")


def _problems(profile: Profile) -> Iterator[tuple[TomlPath, str]]:
    """What the types do not say: path and problem."""
    names = [account.name for account in profile.accounts]
    for index, account in enumerate(profile.accounts):
        if names.index(account.name) != index:
            yield ("accounts", index, "name"), "another account has this name"
        if any(
            (other.login, other.listener) == (account.login, account.listener) for other in profile.accounts[:index]
        ):
            yield ("accounts", index, "system_id"), "another account on the same port has this system_id"
        if not account.modes:
            yield ("accounts", index, "modes"), "is empty; possible: transmitter, receiver, transceiver"
        yield from _behaviour_problems(account.behaviour, ("accounts", index, "behaviour"))
    yield from _behaviour_problems(profile.behaviour, ("behaviour",))
    for index, rule in enumerate(profile.rules):
        yield from _unknown_accounts(rule.accounts, names, ("rules", index, "accounts"))
        yield from _rule_problems(rule, ("rules", index))
    for index, event in enumerate(profile.events):
        yield from _unknown_accounts(event.accounts, names, ("events", index, "accounts"))


def _unknown_accounts(accounts: Sequence[str], names: Sequence[str], path: TomlPath) -> Iterator[tuple[TomlPath, str]]:
    for name in accounts:
        if name not in names:
            yield path, f"no account {name!r}; possible: {', '.join(names) or 'none, the profile has no accounts'}"


def _behaviour_problems(changes: dict[str, object], path: TomlPath) -> Iterator[tuple[TomlPath, str]]:
    for name, value in changes.items():
        try:
            Behaviour().change({name: value})
        except BehaviourError as error:
            if name not in Behaviour.__struct_fields__:
                yield (*path, name), f"no such field; possible: {', '.join(Behaviour.__struct_fields__)}"
            yield (*path, name), f"{error}{_possible_behaviour(name)}"
    try:
        Behaviour().change(changes)
    except BehaviourError as error:
        yield path, str(error)


def _rule_problems(rule: Rule, path: TomlPath) -> Iterator[tuple[TomlPath, str]]:
    if rule.behaviour and rule.chooses_submits:
        yield (
            (*path, "behaviour"),
            "is of an account; a rule with it may have accounts and times, but none of numbers, prefixes, pattern, "
            "parts, share, number_share, first",
        )
    yield from _behaviour_problems(rule.behaviour, (*path, "behaviour"))
    if rule.pattern:
        try:
            re.compile(rule.pattern)
        except re.error as error:
            yield (*path, "pattern"), f"is no regular expression: {error}"
    for name in ("numbers", "prefixes"):
        for number in getattr(rule, name):
            if not number.lstrip("+").isdigit():
                yield (*path, name), f"{number!r} is no number; possible: digits, with or without a plus sign"
    if rule.until_seconds is not None and rule.until_seconds <= rule.from_seconds:
        yield (*path, "until_seconds"), f"is not above from_seconds = {rule.from_seconds:g}"
    if (rule.every_seconds is None) != (rule.for_seconds is None):
        yield (*path, "every_seconds"), "every_seconds and for_seconds need each other"
    if rule.every_seconds is not None and rule.for_seconds is not None and rule.for_seconds > rule.every_seconds:
        yield (*path, "for_seconds"), f"is above every_seconds = {rule.every_seconds:g}"
    if isinstance(rule.answer.status, str):
        try:
            parse_status(rule.answer.status)
        except BehaviourError as error:
            yield (*path, "answer", "status"), str(error)
    elif rule.answer.status is not None and not 0 <= rule.answer.status <= 0xFFFFFFFF:
        yield (*path, "answer", "status"), "is not within 0 and 0xFFFFFFFF"
    for part in ("answer", "receipt"):
        delay = getattr(rule, part).delay_seconds
        problem = delay.problem() if isinstance(delay, Delay) else None
        if isinstance(delay, float) and delay < 0:
            problem = "is below 0"
        if problem is not None:
            yield (*path, part, "delay_seconds"), problem


def _split_error(error: str) -> tuple[str, TomlPath]:
    found = _PLACE.search(error)
    path: list[str | int] = []
    if found is not None:
        for name, index in _STEP.findall(found[1]):
            if name:
                path.append(name)
            elif index.isdigit():
                path.append(int(index))
    message = error[: found.start()] if found is not None else error
    unknown = re.search(r"unknown field `(\w+)`", message)
    if unknown is not None:
        path.append(unknown[1])
    missing = re.search(r"missing required field `(\w+)`", message)
    if missing is not None:
        message = f"{missing[1]} is missing"
    return message, tuple(path)


def _possible(path: TomlPath, message: str) -> str:
    """What may stand at this place, for the end of an error."""
    kind: Any = Profile
    for step in path[:-1] if "unknown field" in message else path:
        kind = _inside(kind, step)
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return f"; possible: {', '.join(each.__struct_fields__)}"
    values = _literals(kind)
    return f"; possible: {', '.join(map(str, values))}" if values else ""


def _possible_behaviour(name: str) -> str:
    values = _literals(_hints(Behaviour).get(name))
    return f"; possible: {', '.join(map(str, values))}" if values else ""


def _hints(struct: type) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


def _inside(kind: Any, step: str | int) -> Any:
    if isinstance(step, str) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _hints(kind).get(step)
    if isinstance(step, int):
        return next((each for each in get_args(kind) if each is not Ellipsis), None)
    return next(
        (
            _hints(each)[step]
            for each in get_args(kind)
            if isinstance(each, type) and issubclass(each, msgspec.Struct) and step in _hints(each)
        ),
        None,
    )


def _literals(kind: Any) -> tuple[object, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(value for each in get_args(kind) for value in _literals(each))


def _value_at(data: object, path: TomlPath) -> object:
    for step in path:
        match data, step:
            case dict(), str() if step in data:
                data = data[step]
            case list(), int() if step < len(data):
                data = data[step]
            case _:
                return None
    return data


def _name(path: TomlPath) -> str:
    """As rules[2].answer.status; tables are counted from 1, as a reader counts them."""
    name = ""
    for step in path:
        name += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if name else step
    return name or "the file"
