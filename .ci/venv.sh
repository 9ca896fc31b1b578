#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .venv: exactly what requirements.lock says, then metacni itself, editable, which compiles the shim.
# Two stamps in .venv say what was installed last, so that a second call does nothing. Usage: venv.sh
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  { echo "metacni needs Python 3.11 or later as $python (or PYTHON=…)" >&2; exit 1; }

# Without the right to write, pip would end in a traceback.
writable() {
  [ -w "$1" ] && return
  echo "setup: $(id -un) may not write $(realpath "$1"), which is $(stat -c %U "$1")'s (try again with sudo)" >&2
  exit 1
}

# One that was moved (its commands name where it was), or whose interpreter is gone, is made anew; a sound one is kept.
if ! grep -qsF "$PWD/.venv" .venv/bin/activate || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
  writable .
  [ ! -e .venv ] || writable .venv
  echo "setup: making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
fi
pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check --no-input)

stamp() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
fresh() { [ "$(cat ".venv/.$1" 2>/dev/null)" = "$2" ]; }

locked=$(stamp requirements.lock)
if ! fresh locked "$locked"; then
  writable .venv
  echo "setup: installing what requirements.lock names (about half a minute, once)"
  "${pip[@]}" install --require-hashes --requirement requirements.lock
  echo "$locked" >.venv/.locked
fi

# Only these decide what an editable install holds: its metadata, its commands and the compiled shim.
mapfile -t sources < <(find metacni/shim -type f -name '*.[ch]' -o -path 'metacni/shim/build.py' | sort)
project=$(stamp requirements.lock pyproject.toml "${sources[@]}")
if ! fresh project "$project" || [ ! -x metacni/shim/metacni-shim ] || [ ! -x .venv/bin/metacni ]; then
  writable .venv
  writable metacni/shim
  echo "setup: installing metacni, compiling its shim (some seconds)"
  "${pip[@]}" install --no-deps --no-build-isolation --editable .
  echo "$project" >.venv/.project
fi
