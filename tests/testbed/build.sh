#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the real parts of the test bed, most from Go modules, into a cache outside the checkout, each once per version.
# Usage: build.sh [--check-go]      Cache: $METACNI_CACHE, else ~/.cache/metacni. Folders: <part>-<version>/<program>.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=versions.env
. "$here/versions.env"
cache=$(realpath -m "${METACNI_CACHE:-$HOME/.cache/metacni}")
export GOTOOLCHAIN=local GOBIN='' # no toolchain is ever downloaded; GOBIN would send binaries elsewhere

check_go() {
  local have
  have=$(go env GOVERSION 2>/dev/null | sed 's/^go//') || true
  if [ -z "$have" ] || [ "$(printf '%s\n' "$GO_MINIMUM" "$have" | sort -V | head -n 1)" != "$GO_MINIMUM" ]; then
    echo "make test needs Go $GO_MINIMUM or later on the PATH (found: ${have:-none}); make demo needs none" >&2
    exit 1
  fi
}

# build PART VERSION NOTE RECIPE PROGRAM…: runs RECIPE into a folder of its own, renamed only when every program is there.
build() {
  local part=$1 version=$2 note=$3 recipe=$4 started=$SECONDS program complete=yes temporary
  shift 4
  local target="$cache/$part-$version"
  for program in "$@"; do [ -x "$target/$program" ] || complete=no; done
  if [ "$complete" = yes ]; then echo "testbed: $part $version is in the cache"; return; fi
  echo "testbed: building $part $version ($*): $note the first time"
  temporary=$(mktemp -d "$cache/.build-XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  mkdir "$temporary/out" "$temporary/source"
  (cd "$temporary/source" && "$recipe" "$temporary/out" "$version" "$@")
  for program in "$@"; do [ -x "$temporary/out/$program" ] || { echo "testbed: $part built no $program" >&2; exit 1; }; done
  rm -rf "$target"
  mv "$temporary/out" "$target"
  rm -rf "$temporary"
  trap - EXIT
  echo "testbed: built $part $version in $((SECONDS - started)) s"
}

# Kubernetes names its staging modules at v0.0.0 and points them at folders that a module download does not carry;
# each is also published, as v0.MINOR.PATCH. Packages are built by path from a module that does nothing but say so.
kubernetes() {
  local out=$1 version=$2 staging=v0.${2#1.} name source
  shift 2
  go mod init metacni.test/kubernetes 2>/dev/null
  source=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/^[[:space:]]*"GoMod": "\(.*\)",$/\1/p')
  go mod edit -require="k8s.io/kubernetes@v$version"
  for name in $(awk '$2 == "v0.0.0" { print $1 }' "$source" | sort -u); do
    go mod edit -replace="$name=$name@$staging"
  done
  local stamp="k8s.io/component-base/version.gitVersion=v$version"
  for name in "$@"; do
    go build -mod=mod -ldflags "-s -w -X $stamp -X k8s.io/client-go/pkg/version.gitVersion=v$version" \
      -o "$out/$name" "k8s.io/kubernetes/cmd/$name"
  done
}

containerd() {
  local out=$1 version=$2 name
  shift 2
  for name in "$@"; do
    # -X: the API reports this version, and the table of parts shows what containerd says of itself
    GOBIN=$out go install -tags no_btrfs -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=v$version" \
      "github.com/containerd/containerd/v2/cmd/$name@v$version"
  done
}

plugins() {
  local out=$1 version=$2 name kind paths=()
  shift 2
  for name in "$@"; do
    case $name in
      host-local | static) kind=ipam ;;
      tuning | portmap | bandwidth | firewall | sbr | vrf) kind=meta ;;
      *) kind=main ;;
    esac
    paths+=("github.com/containernetworking/plugins/plugins/$kind/$name@v$version")
  done
  local stamp="github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v$version"
  CGO_ENABLED=0 GOBIN=$out go install -ldflags "-s -w -X $stamp" "${paths[@]}" # static, as upstream releases them
}

cnitool() {
  CGO_ENABLED=0 GOBIN=$1 go install "github.com/containernetworking/cni/cnitool@v$2"
}

# The agent's image but for the agent: Debian, and what requirements.lock names, as layers of buildah's own cache. The
# tests add the wheel of the tree to them, without a network. Made anew when the recipe or the lock is another.
image() {
  local folder="$cache/image-$1" example="$here/../../examples/agent-pod" started=$SECONDS made_of driver=overlay
  made_of=$(cat "$example/Containerfile" "$example/requirements.lock" | sha256sum | cut -d ' ' -f 1)
  if [ "$(cat "$folder/stamp" 2>/dev/null)" = "$made_of" ]; then echo "testbed: image $1 is in the cache"; return; fi
  echo "testbed: building image $1 (Debian, Python packages): about 2 minutes the first time"
  mkdir -p "$folder"
  rm -f "$folder/stamp"
  # vfs copies all layers whole: ten times slower, and works where overlay does not
  grep -qw overlay /proc/filesystems && [ "$(stat -f -c %T "$folder")" != overlayfs ] || driver=vfs
  echo "$driver" >"$folder/driver"
  local buildah=(buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver "$driver")
  local base=localhost/metacni.test/debian:1 container volume=() certificates=${PIP_CERT:-${SSL_CERT_FILE:-}}
  if ! "${buildah[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    temporary=$(mktemp -d "$cache/.build-XXXXXX")
    trap 'rm -rf "$temporary"' EXIT
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' "$1" "$temporary/base.tar"
    container=$("${buildah[@]}" from scratch)
    "${buildah[@]}" add --quiet "$container" "$temporary/base.tar" / >/dev/null
    "${buildah[@]}" commit --quiet --rm "$container" "$base" >/dev/null
    rm -rf "$temporary"
    trap - EXIT
  fi
  # where the way out has a certificate of its own, pip has to know it in there, too
  [ -z "$certificates" ] || volume=(--volume "$certificates:/etc/ssl/certs/ca-certificates.crt:ro")
  "${buildah[@]}" bud --quiet --isolation chroot --layers --pull-never "${volume[@]}" --build-arg "BASE=$base" \
    --target dependencies --tag localhost/metacni.test/dependencies:1 --file "$example/Containerfile" "$here/../.." >/dev/null
  echo "$made_of" >"$folder/stamp"
  echo "testbed: built image $1 in $((SECONDS - started)) s"
}

check_go
[ "${1:-}" = --check-go ] && exit 0
mkdir -p "$cache"
exec 9>"$cache/.lock" # two checkouts may share the cache: the second waits and finds everything there
flock 9
build cni-plugins "$CNI_PLUGINS" "about a minute" plugins bridge macvlan ipvlan vlan ptp host-device loopback dummy \
  host-local static tuning portmap bandwidth firewall sbr vrf
build cnitool "$CNITOOL" "a few seconds" cnitool cnitool
build containerd "$CONTAINERD" "about 2 minutes" containerd containerd containerd-shim-runc-v2
build kubernetes "$KUBERNETES" "about 8 minutes on 2 cores" kubernetes kube-apiserver kubelet kubectl
image "$DEBIAN"
