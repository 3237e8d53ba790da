#!/usr/bin/env bash
# Runs every command of the Dockerfile in bare Debian roots, for where there is no Docker to build the image with.
# usage: verify-in-debian-root.sh FOLDER       (as root; needs debootstrap; FOLDER is made, and kept for a look)
#
# Each FROM gets a root of its own, made by debootstrap as small as it goes. What differs from Docker: in place of the base
# image rust:…, a bare Debian gets this machine's Rust toolchain and its downloaded crates; the source is what is committed.
set -euo pipefail

folder=${1:?usage: verify-in-debian-root.sh FOLDER}
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf -- '--- %s\n' "$*"; }
die() { echo "verify-in-debian-root.sh: $*" >&2; exit 1; }

((EUID == 0)) || die 'must be root, for debootstrap and chroot'
command -v debootstrap >/dev/null || die 'debootstrap is missing (Debian: apt-get install debootstrap)'
[[ -z ${TOCSIN_UNSHARED:-} ]] && TOCSIN_UNSHARED=1 exec unshare --mount --propagation private bash "${BASH_SOURCE[0]}" "$folder"
# From here on our mounts are seen by nobody else and end with us.

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[[ -z $(ls -A "$folder") ]] || die "$folder is not empty"

base() { # a bare Debian at $folder/base, once
  [[ -d $folder/base ]] && return
  say 'debootstrap bookworm'
  # The mirror that this machine's apt uses.
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk '$2 == "bookworm" { print $1; exit }')
  debootstrap --variant=minbase bookworm "$folder/base.part" "${mirror:?apt knows no mirror of bookworm}" >"$folder/debootstrap.log" ||
    { tail "$folder/debootstrap.log"; die 'debootstrap failed'; }
  cp /etc/resolv.conf /etc/hosts "$folder/base.part/etc/"
  mv "$folder/base.part" "$folder/base"
}

root='' workdir=/ user=0:0 environment=()

become() { # turn this process into a command in the root, as the user and in the folder that the Dockerfile has set
  exec chroot --userspec="$user" "$root" env -i "${environment[@]}" sh -c 'cd "$0" && exec "$@"' "$workdir" "$@"
}

inside() (become "$@")

from() { # image, name of the stage
  base
  root=$folder/$2 workdir=/ user=0:0
  environment=(PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8)
  cp -a "$folder/base" "$root"
  mount --bind /proc "$root/proc"
  mount --bind /dev "$root/dev"
  if [[ $1 == rust:* ]]; then
    (cd "$repo" && cargo fetch --locked --quiet)
    mkdir -p "$root/usr/local/rust" "$root/usr/local/cargo/registry"
    mount --bind -o ro "$(cd "$repo" && rustc --print sysroot)" "$root/usr/local/rust"
    mount --bind "${CARGO_HOME:-$HOME/.cargo}/registry" "$root/usr/local/cargo/registry"
    ln -s ../rust/bin "$root/usr/local/cargo/bin"
    environment+=(CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true)
  fi
}

copy_source() { # what is committed, less what .dockerignore names
  local ignored=()
  while read -r line; do
    [[ -z $line || $line == '#'* ]] || ignored+=(--exclude="./${line#\*\*/}")
  done <"$repo/.dockerignore"
  git -C "$repo" archive --prefix=./ HEAD | tar -x "${ignored[@]}" -C "$root$workdir"
}

instruction() {
  local word=$1 rest=$2
  say "$word $rest"
  case $word in
    FROM)
      local name=run
      [[ $rest == *' AS '* ]] && name=${rest##* AS }
      from "${rest%% *}" "$name"
      ;;
    RUN) inside sh -c "$rest" ;;
    WORKDIR)
      workdir=$rest
      mkdir -p "$root$workdir"
      ;;
    USER) user=$rest ;;
    COPY)
      case $rest in
        '. .') copy_source ;;
        --from=*)
          read -r stage source target <<<"$rest"
          cp "$folder/${stage#--from=}$source" "$root$target"
          ;;
        *) die "COPY $rest: this script does not know that form" ;;
      esac
      ;;
    HEALTHCHECK) healthcheck=${rest#*CMD } ;;
    EXPOSE | STOPSIGNAL | ENTRYPOINT | CMD) ;;
    *) die "$word: this script does not know that instruction" ;;
  esac
}

healthcheck=''
while IFS= read -r -d '' line; do
  instruction "${line%% *}" "${line#* }"
done < <(python3 - "$repo/Dockerfile" <<'P'
import re, sys
lines = [line for line in open(sys.argv[1]) if not line.lstrip().startswith("#")]
for line in re.sub(r"\\\n\s*", "", "".join(lines)).splitlines():
    if line.strip():
        print(line.strip(), end="\0")
P
)

say 'what the image would hold'
inside tocsin --version | tee "$folder/version" | grep -E '^tocsin [0-9]' || die '`tocsin --version` said nothing like a version'
ls -l "$root/usr/local/bin/tocsin"
inside bash -c 'ldd /usr/local/bin/tocsin'
inside bash -c '! touch /usr/local/bin/x 2>/dev/null' || die 'the user can write where programs are'

say 'run it with the config of `tocsin init`, until the health check is content'
inside tocsin init tocsin.toml
become tocsin run --config tocsin.toml >"$folder/run.log" 2>&1 &
running=$!
trap 'kill -KILL "$running" 2>/dev/null' EXIT
mapfile -d '' -t check < <(python3 -c 'import json, sys; print(*json.loads(sys.argv[1]), sep="\0", end="\0")' "$healthcheck")
for ((tries = 0; ; tries++)); do
  if inside "${check[@]}"; then break; fi
  kill -0 "$running" 2>/dev/null && ((tries < 60)) || { tail "$folder/run.log"; die 'it did not become healthy'; }
  sleep 0.5
done
echo "healthy after $tries tries"
kill -TERM "$running"
wait "$running" || { tail "$folder/run.log"; die 'it did not end well on SIGTERM'; }
say "all of the Dockerfile's commands ran; the roots are in $folder"
