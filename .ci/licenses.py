#!/usr/bin/env python3
"""Holds every dependency against deny.toml: its licence, its source, and whether it is banned.

Reads `cargo metadata`, for all targets and the default features, so it needs nothing but cargo and Python 3.11.
Covers of deny.toml: licenses.allow, licenses.exceptions, bans.deny, sources. Not covered: advisories, which need a
database from outside.
"""

import json
import re
import subprocess
import sys
import tomllib


def allowed(expression: str, names: set[str]) -> bool:
    """Whether `names` satisfy an SPDX expression. `A/B`, which old manifests use, is `A OR B`.

    Raises ValueError when it is not an expression.
    """
    tokens = re.findall(r"\(|\)|[A-Za-z0-9.+:-]+", expression.replace("/", " OR "))

    def take() -> str:
        if not tokens:
            raise ValueError(f"`{expression}` ends too soon")
        return tokens.pop(0)

    def any_of() -> bool:
        held = all_of()
        while tokens and tokens[0] == "OR":
            take()
            held = all_of() or held
        return held

    def all_of() -> bool:
        held = one()
        while tokens and tokens[0] == "AND":
            take()
            held = one() and held
        return held

    def one() -> bool:
        name = take()
        if name == "(":
            held = any_of()
            if take() != ")":
                raise ValueError(f"`{expression}` lacks a closing parenthesis")
            return held
        if name in {")", "AND", "OR", "WITH"}:
            raise ValueError(f"`{expression}` has `{name}` where a licence should be")
        if tokens and tokens[0] == "WITH":
            take()
            name = f"{name} WITH {take()}"
        return name in names

    held = any_of()
    if tokens:
        raise ValueError(f"`{expression}` goes on after its end")
    return held


def self_test() -> None:
    """Known answers: a checker that accepts everything would otherwise look like a clean tree."""
    names = {"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"}
    for expression, want in [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT OR GPL-3.0", True),
        ("GPL-3.0/MIT", True),
        ("MIT AND GPL-3.0", False),
        ("(MIT OR GPL-3.0) AND Apache-2.0", True),
        ("MIT OR GPL-3.0 AND LGPL-2.1", True),
        ("(MIT OR GPL-3.0) AND LGPL-2.1", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0 WITH Classpath-exception-2.0", False),
    ]:
        got = allowed(expression, names)
        assert got == want, f"{expression}: got {got}, want {want}"
    for broken in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "OR MIT"]:
        try:
            allowed(broken, names)
        except ValueError:
            continue
        raise AssertionError(f"`{broken}` passed as an expression")


def main() -> int:
    self_test()
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    names = set(rules["licenses"]["allow"])
    extra = {each["crate"]: set(each["allow"]) for each in rules["licenses"]["exceptions"]}
    banned = {each["crate"] for each in rules["bans"]["deny"]}

    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    answer = subprocess.run(command, stdout=subprocess.PIPE)
    if answer.returncode != 0:
        print("error: cargo cannot name the dependencies (a Cargo.lock that was not committed, perhaps)", file=sys.stderr)
        return 1
    graph = json.loads(answer.stdout)
    ours = set(graph["workspace_members"])
    used = {node["id"] for node in graph["resolve"]["nodes"]}
    packages = sorted((p for p in graph["packages"] if p["id"] in used), key=lambda p: (p["name"], p["version"]))

    faults, counts = [], {}
    registries = {p["source"] for p in packages if (p["source"] or "").startswith(("registry+", "sparse+"))}
    for package in packages:
        name, licence, source = f"{package['name']} {package['version']}", package["license"], package["source"]
        if package["name"] in banned:
            faults.append(f"{name} is banned by deny.toml")
        if source is None and package["id"] not in ours:
            faults.append(f"{name} comes from a path outside the workspace")
        if source is not None and source not in registries:
            faults.append(f"{name} comes from {source.split('+')[0]}, not from a registry")
        if not licence:
            faults.append(f"{name} names no licence expression")
            continue
        try:
            fine = allowed(licence, names | extra.get(package["name"], set()))
        except ValueError as error:
            faults.append(f"{name}: {error}")
            continue
        counts[licence] = counts.get(licence, 0) + 1
        if not fine:
            faults.append(f"{name} is under `{licence}`, which deny.toml does not allow")
    if len(registries) > 1:
        faults.append(f"{len(registries)} registries are in use; deny.toml knows one")
    for name in sorted(extra.keys() - {p["name"] for p in packages}):
        faults.append(f"deny.toml makes an exception for {name}, which nothing uses")

    for licence, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"{count:5}  {licence}")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    print(f"{len(packages)} packages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
