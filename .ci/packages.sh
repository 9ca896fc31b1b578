#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs those of the named Debian packages that are missing. Asks no mirror, and needs no root, when none is.
# Usage: packages.sh PACKAGE…
set -euo pipefail
command -v dpkg-query >/dev/null || { echo "this is no Debian: please install what gives: $*" >&2; exit 1; }
missing=()
for package in "$@"; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "setup: needs root to install the Debian packages ${missing[*]} (try again with sudo)" >&2
  exit 1
fi
echo "setup: installing the Debian packages ${missing[*]} (about a minute, once)"
export DEBIAN_FRONTEND=noninteractive
wait=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3) # another apt may be at work, a mirror may stutter
apt-get "${wait[@]}" -qq update </dev/null
apt-get "${wait[@]}" -qq -y --no-install-recommends install "${missing[@]}" </dev/null >/dev/null
