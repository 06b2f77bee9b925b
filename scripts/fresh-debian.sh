#!/bin/bash
# fresh-debian.sh SUITE [root|user]: runs the steps of a new user in a new minimal
# Debian of that suite (bookworm, trixie, sid): clones this repository's commits, then
# ./weir up, demo, down and test, as root or as a user with sudo.
#
# Run it as root; it needs debootstrap and git.  The new system is in a folder
# under /tmp, in mount and process namespaces of its own, and is removed at the end.
# It uses this machine's network, and the mirror and proxy of this machine's apt.
set -euo pipefail
# shellcheck source=scripts/stack/lib.sh
. "$(dirname "$0")/stack/lib.sh"

suite=${1:-} who=${2:-root}
[[ "$suite $who" =~ ^(bookworm|trixie|sid)\ (root|user)$ ]] ||
    die "usage: scripts/fresh-debian.sh bookworm|trixie|sid [root|user]"
[ "$(id -u)" = 0 ] || die "fresh-debian.sh installs a Debian system; run it as root"
for tool in debootstrap git; do
    command -v $tool >/dev/null || die "$tool is missing" "apt-get install $tool"
done

root=$(mktemp -d "/tmp/weir-$suite.XXXXXX")
chmod 755 "$root"
trap 'rm -rf --one-file-system "$root"' EXIT
times=()

# timed WHAT COMMAND…: runs it and records its time for the summary.
timed() {
    local start=$SECONDS status=0
    printf '\n=== %s: %s\n' "$suite" "$1"
    "${@:2}" || status=$?
    [ $status = 0 ] || set -- "$1: FAILED ($status)"
    times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$1")")
    [ $status = 0 ] || {
        summary
        exit 1
    }
}

summary() {
    printf '\n=== %s as %s\n' "$suite" "$who"
    printf '%s\n' "${times[@]}"
    printf '\n'
    # shellcheck disable=SC2016
    chroot "$root" dpkg-query -W -f '${Package} ${Version}\n' nginx redis-server libhiredis-dev \
        'postgresql-1*' libevent-dev libcmocka-dev libnginx-mod-http-lua gcc 2>/dev/null |
        grep ' .' || true
}

# mirror LABEL: the address of Debian or Debian-Security in this machine's apt.
mirror() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' |
        awk -v label="$1" '
            $2 == "Debian" && $3 == label && !found { found = $1 }
            END { print found }'
}

# inside COMMAND…: runs it in the new system, with its own /proc; kills all processes at the end.
inside() {
    unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" \
        /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb HOME=/root LANG=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
}

make_system() {
    local debian security
    debian=$(mirror Debian) security=$(mirror Debian-Security)
    [ -n "$debian" ] || die "apt on this machine has no Debian mirror"
    debootstrap --variant=minbase "$suite" "$root" "$debian" >"$root.log" 2>&1 || {
        tail -20 "$root.log" >&2
        return 1
    }
    rm -f "$root.log"
    {
        echo "deb $debian $suite main"
        if [ "$suite" != sid ]; then # which has no releases to mend
            echo "deb $debian $suite-updates main"
            [ -z "$security" ] || echo "deb $security $suite-security main"
        fi
    } >"$root/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(https?|Check|Retries)' \
        >"$root/etc/apt/apt.conf.d/90host" || true
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
}

clone() {
    folder=/root/weir account=root
    if [ "$who" = user ]; then
        inside sh -c 'apt-get -q update && apt-get -q -y install --no-install-recommends sudo &&
            useradd --create-home --shell /bin/bash ada &&
            echo "ada ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/ada' >/dev/null
        folder=/home/ada/weir account=ada
    fi
    git clone -q --no-hardlinks "$weir_root" "$root$folder"
    inside chown -R "$account:" "$folder"
}

# as_new_user COMMAND: runs it in the clone.  The system's processes end with each call.
as_new_user() {
    inside setpriv --reuid="$account" --regid="$account" --init-groups \
        env HOME="$(dirname "$folder")" USER="$account" WEIR_PORT="$(free_ports)" \
        bash -c "cd $folder && $1"
}

timed "a new system" make_system
timed "clone" clone
timed "up, demo, down" as_new_user 'time ./weir up && time ./weir demo && ./weir down'
timed "test" as_new_user './weir test'
timed "up and down once more" as_new_user './weir up && ./weir down'
summary
