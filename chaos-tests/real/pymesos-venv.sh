#!/usr/bin/env bash
# Builds a virtual environment with unmodified pymesos from PyPI and prints the path of its python.
#
# Usage: pymesos-venv.sh [DIRECTORY]      (default: target/pymesos)
#
# pymesos needs http-parser, whose C source on PyPI was generated for older Pythons: it is generated
# anew here, from the source of its own package, which makes it build on 3.8 to 3.11. Later Pythons
# lack modules that its build imports. SHOAL_PYTHON names the interpreter to use; without it the first
# fitting one is taken, and on Debian, as root, python3 is installed where there is none.
#
# Running it again costs nothing; two at a time wait for each other. Exit code 3 means that the machine
# lacks something that this script may not or cannot install, and the last line on stderr says what.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${1:-$repo/target/pymesos}
pymesos="pymesos==0.3.15 addict==2.4.0 six==1.17.0 kazoo==2.10.0"
build="setuptools<81 wheel cython<3"
http_parser="http-parser==0.9.0"

lack() {
  echo "pymesos-venv: $*" >&2
  exit 3
}

# Prints the version if the interpreter can do it: old enough, with venv, pip and the C headers.
fits() {
  "$1" - 2>/dev/null <<'PY'
import os, sys, sysconfig
import ensurepip, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
if not ((3, 8) <= sys.version_info[:2] <= (3, 11) and os.path.exists(header)):
    sys.exit(1)
print(sys.version.split()[0])
PY
}

find_python() {
  local candidate path
  for candidate in ${SHOAL_PYTHON:-python3.10 python3.11 python3.9 python3.8 python3 /usr/bin/python3}; do
    path=$(command -v "$candidate") || continue
    if fits "$path" >/dev/null; then
      echo "$path"
      return 0
    fi
  done
  return 1
}

install_packages() {
  if [ -n "${SHOAL_PYTHON:-}" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    return 1
  fi
  echo "pymesos-venv: installing python3, its headers and a C compiler" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends python3 python3-venv python3-dev gcc libc6-dev >&2
}

mkdir -p "$target"
target=$(cd "$target" && pwd)
exec 9>"$target.lock"
flock 9

python=$(find_python) || { install_packages && python=$(find_python); } ||
  lack "no Python 3.8 to 3.11 with venv and C headers (Debian: apt-get install python3-venv python3-dev)"
if ! command -v gcc >/dev/null && ! command -v cc >/dev/null; then
  install_packages || lack "no C compiler (Debian: apt-get install gcc libc6-dev)"
fi

stamp="$python $(fits "$python") | $pymesos | $http_parser | $build"
if [ -x "$target/bin/python" ] && [ "$(cat "$target/stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$target/bin/python"
  exit 0
fi

rm -rf "$target"
mkdir -p "$target"
log="$target.log"
{
  "$python" -m venv "$target"
  pip=("$target/bin/python" -m pip --disable-pip-version-check --no-input)
  read -ra words <<<"$build"
  "${pip[@]}" install "${words[@]}"

  # The source package, with its parser generated for this Python.
  source="$target/http-parser"
  mkdir -p "$source"
  "${pip[@]}" download --no-deps --no-binary :all: --no-build-isolation --dest "$source" "$http_parser"
  tar -xzf "$source"/*.tar.gz -C "$source" --strip-components 1
  "$target/bin/cython" "$source/http_parser/parser.pyx" -o "$source/http_parser/parser.c"
  "${pip[@]}" install --no-build-isolation --no-deps "$source"

  read -ra words <<<"$pymesos"
  "${pip[@]}" install --no-build-isolation "${words[@]}"

  # Beside pymesos itself, the compiled parser must be the one in use: its stand-in reads chunks wrongly.
  "$target/bin/python" -c 'import http_parser.parser, pymesos; print("pymesos", pymesos.__VERSION__)'
} >"$log" 2>&1 9>&- </dev/null || {
  tail -n 30 "$log" >&2
  lack "building pymesos with $python failed, see $log"
}

echo "$stamp" >"$target/stamp"
echo "$target/bin/python"
